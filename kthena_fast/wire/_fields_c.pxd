import cython

from kthena_fast.wire cimport _spans as spans


@cython.final
@cython.freelist(256)
cdef class Fields:
    cdef readonly bytes data, places
    cdef readonly tuple names
    cdef list _listed

    cpdef list listed(self)
