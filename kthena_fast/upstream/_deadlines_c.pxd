import cython


@cython.final
cdef class Deadline:
    cdef set _bucket
    cdef object _callback


@cython.final
cdef class Deadlines:
    cdef dict _buckets
    cdef list _due
    cdef object _loop, _timer
    cdef long long _timer_at

    @cython.locals(due="long long", bucket=set, deadline=Deadline)
    cpdef Deadline add(self, double seconds, callback)
    cpdef cancel(self, Deadline deadline)
    cdef _arm(self, long long due)
    @cython.locals(armed_for="long long", now=double, bucket=set, deadline=Deadline)
    cpdef _pass(self)
