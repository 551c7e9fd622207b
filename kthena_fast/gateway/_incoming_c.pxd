import cython

from kthena_fast.gateway cimport _whole as whole_room
from kthena_fast.gateway._bodies_c cimport Budget as Budget_c, Hold as Hold_c

cdef long long MOST_AT_ONCE


@cython.final
cdef class Incoming:
    cdef Budget_c _budget
    cdef Hold_c _hold
    cdef long long _length, _most
    cdef bytes _piece, _room
    cdef public long long missing
    cdef public bint is_in_place

    cpdef begin(self, long long length)
    cpdef bint is_too_large(self)
    @cython.locals(at="long long", end="long long")
    cpdef take(self, bytes data)
    cpdef bytes room(self)
    cpdef long long came(self)
    cpdef bint received(self, long long size)
    cdef bint _is_full(self)
    cpdef bint is_ready(self) except -1
    cpdef hold(self)
    @cython.locals(whole=bytes, piece=bytes)
    cpdef bytes whole(self)
    @cython.locals(had_room=bint)
    cpdef bint forget(self) except -1
