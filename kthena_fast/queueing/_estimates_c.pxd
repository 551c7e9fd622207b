cimport cython

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
    cdef readonly double bytes_per_token
    cdef readonly double tokens_per_event
    cdef readonly double tokens_per_second

    cpdef object input_tokens(self, object exchange, object image_tokens)
    cpdef object output_tokens_of_bytes(self, object count)
    cpdef object output_tokens_of_seconds(self, double seconds)
    @cython.locals(pace=double, before=double)
    cpdef learn(self, object exchange)


cdef double _step(double mean, double newest, double least, double most) except? -1


@cython.final
cdef class RecentAnswers:
    cdef long long _most
    cdef object _means

    cpdef object mean(self, object model, object user)
    @cython.locals(key=tuple)
    cpdef learn(self, object model, object user, object tokens)
