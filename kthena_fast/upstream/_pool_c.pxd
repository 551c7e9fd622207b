import cython

from kthena_fast.routing._snapshot_c cimport Pod as Pod_c
from kthena_fast.upstream._connection_c cimport Connection as Connection_c


@cython.final
cdef class Kept:
    cdef readonly Pod_c pod
    cdef public Py_ssize_t idle
    cdef public Connection_c last
    cdef public bint is_retired

    @cython.locals(connection=Connection_c)
    cpdef list waiting(self)
    @cython.locals(after=Connection_c)
    cpdef forget(self, Connection_c connection)


@cython.final
cdef class Pool:
    cdef object _sockets, _loop, _tls, _sweeper
    cdef double _connect_timeout
    cdef Py_ssize_t _most_idle
    cdef set _kept
    cdef bint _is_closed

    @cython.locals(kept=Kept, connection=Connection_c)
    cpdef Connection_c take(self, Pod_c pod)
    @cython.locals(kept=Kept)
    cpdef give_back(self, Pod_c pod, Connection_c connection, now=*)
