# The functions of _lines.py in C, inlined into the compiled twins that cimport this file.
#
# A table has 256 bytes, so whatever byte is looked up in it is there; what is written stays in the size counted first.

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.object cimport PyObject
from libc.string cimport memcmp, memcpy

cdef extern from "Python.h":
    PyObject *PyTuple_GET_ITEM(tuple, Py_ssize_t)


cdef inline bint all_of(bytes data, bytes allowed) except -1:
    cdef const unsigned char *base = data
    cdef const unsigned char *table = allowed
    cdef Py_ssize_t at
    for at in range(PyBytes_GET_SIZE(data)):
        if not table[base[at]]:
            return False
    return True


cdef inline bytes part(bytes data, Py_ssize_t start, Py_ssize_t end):
    if start < 0 or end > PyBytes_GET_SIZE(data):
        raise IndexError("outside of the bytes")
    if start >= end:
        return b""
    return PyBytes_FromStringAndSize(PyBytes_AS_STRING(data) + start, end - start)


cdef inline Py_ssize_t place_of(bytes data, Py_ssize_t start, Py_ssize_t end, tuple names) except -2:
    cdef PyObject *name
    cdef Py_ssize_t place, size = end - start
    if start < 0 or size < 0 or end > PyBytes_GET_SIZE(data):
        raise IndexError("outside of the bytes")
    for place in range(len(names)):
        # Borrowed: the tuple has it.
        name = PyTuple_GET_ITEM(names, place)
        if PyBytes_GET_SIZE(<bytes> name) == size and not memcmp(
            PyBytes_AS_STRING(data) + start, PyBytes_AS_STRING(<bytes> name), size
        ):
            return place
    return -1


cdef inline bytes joined(list headers, bytes names, bytes values):
    cdef tuple header
    cdef bytes name, value, lines
    cdef Py_ssize_t size = 0
    cdef char *to
    for header in headers:
        name = header[0]
        value = header[1]
        if not PyBytes_GET_SIZE(name) or not all_of(name, names) or not all_of(value, values):
            return None
        size += PyBytes_GET_SIZE(name) + PyBytes_GET_SIZE(value) + 4
    lines = PyBytes_FromStringAndSize(NULL, size)
    to = PyBytes_AS_STRING(lines)
    for header in headers:
        name = header[0]
        value = header[1]
        memcpy(to, PyBytes_AS_STRING(name), PyBytes_GET_SIZE(name))
        to += PyBytes_GET_SIZE(name)
        memcpy(to, b": ", 2)
        to += 2
        memcpy(to, PyBytes_AS_STRING(value), PyBytes_GET_SIZE(value))
        to += PyBytes_GET_SIZE(value)
        memcpy(to, b"\r\n", 2)
        to += 2
    return lines


cdef inline bytes hex16(unsigned long long number):
    cdef const unsigned char *digits = b"0123456789abcdef"
    cdef bytes text = PyBytes_FromStringAndSize(NULL, 16)
    cdef char *to = PyBytes_AS_STRING(text)
    cdef int at
    for at in range(16):
        to[15 - at] = digits[number & 15]
        number >>= 4
    return text
