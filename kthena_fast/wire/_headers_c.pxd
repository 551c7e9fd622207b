import cython

from kthena_fast.wire cimport _lines as lines

cdef bytes _TOKEN, _ID, _TARGET
cdef dict _POSTS
cdef tuple _DROPPED
cdef unsigned long long _STEP, _64_BITS
cdef tuple _NOT_TO_CLIENT, _CONNECTION, _COMMON

@cython.locals(dropped=tuple, named=frozenset, added=list, origin=bytes, spoken=bytes)
cpdef bytes to_engine(
    object headers, Py_ssize_t length, bytes request_id, str client, str scheme, bint trusted_proxy,
    bint strip_credentials,
)
@cython.locals(dropped=tuple, named=frozenset)
cpdef bytes to_client(object headers, bytes request_id)
@cython.locals(line=bytes)
cpdef bytes request_line(bytes method, bytes target)
cpdef bint is_token(bytes name) except -1
cpdef bint valid_request_id(bytes value) except -1
cpdef bytes new_request_id()


@cython.final
cdef class _Ids:
    cdef bytes _prefix
    cdef unsigned long long _last

    cpdef restart(self)
    cdef bytes next(self)


cdef _Ids _ids

@cython.locals(told=list, said=bytes, name=bytes, value=bytes, named=list)
cdef frozenset _named_by_connection(object headers)

@cython.locals(text=bytes)
cdef bytes _joined(object headers, tuple dropped, list added)
