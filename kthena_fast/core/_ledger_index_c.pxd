cimport cython


@cython.final
cdef class Index:
    cdef unsigned int[::1] _cells
    cdef unsigned long long[::1] _digests
    cdef unsigned long long _mask

    @cython.locals(at="unsigned long long", cell="unsigned long long")
    cpdef Py_ssize_t find(self, unsigned long long low, unsigned long long high) except -2

    @cython.locals(at="unsigned long long")
    cpdef int insert(self, unsigned int row, unsigned long long low, unsigned long long high) except -1

    @cython.locals(at="unsigned long long", hole="unsigned long long", home="unsigned long long")
    cpdef int remove(self, unsigned int row) except -1

    cpdef bint holds(self, unsigned int row, unsigned long long low, unsigned long long high) except -1

    cpdef unsigned long long low(self, unsigned int row) except? 0

    cpdef unsigned long long high(self, unsigned int row) except? 0
