import cython


@cython.final
cdef class State:
    cdef public object snapshot
    cdef public str detail
    cdef public str notice
    cdef public bint draining
    cdef bint _is_awaited
    cdef readonly dict serving
    cdef object _idle, _synced

    cpdef begin(self, exchange, passage)
    cpdef settle(self, exchange)
