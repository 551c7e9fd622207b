cimport cython

cdef long long ROOT


@cython.final
cdef class Seats:
    cdef unsigned int[::1] fields
    cdef unsigned int[::1] place
    cdef unsigned long long[::1] order
    cdef list holders
    cdef unsigned int size
    cdef unsigned int free
    cdef long long count
    cdef long long windowed
    cdef unsigned long long orders

    @cython.locals(seat="unsigned int")
    cdef unsigned int take(self, unsigned int row) except 0
    cdef int lead(self, unsigned int seat, object ticket) except -1
    cdef int give_back(self, unsigned int seat) except -1


@cython.final
cdef class Line:
    cdef Seats seats
    cdef object owner
    cdef int measure
    cdef unsigned int rank
    cdef long long size
    cdef long long rekeyed
    cdef long long _room
    cdef double[::1] _keys
    cdef unsigned long long[::1] _bits
    cdef unsigned int[::1] _taken
    cdef long long left_row
    cdef unsigned long long left_low
    cdef unsigned long long left_high
    cdef double left_key

    cdef int _view(self, object nodes) except -1
    cdef unsigned int first(self) except 0
    cdef double first_key(self) except? -1
    cdef unsigned long long first_order(self) except? 0
    cdef double key_of(self, unsigned int seat) except? -1
    cdef unsigned long long order_of(self, unsigned int seat) except? 0
    cdef int push(self, unsigned int seat, double key, unsigned long long order) except -1
    cdef int _grow(self) except -1
    cdef int remove(self, unsigned int seat) except -1
    cdef int remove_first(self) except -1
    @cython.locals(last="long long")
    cdef int _remove(self, long long at) except -1
    @cython.locals(at="long long")
    cdef int move(self, unsigned int seat, double key, unsigned long long order) except -1
    @cython.locals(at="long long")
    cdef int rekey(self, unsigned int seat, double key) except -1
    cdef int _settle(self, long long at, unsigned int seat, double key) except -1
    cdef bint _precedes(self, unsigned int seat, double key, long long at) noexcept
    @cython.locals(above="long long")
    cdef int _rise(self, long long at, unsigned int seat, double key) except -1
    @cython.locals(size="long long", child="long long", best="long long", other="long long",
                   least="unsigned long long", bits="unsigned long long")
    cdef int _sink(self, long long at, unsigned int seat, double key) except -1
    cdef bint _is_older(self, long long at, long long other) noexcept
    cdef void _put(self, long long at, unsigned int seat, double key) noexcept
    @cython.locals(at="long long", seat="unsigned int")
    cdef list ordered(self)
    @cython.locals(key=double, found="long long", at="long long")
    cdef Py_ssize_t before(self, unsigned int seat) except -1
    @cython.locals(at="long long", most=double)
    cdef double spread(self) except? -1
