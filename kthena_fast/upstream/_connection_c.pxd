import cython

from kthena_fast.transport._stream_c cimport Stream as Stream_c
from kthena_fast.upstream._relay_c cimport Relay as Relay_c


@cython.final
cdef class Connection:
    cdef Relay_c _relay
    cdef Stream_c _stream
    cdef object _owner
    cdef long long _served
    cdef bint _paused
    cdef public double idle_since
    cdef public Connection before
    cdef public bint is_open
    cdef public object transport

    @cython.locals(relay=Relay_c)
    cpdef bint is_reusable(self) except -1
    @cython.locals(stream=Stream_c)
    cdef bint _has_sent_all(self) except -1
    @cython.locals(stream=Stream_c)
    cpdef send(self, bytes head, bytes body, Relay_c relay)
    cpdef rest(self, double now)
    cpdef on_stream(self)
    @cython.locals(relay=Relay_c)
    cpdef abort(self)
    cpdef resume_reading(self)
    @cython.locals(relay=Relay_c)
    cpdef data_received(self, bytes data)
