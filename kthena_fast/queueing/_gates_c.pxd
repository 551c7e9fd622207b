cimport cython

from kthena_fast.core cimport _heap_c as heaps

cdef double LATEST_TIMER
cdef double NEVER
cdef double ALWAYS


cdef class Gate:
    cdef readonly str key
    cdef readonly long long out
    cdef readonly set queues
    cdef readonly heaps.Rivals rivals

    cpdef bint has_room(self, double now) except -1
    cpdef take(self, double now)
    cpdef give_back(self)
    cpdef object server(self)


@cython.freelist(0)
cdef class ServerGate(Gate):
    cdef object _limit
    cdef object _server
    cdef long long _most
    cdef double _until

    cpdef serve(self, object server)
    cpdef relearn(self)
    cpdef Py_ssize_t limit(self, double now) except? -1
    cpdef bint has_room(self, double now) except -1
    cpdef object server(self)


@cython.freelist(0)
cdef class ModelGate(Gate):
    cdef readonly double interval
    cdef readonly double ready_at
    cdef public bint is_awaited

    cpdef bint has_room(self, double now) except -1
    @cython.locals(since=double)
    cpdef take(self, double now)
