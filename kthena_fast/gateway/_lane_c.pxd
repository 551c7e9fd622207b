import cython

from kthena_fast.exchange._record_c cimport Exchange as Exchange_c
from kthena_fast.gateway._incoming_c cimport Incoming as Incoming_c
from kthena_fast.gateway._state_c cimport State as State_c
from kthena_fast.transport._stream_c cimport Stream as Stream_c
from kthena_fast.wire cimport _headers_c as wire_headers
from kthena_fast.wire cimport _lines as lines
from kthena_fast.wire cimport _scan as scan
from kthena_fast.wire cimport _heads_c as heads
from kthena_fast.wire cimport _targets_c as targets

cdef frozenset _UNUSUAL
cdef tuple _TOLD, _ASKED
cdef bytes _BLANK
cdef object _CHUNKED, _CLOSE


@cython.final
cdef class Lane:
    # what each chunk looks at
    cdef Stream_c _stream
    # the process
    cdef object _way, _loop, _journey
    cdef State_c _state
    cdef Py_ssize_t _max_headers, _max_header_bytes
    # the connection
    cdef object _transport, _send, _parser, _pressure, _idle_deadline, _head_deadline, _ending, _probing
    cdef int _phase
    cdef str _peer
    cdef bint _trusted, _is_tls, _is_paused, _half_closed, _is_lost
    cdef bytes _waiting
    cdef double _idle_since
    # the head
    cdef bytes _head, _target
    cdef bint _head_complete, _is_plain
    cdef object _fields
    # the body
    cdef Incoming_c _incoming
    cdef object _progress
    # the answer
    cdef object _passage
    cdef bint _keep_alive, _complete
    cdef readonly bint started

    @cython.locals(stream=Stream_c)
    cpdef write(self, bytes data)

    @cython.locals(
        before=bytes, head=bytes, piece=bytes, rest=bytes, at=Py_ssize_t, end=Py_ssize_t, upgrades=bint,
        plain=heads.Head, usual=bint,
    )
    cdef _read_head(self, bytes data)
    cdef _await_head(self)
    cdef bint _is_beyond(self, bytes head)

    @cython.locals(told=list, length=bytes, host=bytes, kind=bytes, request_id=bytes, is_path=bint, limit=Py_ssize_t)
    cdef _judge(
        self, bytes head, bytes rest, bytes target, object fields, long long size, bint usual, bint keep_alive,
    )
    cdef _answer_at_once(self, problem, bytes request_id)
    @cython.locals(exchange=Exchange_c, path=str, query=str, incoming=Incoming_c)
    cdef _begin(self, bytes target, object fields, bytes request_id, bytes kind)
    cdef _begin_early(self, Exchange_c exchange)
    cdef _hand_over(self, bytes data)

    cdef _await_body(self, long long length, bytes rest)

    @cython.locals(rest=bytes, incoming=Incoming_c, missing="long long")
    cdef bytes _take_body(self, bytes data)
    @cython.locals(stream=Stream_c, room=bytes)
    cdef _receive_in_place(self)
    cpdef _on_received(self, Py_ssize_t size)
    cdef _forget_body(self)
    cdef _on_piece(self)
    cdef bint _is_held(self) except -1
    cdef _stop_waiting(self)

    cpdef _on_served(self, Exchange_c exchange)
    @cython.locals(waiting=bytes)
    cpdef _go_on(self)
    cdef _refuse(self, error)
    @cython.locals(incoming=Incoming_c)
    cdef _end(self)
    cdef _linger(self)
    cdef _detach(self)
    cdef _resume(self)
    cdef _stop_probing(self)
