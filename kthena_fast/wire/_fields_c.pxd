import cython

from kthena_fast.wire cimport _spans as spans


@cython.final
cdef class Fields:
    cdef readonly bytes data, places
    cdef readonly tuple names
    cdef list _listed

    cpdef list listed(self)
