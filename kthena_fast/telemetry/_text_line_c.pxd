import cython

from kthena_fast.exchange._record_c cimport Exchange as Exchange_c
from kthena_fast.exchange._record_c cimport Kept as Kept_c
from kthena_fast.telemetry cimport _layout as layout
from kthena_fast.telemetry cimport _plain as plain

cdef str NO_WAIT
cdef Py_ssize_t _LONGEST_KEPT, _MOST_KEPT
cdef dict _known


@cython.final
cdef class _Names:
    cdef str request, route, backend
    cdef str _path, _server, _upstream_model, _method, _protocol

    cdef bint fit(self, Exchange_c exchange) except -1


@cython.locals(names=_Names, kept=Kept_c)
cdef _Names _names_of(Exchange_c exchange)

@cython.locals(key=tuple, names=_Names)
cdef _Names _found(Exchange_c exchange)


@cython.locals(
    names=_Names, request_id=str, user=str, client=str, pod=str, failure=str, origin=str, began=double, parsed=double,
    forwarded=double, done=double, total="long long", reading="long long", upstream="long long", response="long long",
    ended=object, ttft="long long", turn=str, standing=str, usage=object, position="long long", queued="long long",
    ticks="long long", second="long long", date=str, zone=str,
)
cpdef bytes text(Exchange_c exchange, double now)

cdef long long _milliseconds(double seconds) except? -1
