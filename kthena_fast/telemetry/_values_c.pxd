import cython
from cpython.array cimport array

from kthena_fast.telemetry cimport _buckets as buckets

cdef double MAX_NUMBER


@cython.final
cdef class Value:
    cdef public double number

    @cython.locals(number=double)
    cpdef add(self, double amount)
    @cython.locals(number=double)
    cpdef set(self, double amount)


@cython.final
cdef class Histogram:
    cdef array _bounds, _counts
    cdef double *_at
    cdef readonly double sum

    @cython.locals(number=double)
    cpdef observe(self, double amount)
