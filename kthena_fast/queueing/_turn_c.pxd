cimport cython

from kthena_fast.core cimport _heap_c as heaps
from kthena_fast.exchange._record_c cimport Exchange
from kthena_fast.queueing._estimates_c cimport RecentAnswers
from kthena_fast.queueing._gates_c cimport Gate
from kthena_fast.queueing._queue_c cimport Queue
from kthena_fast.wire._peek_walk_c cimport Peek
from kthena_fast.wire._usage_c cimport Usage

cdef long long MOST_UNITS
cdef long long MOST_COUNT
cdef frozenset GENERATES


@cython.final
cdef class Terms:
    cdef readonly object turns
    cdef public object wall
    cdef readonly object tariff
    cdef readonly long long image_tokens
    cdef readonly RecentAnswers answers
    cdef long long _input_weight
    cdef long long _output_weight
    cdef long long _request_weight

    cpdef obey(self, object tariff)
    @cython.locals(units="long long", cost=double, whole="long long")
    cdef Py_ssize_t cost(self, long long tokens_in, double tokens_out) except -1


@cython.freelist(0)
@cython.final
cdef class Turn(heaps.Ticket):
    cdef Terms _terms
    cdef public Queue queue
    cdef readonly Exchange exchange
    cdef readonly double since
    cdef public object find
    cdef public object future
    cdef readonly Gate gate
    cdef readonly object server
    cdef long long _input
    cdef double _output
    cdef long long _reserved

    @cython.locals(mean=double)
    cdef int begin(self, Terms terms, Queue queue, Exchange exchange, double since) except -1
    cdef int admit(self, Gate gate, object server) except -1
    cpdef refuse(self, object error)
    cpdef on_events(self, long long count)
    cpdef on_usage(self, Usage usage)
    @cython.locals(gate=Gate, queue=Queue)
    cpdef end(self)
    cdef int _take(self, long long tokens_in, long long tokens_out) except -1
    @cython.locals(peeked=Peek)
    cdef Py_ssize_t _within_limit(self, long long tokens) except -1
    cdef Py_ssize_t owed(self) except -1
    @cython.locals(owed="long long")
    cdef int _charge(self) except -1
    @cython.locals(exchange=Exchange, tokens_in="long long", tokens_out="long long")
    cdef Py_ssize_t _true_cost(self) except -1
    @cython.locals(exchange=Exchange)
    cdef Py_ssize_t _unseen_output(self) except -1
