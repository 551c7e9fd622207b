import cython

from kthena_fast.telemetry cimport _bounds as search

cdef long long CELL_MASK
cdef int CELL_BITS
cdef double MAX_NUMBER


@cython.final
cdef class Table:
    cdef double[::1] _cells
    cdef long long[::1] _serials
    cdef long long[::1] _shapes
    cdef double[::1] _bounds
    cdef long long[::1] _starts
    cdef Py_ssize_t _capacity
    cdef Py_ssize_t _used
    cdef long long _serial
    cdef dict _shape_of
    cdef dict _values, _histograms
    cdef dict _free

    cpdef object value(self)
    @cython.locals(shape=object)
    cpdef object histogram(self, tuple bounds)
    @cython.locals(cell=Py_ssize_t, shape="long long", size="long long")
    cpdef release(self, slot)
    @cython.locals(number=double)
    cpdef add(self, slot, double amount)
    @cython.locals(number=double)
    cpdef set(self, slot, double amount)
    @cython.locals(
        number=double, histogram=tuple, cell=Py_ssize_t, start=Py_ssize_t, end=Py_ssize_t, place=Py_ssize_t,
    )
    cpdef observe(self, slot, double amount)
    @cython.locals(cell=Py_ssize_t, shape="long long")
    cpdef read(self, slot)
    @cython.locals(cell=Py_ssize_t, shape="long long")
    cpdef read_histogram(self, slot)
    @cython.locals(cell=Py_ssize_t)
    cdef _refuse(self, slot, double number, bint is_value)
    @cython.locals(number=Py_ssize_t, cell=Py_ssize_t, serial="long long")
    cdef Py_ssize_t _find(self, slot) except -2
    @cython.locals(cell=Py_ssize_t, offset=Py_ssize_t)
    cdef object _take(self, long long shape, Py_ssize_t size)
    cdef _grow(self, Py_ssize_t needed)
    @cython.locals(shape=Py_ssize_t, start=Py_ssize_t)
    cdef int _add_shape(self, tuple bounds) except -1
