cimport cython

from kthena_fast.core cimport _heap_c as heaps
from kthena_fast.core cimport _ledger_c as ledgers
from kthena_fast.exchange._record_c cimport Exchange
from kthena_fast.queueing cimport _estimates_c as estimates
from kthena_fast.queueing cimport _gates_c as gates
from kthena_fast.queueing cimport _queue_c as queues
from kthena_fast.queueing cimport _turn_c as turn_room
from kthena_fast.queueing._queue_c cimport Queue
from kthena_fast.routing._snapshot_c cimport Match as Match_c

cdef double UNITS
cdef long long EXACT_POSITIONS


@cython.final
cdef class Turns:
    cdef readonly turn_room.Terms terms
    cdef readonly ledgers.Ledger ledger
    cdef readonly object window
    cdef readonly str policy
    cdef readonly object shares
    cdef readonly dict queues
    cdef readonly long long rebuilds
    cdef readonly dict server_gates
    cdef bint _all_equal
    cdef object _equal
    cdef dict _model_gates
    cdef readonly dict _ratios
    cdef object _loop
    cdef object _draw
    cdef object _timers
    cdef object _limit
    cdef object _max_qps
    cdef object _timeout
    cdef object _max_queue
    cdef object _max_queue_per_user
    cdef object _report
    cdef object _snapshot
    cdef object _sweeper

    @cython.locals(queue=Queue, gate=gates.Gate, turn=turn_room.Turn)
    cpdef turn_room.Turn enter(self, Exchange exchange, Match_c match, double now)
    @cython.locals(exchange=Exchange, queue=Queue)
    cdef int _enter(self, turn_room.Turn turn, object now, bint at_once) except -1
    cdef object _refusal(self, Queue queue, object full)
    @cython.locals(queue=Queue, gate=gates.Gate, now=double, waiting="long long")
    cdef int _arrive(self, turn_room.Turn turn) except -1
    @cython.locals(gate=gates.Gate)
    cdef gates.Gate _open_gate(self, Queue queue, double now)
    @cython.locals(heap=heaps.Heap, ticket=heaps.Ticket, turn=turn_room.Turn, queue=Queue, waited=double)
    cdef bint _call(self, gates.Gate gate, double now) except -1
    @cython.locals(queue=Queue, heap=heaps.Heap, best=heaps.Heap)
    cdef heaps.Heap _best(self, gates.Gate gate)
    cdef bint _has_pods(self, Queue queue) except -1
    @cython.locals(now=double)
    cpdef call_waiting(self, gates.Gate gate)
    cdef int _wake_when_ready(self, gates.Gate gate) except -1
