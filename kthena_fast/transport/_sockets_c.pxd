import cython

from kthena_fast.transport cimport _calls as calls
from kthena_fast.transport._stream_c cimport Outbox as Outbox_c, Stream as Stream_c


@cython.final
cdef class Sockets:
    cdef Outbox_c _outbox
    cdef object _loop, _epoll, _line, _clock, _sleep
    cdef int _descriptor
    cdef bytes _events
    cdef list _streams
    cdef bint _is_called, _is_closed, _is_dense
    cdef double _nap, _since
    cdef long long _counted

    cpdef line_up(self, Stream_c stream)
    cpdef forget(self, int descriptor)
    @cython.locals(naps=int)
    cpdef _on_ready(self)
    @cython.locals(count=int, patient=int, now=double)
    cdef bint _look(self) except -1
    @cython.locals(streams=list, events=bytes, number=int, patient=int, stream=Stream_c, outbox=Outbox_c)
    cdef int _serve(self, int count) except -1
