import cython

cdef bytes _TOKEN, _CONTROLS, _ID, _NOT_IN_TARGET
cdef dict _DROPPED
cdef frozenset _NOT_TO_CLIENT

@cython.locals(dropped=frozenset, named=frozenset, kept=list, header=tuple)
cpdef bytes to_client(list headers, bytes request_id)
cpdef bytes request_line(bytes method, bytes target)
cpdef bint is_token(bytes name)
cpdef bint valid_request_id(bytes value)

@cython.locals(dropped=frozenset, named=frozenset, kept=list, header=tuple)
cdef list _kept(list headers, frozenset dropped)

@cython.locals(name=bytes, value=bytes, named=frozenset)
cdef frozenset _named_by_connection(list headers)

@cython.locals(names=list, lines=bytes, name=bytes, value=bytes)
cdef bytes _lines(list headers)
