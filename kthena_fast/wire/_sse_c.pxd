import cython

from kthena_fast.wire cimport _scan as scan

cdef int _LF
cdef int _CR
cdef int _SPACE
cdef int _TAB
cdef int _QUOTE
cdef int _COLON
cdef int _COMMA
cdef int _OPEN
cdef int _CLOSE
cdef int _OPEN_LIST
cdef int _CLOSE_LIST
cdef bytes _DELTA
cdef bytes _TEXT
cdef bytes _CHOICES
cdef bytes _USAGE
cdef bytes _DATA
cdef bytes _DONE
cdef frozenset _NOT_GENERATED
cdef Py_ssize_t _LIMIT
cdef Py_ssize_t _HEAD
cdef int _DELTAS


@cython.final
cdef class Scanner:
    cdef readonly long long events
    cdef readonly object usage
    cdef readonly bint done
    cdef readonly bint mid_event
    cdef bint _strip
    cdef bytes _held
    cdef bint _released
    cdef bytes _head
    cdef bint _bare
    cdef Py_ssize_t _lf
    cdef bint _lf_follows
    cdef bint _lf_is_removed

    @cython.locals(
        text=bytes, known=Py_ssize_t, size=Py_ssize_t, sent=Py_ssize_t, kept=list, start=Py_ssize_t, at=Py_ssize_t,
        stop=Py_ssize_t, upto=Py_ssize_t, removed=bint,
    )
    cpdef bytes feed(self, data)

    @cython.locals(lf=Py_ssize_t, at=Py_ssize_t, reports=bint)
    cpdef bint passes(self, bytes data, Py_ssize_t start, Py_ssize_t end) except -1

    @cython.locals(held=bytes, released=bint, head=bytes, payload=bytes, removed=bint)
    cpdef bytes flush(self)

    @cython.locals(stop=Py_ssize_t)
    cdef Py_ssize_t _event_stop(self, bytes text, Py_ssize_t start, Py_ssize_t at, Py_ssize_t size) except? -2

    @cython.locals(length=Py_ssize_t)
    cdef Py_ssize_t _keep(self, bytes text, Py_ssize_t start, Py_ssize_t size) except -1

    @cython.locals(head=bytes, end=Py_ssize_t, plain=bint, payload=bytes, removed=bint)
    cdef bint _take(self, bytes text, Py_ssize_t start, Py_ssize_t stop) except -1

    cdef object _read_long(self, bytes head, bytes tail)

    cdef bint _judge(self, bytes data, Py_ssize_t at, Py_ssize_t end) except -1
    cdef Py_ssize_t _count(self, bytes data, Py_ssize_t at, Py_ssize_t end) except -2
    cdef bint _report(self, bytes data, Py_ssize_t at, Py_ssize_t end) except -1


cdef bytes _joined(bytes event)
cdef bint _is_json(bytes payload) except -1

@cython.locals(value=Py_ssize_t)
cdef bint _may_report(bytes data, Py_ssize_t at, Py_ssize_t end) except -1

cdef bint _shows_choice(bytes data, Py_ssize_t at, Py_ssize_t end) except -1
cdef Py_ssize_t _blank_end(bytes data, Py_ssize_t at, Py_ssize_t end) except? -2

@cython.locals(needle=bytes, key=Py_ssize_t, value=Py_ssize_t)
cdef bint _is_generated(bytes data, Py_ssize_t at, Py_ssize_t end) except -1

@cython.locals(after=Py_ssize_t, value=Py_ssize_t)
cdef bint _says_something(bytes data, Py_ssize_t at, Py_ssize_t end) except -1

@cython.locals(length=Py_ssize_t)
cdef bint _is_generated_member(bytes data, Py_ssize_t at, Py_ssize_t end) except -1

cdef bint _is_filled(bytes data, Py_ssize_t at, Py_ssize_t end) except -1
