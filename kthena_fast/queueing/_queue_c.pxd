cimport cython

from kthena_fast.core._heap_c cimport Heap
from kthena_fast.queueing._estimates_c cimport Ratios
from kthena_fast.telemetry._table_c cimport Table

cdef double PACE_OF_NEWEST
cdef long long LONGEST_RETRY


@cython.final
cdef class Queue:
    cdef readonly object match
    cdef readonly object model
    cdef readonly Heap heap
    cdef readonly Ratios ratios
    cdef readonly Meter meter
    cdef readonly list gates
    cdef readonly double interval
    cdef public double called_at

    @cython.locals(newest=double)
    cpdef on_call(self, double since, double now)
    cpdef Py_ssize_t retry_after(self) except? -1


@cython.final
cdef class Meter:
    cdef Table _table
    cdef object _size
    cdef object _duration
    cdef object _cancelled
    cdef object _dequeued
    cdef object _inflight
    cdef object _rebuilds
    cdef object _rekeys
    cdef long long _rekeys_seen
    cdef object _timeouts
    cdef object _full
    cdef object _user_full

    cpdef entered(self)
    cpdef left(self)
    cpdef called(self, double waited)
    cpdef ended(self)
    cpdef cancelled(self, double waited)
    cpdef timed_out(self)
    cpdef rejected(self, object reason)
    cpdef rebuilt(self)
    cpdef rekeyed(self, long long total)
