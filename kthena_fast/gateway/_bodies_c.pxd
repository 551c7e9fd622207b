import cython


@cython.final
cdef class Budget:
    cdef readonly long long limit
    cdef public long long held
    cdef long long _most

    cpdef bint has_room_for(self, long long count) except -1
    cpdef hold(self, long long count)
    cpdef release(self, long long count)


@cython.final
cdef class Hold:
    cdef Budget _budget
    cdef long long _count

    cpdef grow_to(self, long long count)
    cpdef release(self)


@cython.final
cdef class Progress:
    cdef object _deadlines, _fail, _deadline
    cdef double _patience
    cdef bint _moved

    cpdef moved(self)
