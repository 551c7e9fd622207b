# The function of _plain.py in C.

cdef extern from "Python.h":
    bint PyUnicode_IS_ASCII(object)
    const unsigned char *PyUnicode_1BYTE_DATA(object)
    Py_ssize_t PyUnicode_GET_LENGTH(object)


cdef inline bint is_plain(str text) except -1:
    cdef const unsigned char *base
    cdef Py_ssize_t at, size
    if text is None:
        raise TypeError("a text is a str")
    if not PyUnicode_IS_ASCII(text):
        return False
    size = PyUnicode_GET_LENGTH(text)
    if size > 1024:
        return False
    base = PyUnicode_1BYTE_DATA(text)
    for at in range(size):
        if base[at] <= 32 or base[at] == 34 or base[at] == 127:
            return False
    return True


cdef inline bint are_plain(str first, str second, str third, str fourth) except -1:
    return is_plain(first) and is_plain(second) and is_plain(third) and is_plain(fourth)
