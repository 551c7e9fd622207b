import cython

from kthena_fast.exchange._record_c cimport Exchange as Exchange_c
from kthena_fast.wire cimport _chunks as chunks
from kthena_fast.wire cimport _headers_c as headers
from kthena_fast.wire cimport _lines as lines
from kthena_fast.wire cimport _scan as scan
from kthena_fast.wire cimport _heads_c as heads
from kthena_fast.wire._sse_c cimport Scanner as Scanner_c
from kthena_fast.wire._usage_c cimport Tail as Tail_c, Usage as Usage_c

cdef tuple _TOLD, _ASKED
cdef bytes _BLANK
cdef Py_ssize_t MAX_HEAD, MOST_DIGITS
cdef int MOST_STATUS
cdef object _LENGTH, _CHUNKED, _CLOSE, _DONE


@cython.final
cdef class Relay:
    # What each chunk looks at, side by side.
    cdef Scanner_c _scanner
    cdef object _downstream, _tally
    cdef long long _size, _events
    cdef readonly bint is_over
    cdef bint _started, _raw, _at_boundary, _has_written, _complete
    # the exchange
    cdef Exchange_c _exchange
    cdef object _loop, _flow, _over, _parser, _reported
    cdef Tail_c _tail
    cdef bint _strip_usage, _may_refuse
    cdef readonly object outcome
    cdef readonly str detail
    cdef readonly bint is_reusable, received
    # the head
    cdef object _fields
    cdef bytes _head_end
    cdef Py_ssize_t _head_size
    cdef int _status
    cdef bint _head_complete, _keep_alive, _is_counted
    cdef long long _left
    # the body
    cdef list _pieces
    cdef bint _streams, _framed, _until_close, _edited, _attached, _extra

    cpdef receive(self, bytes data)
    @cython.locals(out=bytes)
    cpdef on_body(self, bytes body)

    @cython.locals(before=Py_ssize_t, at=Py_ssize_t, end=Py_ssize_t, piece=bytes, plain=heads.Head)
    cdef _read_head(self, bytes data)
    cdef _read_plain(self, heads.Head head, bytes rest)
    @cython.locals(exchange=Exchange_c, first=bytes, head=bytes, problem=str)
    cdef _begin(self, bytes rest)
    @cython.locals(
        told=list, length=bytes, coding=bytes, kind=bytes, encoding=bytes,
        has_length=bint, is_chunked=bint, encoded=bint,
    )
    cdef _choose_framing(self)
    cdef str _feed(self, bytes data)
    cdef _count(self, bytes data)
    @cython.locals(problem=str, out=bytes, rest=bytes, taken=Py_ssize_t)
    cdef _pass(self, bytes data)
    @cython.locals(scanner=Scanner_c, at=Py_ssize_t, start=Py_ssize_t, end=Py_ssize_t)
    cdef Py_ssize_t _take_plain(self, bytes data) except -1
    @cython.locals(at=Py_ssize_t, end=Py_ssize_t)
    cdef _keep_plain(self, bytes data, Py_ssize_t taken)

    @cython.locals(complete=bint, held=bytes, pieces=list, out=bytes)
    cdef bytes _to_client(self, bytes data)

    @cython.locals(count="long long", scanner=Scanner_c)
    cdef _report(self, tally)
    cdef _finish(self, now=*)
    @cython.locals(scanner=Scanner_c)
    cdef _cut(self, str detail)
    cdef _give_up(self, outcome, str detail)
    @cython.locals(exchange=Exchange_c, found=Usage_c)
    cdef _settle(self, outcome, now=*)
    cdef _end(self, outcome)
    cdef _tell(self)
