import cython

from kthena_fast.upstream._relay_c cimport Relay as Relay_c


@cython.final
cdef class Connection:
    cdef object _owner
    cdef Relay_c _relay
    cdef long long _served
    cdef bint _paused
    cdef public double idle_since
    cdef public Connection before
    cdef public bint is_open
    cdef public object transport

    @cython.locals(relay=Relay_c)
    cpdef bint is_reusable(self) except -1
    cpdef send(self, bytes head, bytes body, Relay_c relay)
    cpdef rest(self, double now)
    @cython.locals(relay=Relay_c)
    cpdef abort(self)
    cpdef resume_reading(self)
    @cython.locals(relay=Relay_c)
    cpdef data_received(self, bytes data)
