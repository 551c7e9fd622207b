import cython

from kthena_fast.exchange._record_c cimport Exchange as Exchange_c
from kthena_fast.wire._peek_walk_c cimport Peek as Peek_c

cdef int _HEADER, _USER, _USER_ID, _FIELD, _ANONYMOUS


@cython.final
cdef class Identifier:
    cdef list _sources
    cdef readonly bint trusts_clients

    @cython.locals(source=_Source, name=str)
    cpdef str of(self, Exchange_c exchange)


@cython.final
cdef class _Source:
    cdef bytes _header
    cdef str _field
    cdef int _kind

    @cython.locals(header=bytes, peeked=Peek_c)
    cdef find(self, Exchange_c exchange)
