# The functions of _whole.py in C, inlined into the compiled twins that cimport this file.
#
# The bytes have one owner and no hash until they are sealed, so they may still be written.

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.string cimport memcpy


cdef inline bytes blank(Py_ssize_t size):
    return PyBytes_FromStringAndSize(NULL, size)


cdef inline bytes grown(bytes whole, Py_ssize_t size):
    cdef bytes room = blank(size)
    put(room, 0, whole)
    return room


cdef inline int put(bytes whole, Py_ssize_t at, bytes piece) except -1:
    if at < 0 or PyBytes_GET_SIZE(piece) > PyBytes_GET_SIZE(whole) - at:
        raise IndexError("outside of the body")
    memcpy(PyBytes_AS_STRING(whole) + at, PyBytes_AS_STRING(piece), PyBytes_GET_SIZE(piece))
    return 0


cdef inline bytes sealed(bytes whole):
    return whole
