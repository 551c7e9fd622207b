import cython

from kthena_fast.wire cimport _lines as lines
from kthena_fast.wire cimport _plain_heads as plain
from kthena_fast.wire cimport _scan as scan

cdef tuple _ASKED, _COMMON
cdef int _LF


@cython.final
cdef class Head:
    cdef readonly bytes target
    cdef readonly int status
    cdef readonly object fields
    cdef readonly long long length
    cdef readonly bint keep_alive


@cython.locals(target=bytes)
cpdef Head request(bytes data)
@cython.locals(status=int)
cpdef Head response(bytes data)
@cython.locals(told=list, length=bytes, connection=bytes, size="long long")
cdef Head _read(bytes target, int status, object fields)
