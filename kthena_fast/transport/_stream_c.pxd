import cython

from kthena_fast.transport cimport _calls as calls

cdef Py_ssize_t MUCH, MOST_GATHERED, SMALL
cdef unsigned int _READABLE, _WRITABLE, _SPLIT, _BROKEN


@cython.final
cdef class Outbox:
    cdef public bint is_open
    cdef list _streams

    cdef add(self, Stream stream)
    cpdef bint is_full(self)
    @cython.locals(streams=list, stream=Stream)
    cpdef send(self)


@cython.final
cdef class Stream:
    cdef Outbox _outbox
    cdef object _keeper, _loop, _opened, _protocol, _receive, _room, _room_told, _waiting, _failure
    cdef Py_ssize_t _room_at
    cdef int _descriptor
    cdef public bint is_patient
    cdef readonly bint takes_much
    cdef bint _is_paused, _has_more, _has_ended, _is_in_line
    cdef bint _is_full, _is_gathered, _shuts, _is_closing, _is_losing
    cdef Py_ssize_t _buffered, _sent, _high, _low

    cpdef bint is_closing(self)
    cpdef close(self)
    cpdef abort(self)
    cpdef bint is_reading(self)
    cpdef pause_reading(self)
    cpdef resume_reading(self)
    cpdef receive_into(self, room, Py_ssize_t at=*, told=*)
    cpdef Py_ssize_t get_write_buffer_size(self)
    @cython.locals(piece=bytes, sent=Py_ssize_t)
    cpdef write(self, data)
    cdef _gather(self)

    cpdef on_events(self, unsigned int events)
    cpdef on_sending(self)
    cpdef on_turn(self)
    cdef _on_readable(self, unsigned int events)
    @cython.locals(data=bytes, asked=Py_ssize_t, size=Py_ssize_t)
    cdef _read(self, bint to_the_end)
    cdef _fill(self, Py_ssize_t size)
    cdef _line_up(self)
    cdef _on_end(self)
    cdef _pause_if_full(self)
    @cython.locals(piece=bytes, sent=Py_ssize_t)
    cdef _flush(self)
    cdef _shut(self)
    cdef _on_fault(self, problem)
    cdef _fail(self, failure)
    cdef _lose_soon(self)
    cpdef _lose(self)
