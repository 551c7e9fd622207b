import cython

from kthena_fast.exchange._record_c cimport Exchange as Exchange_c
from kthena_fast.telemetry._writer_c cimport Writer as Writer_c


@cython.final
cdef class AccessLog:
    cdef object _line
    cdef Writer_c _writer

    cpdef record(self, Exchange_c exchange, double now)
