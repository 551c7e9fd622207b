cimport cython

from kthena_fast.core cimport _ledger_arrays as arrays
from kthena_fast.core._heap_line_c cimport Line, Seats

cdef long long SLOTS
cdef long long NANOSECONDS
cdef long long MOST_TOTAL
cdef long long CELL


@cython.final
cdef class Ring:
    cdef long long _slot
    cdef long long width
    cdef int shift
    cdef long long tick
    cdef long long _head
    cdef double since
    cdef double due
    cdef unsigned int[::1] _cells
    cdef unsigned char[::1] _marks
    cdef dict _overflow
    cdef long long[::1] ages
    cdef long long[::1] floors
    cdef long long[::1] totals
    cdef unsigned long long[::1] words
    cdef unsigned int[::1] halves
    cdef Seats seats
    cdef double[::1] shares
    cdef unsigned int[::1] ranks

    @cython.locals(slot="long long", steps="long long")
    cdef bint at(self, double now) except -1
    @cython.locals(behind="long long", fell=bint, row="long long")
    cdef int catch_up(self, long long block) except -1
    @cython.locals(base="long long", last="long long", slot="long long", cell="long long", fell=bint)
    cdef bint _empty(self, long long block, long long first, long long end) except -1
    @cython.locals(cell="long long", row="long long")
    cdef int _forget_overflow(self, long long block, long long slot) except -1
    cdef int touch(self, long long row) except -1
    cdef int add(self, long long row, long long units) except -1
    @cython.locals(total="long long", counter="long long", slot="long long", cell="long long", amount="long long")
    cdef int _add(self, long long row, long long units) except -1
    @cython.locals(given="long long", counter="long long", block="long long")
    cdef Py_ssize_t subtract(self, long long row, long long units) except -1
    @cython.locals(given="long long", left="long long", base="long long", ago="long long", slot="long long",
                   cell="long long", amount="long long", extra="long long", part="long long")
    cdef Py_ssize_t take(self, long long row, long long units) except -1
    @cython.locals(share=double, wanted="long long")
    cdef int lift(self, long long row, double key) except -1
    cdef double key(self, long long row, int measure) except? -1
    @cython.locals(seat="unsigned int", queue=Line)
    cdef int moved(self, long long row) except -1

    cdef Py_ssize_t counter_of(self, long long row) except -1
    cdef unsigned int seat_of(self, long long row) except? 0xFFFFFFFF
    @cython.locals(waiting="long long", seat="unsigned int")
    cdef Py_ssize_t waiting_of(self, long long row) except -1
    cdef unsigned int standing_of(self, long long row) except? 0xFFFFFFFF
    cdef unsigned int model_of(self, long long row) except? 0xFFFFFFFF
    cdef int set_standing(self, long long row, unsigned int standing) except -1
    cdef int begin(self, long long row, unsigned int model) except -1
