cimport cython

from kthena_fast.core._heap_c cimport Heap
from kthena_fast.queueing._estimates_c cimport Ratios
from kthena_fast.queueing._gates_c cimport Gate
from kthena_fast.telemetry._values_c cimport Histogram, Value

cdef double PACE_OF_NEWEST
cdef long long LONGEST_RETRY


@cython.final
cdef class Queue:
    # What each request looks at, side by side.
    cdef public object owner
    cdef public Gate gate
    cdef readonly Heap heap
    cdef readonly Ratios ratios
    cdef readonly Meter meter
    cdef public double called_at
    # the rest
    cdef readonly object match
    cdef readonly object model
    cdef readonly list gates
    cdef readonly double interval

    @cython.locals(newest=double)
    cpdef on_call(self, double since, double now)
    cpdef Py_ssize_t retry_after(self) except? -1


@cython.final
cdef class Meter:
    cdef Value _dequeued, _inflight
    cdef Histogram _duration
    # of those that wait, and of who scrapes
    cdef Value _size, _cancelled, _rebuilds, _rekeys, _timeouts, _full, _user_full
    cdef long long _rebuilds_seen, _rekeys_seen

    cpdef entered(self)
    cpdef left(self)
    cpdef called(self, double waited)
    cpdef ended(self)
    cpdef cancelled(self, double waited)
    cpdef timed_out(self)
    cpdef rejected(self, object reason)
    cpdef rebuilt(self, long long total)
    cpdef rekeyed(self, long long total)
