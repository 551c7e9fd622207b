import cython


@cython.final
cdef class Relay:
    cdef readonly object outcome
    cdef readonly str detail
    cdef readonly bint is_over, is_reusable, received
    cdef object _loop, _exchange, _downstream, _flow, _tally, _parser, _scanner, _tail, _reported
    cdef bint _strip_usage, _may_refuse
    # the head
    cdef list _fields
    cdef bytes _head_end
    cdef Py_ssize_t _head_size
    cdef int _status
    cdef bint _head_complete, _keep_alive, _started
    # the body
    cdef list _pieces
    cdef bint _streams, _raw, _framed, _until_close, _at_boundary, _edited, _attached, _complete, _extra
    cdef long long _size, _events

    cpdef receive(self, bytes data)

    @cython.locals(before=Py_ssize_t, at=Py_ssize_t, end=Py_ssize_t, piece=bytes)
    cdef _read_head(self, bytes data)
    cdef _begin(self, bytes rest)
    cdef _choose_framing(self)
    cdef str _feed(self, bytes data)
    cdef _pass(self, bytes data)

    @cython.locals(complete=bint, held=bytes, pieces=list, out=bytes)
    cdef bytes _to_client(self, bytes data)

    @cython.locals(count="long long")
    cdef _report(self, tally)
    cdef _finish(self)
    cdef _cut(self, str detail)
    cdef _give_up(self, outcome, str detail)
    cdef _settle(self, outcome)
    cdef _end(self, outcome)
