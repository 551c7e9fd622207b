cimport cython

from kthena_fast.core._heap_line_c cimport Line, Seats
from kthena_fast.core._ledger_index_c cimport Index


cdef long long SLOTS
cdef long long MOST_ROWS
cdef long long MOST_UNITS
cdef long long MOST_TOTAL
cdef long long MOST_TIME
cdef long long CELL
cdef long long LOOKS


@cython.final
cdef class Ledger:
    # time
    cdef long long _window
    cdef long long _width
    cdef long long _tick
    cdef long long _head
    cdef long long _since
    cdef long long _due
    cdef readonly long long unswept
    # the ring
    cdef int _shift
    cdef unsigned int[::1] _cells
    cdef list _columns
    cdef unsigned char[::1] _marks
    cdef long long[::1] _ages
    cdef long long[::1] _floors
    cdef dict _overflow
    # the rows
    cdef long long _capacity
    cdef long long[::1] totals
    cdef long long[::1] counters
    cdef unsigned int[::1] pins
    cdef unsigned int[::1] seat_of
    cdef unsigned int[::1] standings
    cdef unsigned int[::1] models_of
    cdef unsigned char[::1] _kept
    cdef list _totals_by_block
    cdef list _pins_by_block
    cdef list _seat_by_block
    cdef object[::1] _names
    cdef long long _used
    cdef unsigned int[::1] _free
    cdef long long held
    cdef readonly long long evictions
    cdef Index index
    cdef Seats seats
    # standings
    cdef double[::1] shares
    cdef unsigned int[::1] ranks
    cdef dict _standing_numbers
    # models
    cdef dict _models
    cdef list _model_names
    cdef list _model_free
    cdef list _seeds
    cdef long long[::1] _counts
    cdef list _boards
    cdef long long[::1] _kept_floors
    cdef long long _start
    cdef long long _tops

    @cython.locals(moment="long long")
    cdef int at(self, object now) except -1
    @cython.locals(start="long long")
    cdef void _turn(self, long long now) except *
    @cython.locals(behind="long long", ago="long long", slot="long long", fell=bint, at="long long")
    cdef int _catch_up(self, long long block) except -1
    cdef int _forget_overflow(self, long long block, long long slot) except -1
    @cython.locals(most="long long")
    cpdef Py_ssize_t sweep(self, object now, object budget=*) except -1
    @cython.locals(block="long long", least="long long", at="long long", number="long long")
    cdef void sweep_block(self, long long budget) except *

    cpdef Py_ssize_t pin(self, object model, object user, object now) except -1
    @cython.locals(number="long long", low="unsigned long long", high="unsigned long long", row="long long", name=bytes)
    cdef Py_ssize_t pin_row(self, object model, object user) except -1
    cpdef unpin(self, object row)
    @cython.locals(total="long long", block="long long")
    cdef void unpin_row(self, long long row) except *
    @cython.locals(number="long long", board=list, at="long long", least="long long", place="long long", other="long long")
    cdef void _keep(self, long long row) except *
    cdef Py_ssize_t _new_model(self, str model) except -1
    @cython.locals(free="long long")
    cdef Py_ssize_t _new_row(self) except -1
    @cython.locals(number="long long")
    cdef int _forget(self, long long row) except -1
    cdef int _discount(self, long long number) except -1
    @cython.locals(blocks="long long", found="long long", least="long long", block="long long", other="long long", at="long long",
                   look="long long")
    cdef int _evict(self) except -1

    cpdef charge(self, object row, object units, object now)
    cpdef Py_ssize_t refund(self, object row, object units, object now) except -1
    @cython.locals(block="long long", slot="long long", cell="long long", amount="long long")
    cdef void add(self, long long row, long long units) except *
    @cython.locals(block="long long", given="long long")
    cdef Py_ssize_t subtract(self, long long row, long long units) except -1
    @cython.locals(given="long long", left="long long", base="long long", ago="long long", slot="long long",
                   cell="long long", amount="long long", extra="long long", part="long long")
    cdef Py_ssize_t _take(self, long long row, long long units) except -1
    @cython.locals(share=double, wanted="long long")
    cdef int lift(self, long long row, double key) except -1
    cdef double key(self, long long row, int measure) except? -1
    cdef int refresh(self, long long row) except -1
    @cython.locals(seat="unsigned int", queue=Line)
    cdef int moved(self, long long row) except -1

    cdef Py_ssize_t units(self, object units) except -1
    cdef Py_ssize_t checked_count(self, object count) except -1
    cdef Py_ssize_t checked_standing(self, object standing) except -1
    @cython.locals(number="long long", waiting="long long", seat="unsigned int")
    cpdef Py_ssize_t in_flight(self, object row) except -1
    @cython.locals(number="long long")
    cdef Py_ssize_t _checked(self, object row) except -1


@cython.locals(number="long long")
cdef Py_ssize_t _whole(object value, long long least, long long most, str what) except? -1
