import cython

from kthena_fast.exchange._record_c cimport Exchange as Exchange_c
from kthena_fast.exchange._record_c cimport Kept as Kept_c
from kthena_fast.telemetry cimport _layout as layout
from kthena_fast.telemetry cimport _plain as plain

cdef str NO_WAIT
cdef Py_ssize_t _MOST_KEPT
cdef dict _known


@cython.final
cdef class _Names:
    cdef str route, backend
    cdef str _server, _upstream_model

    cdef bint fit(self, Exchange_c exchange) except -1


@cython.final
cdef class _Asked:
    cdef str _method, _path, _protocol, _said

    cdef str by(self, Exchange_c exchange)


cdef _Asked _asked


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
