cimport cython


@cython.final
cdef class Index:
    cdef unsigned long long[::1] _words
    cdef unsigned int[::1] _cells
    cdef unsigned long long _mask

    @cython.locals(low="unsigned long long", at="unsigned long long", row="long long")
    cdef Py_ssize_t find(self, bytes digest) except -2
    @cython.locals(low="unsigned long long", at="unsigned long long")
    cdef int insert(self, long long row, bytes digest) except -1
    @cython.locals(at="unsigned long long", hole="unsigned long long", home="unsigned long long", other="long long")
    cdef int remove(self, long long row) except -1


@cython.locals(data="const unsigned char*", word="unsigned long long", offset=int)
cdef unsigned long long _word(bytes digest, int at) except? 0
