import cython

from kthena_fast.exchange._record_c cimport Exchange as Exchange_c
from kthena_fast.exchange._record_c cimport Kept as Kept_c
from kthena_fast.telemetry._values_c cimport Histogram as Histogram_c
from kthena_fast.telemetry._values_c cimport Value as Value_c


@cython.final
cdef class Series:
    # What each request looks at, side by side.
    cdef readonly RequestMetrics owner
    cdef readonly long long generation
    cdef readonly Value_c downstream, upstream
    cdef str _server, _upstream_model, _asked, _error_type
    cdef Value_c _requests, _input, _output
    cdef Histogram_c _duration
    cdef int _status
    # the rest
    cdef object _registry
    cdef str _model, _path
    cdef tuple _destination
    cdef Value_c _retries
    cdef Histogram_c _first_token
    cdef dict _outcomes

    cdef keep_for(self, Exchange_c exchange)
    cdef bint goes_where(self, Exchange_c exchange) except -1
    cdef bint fits(self, Exchange_c exchange) except -1
    cpdef ended(self, int status, str error_type, double duration)
    cpdef tokens(self, long long tokens_in, long long tokens_out)
    @cython.locals(child=Histogram_c)
    cpdef first_token(self, double seconds)
    @cython.locals(child=Value_c)
    cpdef retried(self, int times)
    @cython.locals(children=tuple)
    cdef _end_otherwise(self, int status, str error_type)


@cython.final
cdef class Meter:
    cdef RequestMetrics _metrics
    cdef Exchange_c _exchange
    cdef Value_c _downstream, _upstream
    cdef bint _settled

    @cython.locals(gauge=Value_c, series=Series)
    cpdef parsed(self)
    @cython.locals(gauge=Value_c)
    cpdef attempt_began(self)
    cpdef attempt_ended(self)
    cpdef settle(self, double now)


@cython.final
cdef class RequestMetrics:
    cdef readonly Value_c active
    cdef readonly long long generation
    cdef object _registry, _path_label
    cdef frozenset _models, _routes, _servers
    # Readable, so that a test can see that they do not grow.
    cdef readonly dict _series, _downstream, _upstream

    cpdef Meter begin(self, Exchange_c exchange)
    @cython.locals(kept=Kept_c, series=Series)
    cdef Series kept(self, Exchange_c exchange)
    @cython.locals(server=str, path=str, series=Series)
    cdef Series _found(self, Exchange_c exchange)
    @cython.locals(series=Series)
    cpdef Series request(self, tuple key)
    @cython.locals(gauge=Value_c)
    cpdef Value_c downstream(self, str model)
    @cython.locals(gauge=Value_c, series=Series)
    cpdef Value_c upstream(self, Exchange_c exchange)
    @cython.locals(series=Series)
    cpdef observe_end(self, Exchange_c exchange, double now)
    cpdef count_refusal(self, error)
    cdef str _model_label(self, str model)
    @cython.locals(series=Series)
    cdef Series _make_series(self, tuple key)
