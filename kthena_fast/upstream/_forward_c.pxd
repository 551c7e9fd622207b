import cython

from kthena_fast.exchange._record_c cimport Exchange as Exchange_c
from kthena_fast.routing._snapshot_c cimport Pod as Pod_c, Server as Server_c
from kthena_fast.upstream._connection_c cimport Connection as Connection_c
from kthena_fast.upstream._deadlines_c cimport Deadlines as Deadlines_c
from kthena_fast.upstream._pool_c cimport Pool as Pool_c
from kthena_fast.upstream._relay_c cimport Relay as Relay_c
from kthena_fast.wire cimport _headers_c as headers
from kthena_fast.wire cimport _lines as lines

cdef object _DONE, _CUT


@cython.final
cdef class Request:
    cdef readonly bytes method, target, lines, body
    cdef readonly bint strip_usage

    @cython.locals(target=bytes)
    cpdef bytes head(self, Pod_c pod)


@cython.final
cdef class Forwarder:
    cdef readonly object loop, picker
    cdef readonly Pool_c pool
    cdef readonly Deadlines_c deadlines

    cpdef Forwarding forwarding(
        self, Exchange_c exchange, Server_c server, downstream, Request request, gauge=*, tally=*
    )


@cython.final
cdef class Forwarding:
    cdef Forwarder _forwarder
    cdef Exchange_c _exchange
    cdef Server_c _server
    cdef object _downstream, _gauge, _tally
    cdef Request _request
    cdef list _tried
    cdef int _unreachable
    cdef long long _retries
    # the attempt
    cdef Pod_c _pod
    cdef bint _stale, _is_asking
    cdef Connection_c _connection
    cdef Relay_c _relay
    cdef object _deadline, _over, _waiter
    cdef str _detail

    @cython.locals(pod=Pod_c, connection=Connection_c)
    cpdef bint start(self, over) except -1
    cpdef abandon(self)

    @cython.locals(server=Server_c)
    cdef double _judge(self, outcome) except? -2
    @cython.locals(pod=Pod_c, exchange=Exchange_c)
    cdef Pod_c _choose(self, now=*)
    cdef _begin(self, Pod_c pod)
    @cython.locals(forwarder=Forwarder, request=Request, may_refuse=bint, head=bytes, relay=Relay_c)
    cdef _ask(self, Pod_c pod, Connection_c connection, over)
    cpdef _wake(self, outcome)
    cpdef _on_over(self, outcome)
    @cython.locals(pod=Pod_c, relay=Relay_c, connection=Connection_c)
    cdef _end(self)
