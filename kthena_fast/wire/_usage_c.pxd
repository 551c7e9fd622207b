import cython

from kthena_fast.wire cimport _peek_walk_c as walk
from kthena_fast.wire cimport _scan as scan

cdef long long _MOST
cdef bytes _NAME
cdef bytes _READ
cdef bytes _PRODUCED
cdef int _BACKSLASH
cdef int _CLOSE
cdef int _OPEN
cdef int _TRIES


@cython.final
cdef class Usage:
    cdef readonly long long input_tokens
    cdef readonly long long output_tokens


@cython.final
cdef class Tail:
    cdef Py_ssize_t _limit
    cdef object _pieces
    cdef bytes _first
    cdef Py_ssize_t _size

    cpdef object feed(self, bytes data)
    cpdef list pieces(self)
    cpdef object usage(self)


cpdef object of(object document, object before=*)
cpdef object parse(dict usage, object before=*)

@cython.locals(end=Py_ssize_t, at=Py_ssize_t, value=Py_ssize_t, after=Py_ssize_t)
cpdef object last(bytes data)

cdef object _count(dict usage, str name)

@cython.locals(
    found=walk.Peek, read="long long", produced="long long", after=Py_ssize_t, start=Py_ssize_t, stop=Py_ssize_t,
)
cdef object _walked(bytes data, Py_ssize_t at, Py_ssize_t end)
