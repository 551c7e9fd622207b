import cython

from kthena_fast.transport cimport _calls as calls
from kthena_fast.transport._stream_c cimport Stream as Stream_c


@cython.final
cdef class Sockets:
    cdef object _loop, _epoll, _line
    cdef int _descriptor
    cdef bytes _events
    cdef list _streams
    cdef bint _is_called, _is_closed

    cpdef line_up(self, Stream_c stream)
    cpdef forget(self, int descriptor)
    @cython.locals(streams=list, events=bytes, number=int, stream=Stream_c)
    cpdef _on_ready(self)
