from kthena_fast.wire cimport _lines as lines

cdef bytes _HOST
cdef frozenset _DOTS

cpdef str problem(bytes target, str path)
cpdef bint valid_host(bytes value) except -1
