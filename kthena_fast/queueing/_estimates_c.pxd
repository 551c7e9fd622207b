cimport cython

from kthena_fast.exchange._record_c cimport Exchange
from kthena_fast.wire._peek_walk_c cimport Peek

cdef double BYTES_PER_TOKEN
cdef double TOKENS_PER_EVENT
cdef double TOKENS_PER_SECOND
cdef double WEIGHT_OF_NEWEST
cdef double WEIGHT_OF_NEWEST_ANSWER
cdef long long LEAST_BYTES
cdef double LEAST_BYTES_PER_TOKEN
cdef double MOST_BYTES_PER_TOKEN
cdef double LEAST_TOKENS_PER_EVENT
cdef double MOST_TOKENS_PER_EVENT
cdef double MOST_TOKENS_PER_SECOND
cdef long long ENVELOPE_BYTES


@cython.final
cdef class Ratios:
    cdef readonly dict answers
    cdef readonly double bytes_per_token
    cdef readonly double tokens_per_event
    cdef readonly double tokens_per_second

    @cython.locals(peeked=Peek)
    cpdef Py_ssize_t input_tokens(self, Exchange exchange, long long image_tokens) except? -1
    @cython.locals(text="long long")
    cpdef Py_ssize_t tokens_of(
        self, long long size, long long tokens, long long images, long long image_tokens
    ) except? -1
    cpdef object output_tokens_of_bytes(self, object count)
    cpdef object output_tokens_of_seconds(self, double seconds)
    @cython.locals(peeked=Peek, size=double, seconds=double)
    cpdef learn(self, Exchange exchange)
    @cython.locals(pace=double, before=double)
    cpdef learn_of(self, double size, double tokens, double produced, double events, double seconds)


cdef double _step(double mean, double newest, double least, double most) except? -1


@cython.final
cdef class Answers:
    cdef dict users
    cdef object user
    cdef double mean
    cdef Answers newer
    cdef Answers older


@cython.final
cdef class RecentAnswers:
    cdef long long _most
    cdef long long _count
    cdef Answers _ring

    @cython.locals(known=Answers)
    cpdef double mean(self, dict users, object user) except? -1
    @cython.locals(ring=Answers, known=Answers)
    cpdef learn(self, dict users, object user, double tokens)
    cdef int _forget(self, Answers oldest) except -1
