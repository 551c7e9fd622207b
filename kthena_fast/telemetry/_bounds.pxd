# The function of _bounds.py in C. What it looks at lies in bounds: the view checks it.

cdef inline Py_ssize_t first_not_below(double[::1] bounds, double number, Py_ssize_t low, Py_ssize_t high) except -1:
    cdef Py_ssize_t middle
    while low < high:
        middle = (low + high) >> 1
        if bounds[middle] < number:
            low = middle + 1
        else:
            high = middle
    return low
