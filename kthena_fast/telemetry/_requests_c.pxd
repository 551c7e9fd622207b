import cython

from kthena_fast.exchange._record_c cimport Exchange as Exchange_c
from kthena_fast.telemetry._table_c cimport Table as Table_c


@cython.final
cdef class Series:
    cdef object _registry
    cdef Table_c _table
    cdef str _model, _path
    cdef tuple _destination
    cdef object _input, _output, _first_token, _retries
    cdef dict _outcomes

    @cython.locals(outcome=tuple)
    cpdef ended(self, int status, str error_type, double duration)
    cpdef tokens(self, long long tokens_in, long long tokens_out)
    cpdef first_token(self, double seconds)
    cpdef retried(self, int times)


@cython.final
cdef class Gauge:
    cdef readonly object slot
    cdef readonly long long number


@cython.final
@cython.freelist(256)
cdef class Meter:
    cdef RequestMetrics _metrics
    cdef Exchange_c _exchange
    cdef Gauge _downstream, _upstream
    cdef bint _settled

    @cython.locals(gauge=Gauge)
    cpdef parsed(self)
    @cython.locals(gauge=Gauge)
    cpdef attempt_began(self)
    cpdef attempt_ended(self)
    cpdef settle(self, double now)


@cython.final
cdef class RequestMetrics:
    cdef readonly Table_c table
    cdef readonly Gauge active
    cdef dict _gauges
    cdef object _registry, _path_label
    cdef frozenset _models, _routes, _servers
    # Readable, so that a test can see that they do not grow.
    cdef readonly dict _series, _downstream, _upstream

    cpdef Meter begin(self, Exchange_c exchange)
    @cython.locals(series=Series)
    cpdef Series request(self, tuple key)
    @cython.locals(gauge=Gauge)
    cpdef refresh(self)
    @cython.locals(gauge=Gauge)
    cpdef Gauge downstream(self, str model)
    @cython.locals(gauge=Gauge)
    cpdef Gauge upstream(self, Exchange_c exchange)
    @cython.locals(gauge=Gauge)
    cdef Gauge _gauge(self, slot)
    @cython.locals(series=Series, server=str, path=str)
    cpdef observe_end(self, Exchange_c exchange, double now)
    cpdef count_refusal(self, error)
    cdef str _model_label(self, str model)
    @cython.locals(series=Series)
    cdef Series _make_series(self, tuple key)
