cimport cython

from kthena_fast.core cimport _ledger_arrays as arrays
from kthena_fast.core._ledger_index_c cimport Index
from kthena_fast.core._ledger_ring_c cimport Ring

cdef object xxh3_128_digest
cdef long long MOST_ROWS
cdef long long MOST_UNITS
cdef long long MOST_TOTAL
cdef double MOST_TIME
cdef long long LOOKS
cdef long long LONG
cdef long long BOARD
cdef int STAYS
cdef long long RECENT
cdef unsigned long long RECENT_MASK
cdef unsigned long long WORD


@cython.final
cdef class Ledger:
    cdef Ring ring
    cdef Index _index
    cdef long long _capacity
    cdef unsigned int[::1] pins
    cdef object[::1] _names
    cdef unsigned char[::1] _named
    cdef unsigned int[::1] _free
    cdef unsigned long long[::1] _recent
    cdef list _recent_names
    cdef long long _strangers
    cdef long long _used
    cdef long long held
    cdef readonly long long evictions
    cdef readonly long long unswept
    cdef dict _standings
    cdef long long _last_standing
    cdef dict _models
    cdef str _last_model
    cdef long long _last_number
    cdef list _model_names
    cdef list _model_free
    cdef unsigned long long[::1] _seeds
    cdef long long[::1] _counts
    cdef list _boards
    cdef long long[::1] _board_floors
    cdef long long _seed
    cdef long long _tops

    @cython.locals(seconds=double)
    cdef int at(self, object now) except -1
    @cython.locals(most="long long")
    cpdef Py_ssize_t sweep(self, object now, object budget=*) except -1
    @cython.locals(block="long long", first="long long", least="long long", row="long long", number="long long",
                   dead=list)
    cdef void sweep_block(self, long long budget) except *

    cpdef Py_ssize_t pin(self, object model, object user, object now) except -1
    @cython.locals(number="long long", data=bytes, digest=bytes, row="long long", name=str,
                   sum_of_name="unsigned long long", cell="unsigned long long", place="long long")
    cdef Py_ssize_t pin_row(self, object model, object user) except -1
    cdef int _name_row(self, long long row, object user) except -1
    cpdef unpin(self, object row)
    @cython.locals(pins="long long")
    cdef int unpin_row(self, long long row) except -1
    @cython.locals(total="long long", block="long long", number="long long", board=list)
    cdef int _rest(self, long long row) except -1
    @cython.locals(row="long long", board=list, heavy=list, kept=list)
    cdef int _cut(self, long long number) except -1
    cdef Py_ssize_t _new_model(self, str model) except -1
    @cython.locals(height="long long")
    cdef Py_ssize_t _new_row(self) except -1
    @cython.locals(number="long long", board=list)
    cdef int _forget(self, long long row) except -1
    cdef int _discount(self, long long number) except -1
    @cython.locals(blocks="long long", found="long long", least="long long", block="long long", other="long long",
                   row="long long", look="long long")
    cdef int _evict(self) except -1

    @cython.locals(number="long long")
    cpdef Py_ssize_t service(self, object row, object now) except -1
    cpdef charge(self, object row, object units, object now)
    cpdef Py_ssize_t refund(self, object row, object units, object now) except -1

    cdef Py_ssize_t units(self, object units) except -1
    cdef Py_ssize_t checked_count(self, object count) except -1
    cdef Py_ssize_t checked_standing(self, object standing) except -1
    @cython.locals(number="long long")
    cdef Py_ssize_t _checked(self, object row) except -1


@cython.locals(number="long long")
cdef Py_ssize_t _whole(object value, long long least, long long most, str what) except? -1
