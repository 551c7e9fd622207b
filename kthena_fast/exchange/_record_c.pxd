import cython


cdef class Kept:
    cdef public object names, series


@cython.final
cdef class Exchange:
    # arrival
    cdef public str method, path, query, protocol, peer, client, scheme
    cdef public bytes target, request_id, content_type, body
    cdef public object headers
    cdef public bint trusted
    cdef public double began, wall
    # peek
    cdef public object peek, form
    cdef public str model
    cdef public bint streaming
    cdef public double parsed
    cdef public long long prompt_estimate
    # match
    cdef public Kept kept
    cdef public str route
    cdef public bint lora
    # identify
    cdef public str user
    # wait for a turn
    cdef public double queue_time
    cdef public long long queue_position
    cdef public object usage_at_admission, share_at_admission
    cdef public str policy
    # pick
    cdef public str server, pod, upstream_model
    # forward
    cdef public bytes answer_lines
    cdef public object forwarded
    cdef public int attempts, upstream_status, status
    cdef public bint sent
    cdef public object first_byte, upstream_ended
    cdef public long long bytes_out, events
    # settle
    cdef public long long input_tokens, output_tokens
    cdef public object ended, error

    @cython.locals(key=bytes, value=bytes)
    cpdef header(self, bytes name)
