# The functions of _buckets.py in C. A place is one that `first_not_below` finds, and there is a count for each.

from cpython.array cimport array, clone


cdef inline array zeros(array like, Py_ssize_t size):
    return clone(like, size, True)


cdef inline double *places(array counts):
    return counts.data.as_doubles


cdef inline Py_ssize_t first_not_below(array bounds, double number) except -1:
    cdef Py_ssize_t low = 0, high = len(bounds), middle
    while low < high:
        middle = (low + high) >> 1
        if bounds.data.as_doubles[middle] < number:
            low = middle + 1
        else:
            high = middle
    return low
