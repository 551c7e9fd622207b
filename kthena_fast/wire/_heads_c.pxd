import cython

from kthena_fast.wire cimport _lines as lines
from kthena_fast.wire cimport _scan as scan

cdef bytes _LOWER, _VALUE, _TARGET, _DIGITS
cdef int _CR, _LF, _SPACE, _TAB, _COLON
cdef frozenset _NOT_PLAIN
cdef int _MOST_DIGITS


@cython.final
@cython.freelist(64)
cdef class Head:
    cdef readonly bytes target
    cdef readonly int status
    cdef readonly list fields
    cdef readonly long long length
    cdef readonly bint keep_alive


@cython.locals(end=Py_ssize_t, space=Py_ssize_t, head=Head)
cpdef Head request(bytes data)
@cython.locals(end=Py_ssize_t, status=int, line_end=Py_ssize_t, head=Head)
cpdef Head response(bytes data)
@cython.locals(
    is_told=bint, stop=Py_ssize_t, colon=Py_ssize_t, first=Py_ssize_t, last=Py_ssize_t, name=bytes, value=bytes,
)
cdef bint _read_fields(Head head, bytes data, Py_ssize_t at, Py_ssize_t end) except -1
