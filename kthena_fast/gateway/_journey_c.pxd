import cython

from kthena_fast.auth._identity_c cimport Identifier as Identifier_c
from kthena_fast.exchange._record_c cimport Exchange as Exchange_c
from kthena_fast.gateway._state_c cimport State as State_c
from kthena_fast.queueing._turn_c cimport Turn as Turn_c
from kthena_fast.queueing._turns_c cimport Turns as Turns_c
from kthena_fast.routing._snapshot_c cimport Match as Match_c, Server as Server_c, Snapshot as Snapshot_c
from kthena_fast.telemetry._access_log_c cimport AccessLog as AccessLog_c
from kthena_fast.telemetry._requests_c cimport Meter as Meter_c, RequestMetrics as RequestMetrics_c
from kthena_fast.upstream._forward_c cimport Forwarder as Forwarder_c, Forwarding as Forwarding_c, Request as Request_c
from kthena_fast.wire cimport _headers_c as wire_headers
from kthena_fast.wire cimport _peek_c as wire_peek
from kthena_fast.wire cimport _targets_c as targets
from kthena_fast.wire._peek_walk_c cimport Peek as Peek_c

cdef object _DONE, _CUT

cdef class Journey


@cython.final
cdef class Passage:
    cdef Journey _journey
    cdef object _rest
    cdef readonly Exchange_c exchange
    cdef readonly object downstream
    cdef readonly Meter_c meter
    cdef public object done, task
    cdef public Turn_c turn
    cdef public Server_c server
    cdef public Forwarding_c forwarding
    cdef public bint is_settled

    cpdef end_turn(self)
    cpdef on_over(self, outcome)
    cpdef go_on(self, rest)


cdef class Journey:
    cdef State_c _state
    cdef AccessLog_c _access_log
    cdef Identifier_c _identifier
    cdef Turns_c _turns
    cdef object _clock, _draw
    cdef Forwarder_c _forwarder
    cdef RequestMetrics_c _metrics

    @cython.locals(passage=Passage)
    cpdef serve_at_once(self, Exchange_c exchange, downstream, done)
    @cython.locals(passage=Passage)
    cpdef Passage begin(self, Exchange_c exchange, downstream, done)
    @cython.locals(forwarding=Forwarding_c)
    cpdef proceed(self, Passage passage)
    cpdef refuse(self, Passage passage, problem)
    @cython.locals(passage=Passage)
    cdef Passage _begin(self, Exchange_c exchange, downstream)
    @cython.locals(problem=str)
    cdef bint _is_model_list(self, Exchange_c exchange) except -1
    @cython.locals(exchange=Exchange_c)
    cdef _list_models(self, Passage passage)
    cdef _require_sync(self)
    @cython.locals(exchange=Exchange_c, match=Match_c)
    cdef Match_c _understand(self, Passage passage)
    @cython.locals(peeked=Peek_c)
    cdef _peek(self, Exchange_c exchange)
    @cython.locals(match=Match_c, snapshot=Snapshot_c)
    cdef Match_c _match(self, Exchange_c exchange)
    @cython.locals(turn=Turn_c)
    cdef _enter(self, Passage passage, Match_c match)
    cdef Server_c _draw_server(self, Exchange_c exchange, Match_c match)
    @cython.locals(exchange=Exchange_c, server=Server_c, forwarding=Forwarding_c)
    cdef Forwarding_c _set_out(self, Passage passage)
    @cython.locals(exchange=Exchange_c)
    cpdef on_cancelled(self, Passage passage, reason=*)
    @cython.locals(exchange=Exchange_c)
    cdef _fail(self, Passage passage, problem)
    @cython.locals(exchange=Exchange_c, now=double)
    cpdef settle(self, Passage passage, at=*)


cdef str _MODELS
cdef bytes _JSON, NO_QUEUE_TIME

cdef _require_inference(Exchange_c exchange)
cdef long long _estimate(Peek_c peeked) except -1
@cython.locals(body=bytes, strip_usage=bint, lines=bytes)
cdef Request_c _request(Exchange_c exchange)
@cython.locals(peeked=Peek_c, wants_usage=bint)
cdef tuple _body_for_engine(Exchange_c exchange)
cdef _answer(Exchange_c exchange, downstream, error)
