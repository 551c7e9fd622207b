import cython

from kthena_fast.wire cimport _scan as scan

cdef long long _MOST
cdef bytes _NAME
cdef int _COLON
cdef int _OPEN
cdef int _TRIES


@cython.final
cdef class Usage:
    cdef readonly long long input_tokens
    cdef readonly long long output_tokens


@cython.final
@cython.freelist(256)
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
