cimport cython

from kthena_fast.core._heap_line_c cimport Line, Seats
from kthena_fast.core._ledger_c cimport Ledger
from kthena_fast.core._ledger_ring_c cimport Ring

cdef object DEFAULT
cdef int NEW
cdef int WAITING
cdef int CALLED
cdef int GONE


cdef class Ticket:
    cdef readonly Heap heap
    cdef readonly long long row
    cdef readonly unsigned long long order
    cdef readonly long long units
    cdef readonly long long charged
    cdef unsigned int seat
    cdef int state
    cdef Ticket before
    cdef Ticket after

    cdef int _require_called(self) except -1
    @cython.locals(ledger=Ledger)
    cdef int settle_at(self, long long owed, object now) except -1
    cdef int _leave(self) except -1


@cython.final
cdef class Heap:
    cdef Ledger ledger
    cdef str _model
    cdef int _measure
    cdef bint _lift
    cdef long long _most
    cdef long long _most_per_user
    cdef list _lines
    cdef list _rivals
    cdef readonly long long waiting

    cpdef compete(self, object rivals)
    @cython.locals(rivals=Rivals)
    cdef int _join(self) except -1
    @cython.locals(rivals=Rivals)
    cdef int _part(self) except -1
    @cython.locals(ledger=Ledger, owed="long long", number="long long", row="long long", seats=Seats,
                   seat="unsigned int", head=Ticket)
    cpdef enter(self, Ticket ticket, object user, object units, object now, object standing=*)
    @cython.locals(ledger=Ledger, owed="long long", number="long long")
    cpdef admit(self, Ticket ticket, object user, object units, object now, object standing=*)
    @cython.locals(ledger=Ledger, row="long long", ring=Ring, queue=Line)
    cdef int admit_as(self, Ticket ticket, object user, long long owed, long long number) except -1
    @cython.locals(ledger=Ledger, queue=Line, ticket=Ticket, seats=Seats, seat="unsigned int")
    cpdef Ticket pop(self, object now)
    @cython.locals(queue=Line, ticket=Ticket)
    cpdef Ticket first(self)
    @cython.locals(mine=Line, theirs=Line)
    cpdef bint ahead_of(self, Heap other) except -1
    @cython.locals(queue=Line)
    cdef Line _first_line(self)
    @cython.locals(queue=Line, at="long long")
    cdef Line _line(self, unsigned int rank)
    @cython.locals(seats=Seats, seat="unsigned int", queue=Line)
    cdef unsigned int _seat(self, long long row) except? 0xFFFFFFFF
    @cython.locals(ring=Ring, seats=Seats, seat="unsigned int", queue=Line)
    cdef unsigned int _sit(self, long long row, long long number, unsigned long long order) except 0
    @cython.locals(least=double, rivals=Rivals, heap=Heap, other=Line, words="unsigned long long[::1]")
    cdef int _lift_row(self, long long row, Line queue) except -1
    @cython.locals(seats=Seats, seat="unsigned int", queue=Line)
    cdef int detach(self, Ticket ticket) except -1
    @cython.locals(seats=Seats, head=Ticket, after=Ticket, queue=Line)
    cdef int _unlink(self, unsigned int seat, Ticket ticket) except -1
    @cython.locals(words="unsigned long long[::1]")
    cdef int _remember(self, long long row, Line queue, double key) except -1
    @cython.locals(seats=Seats, row="long long", other="unsigned int")
    cdef int _rise(self, unsigned int seat) except -1
    @cython.locals(seats=Seats, seat="unsigned int", queue=Line, key=double, owner=Heap, order="unsigned long long")
    cdef int stand(self, long long row, long long number) except -1

    @cython.locals(queue=Line, found="long long")
    cdef Py_ssize_t _users(self) except -1
    @cython.locals(queue=Line, found="long long")
    cdef Py_ssize_t _rekeyed(self) except -1
    @cython.locals(queue=Line, other=Line, found="long long")
    cpdef Py_ssize_t position(self, Ticket ticket) except -1
    @cython.locals(queue=Line, widest=double)
    cpdef double gap(self) except? -1
    @cython.locals(queue=Line, ticket=Ticket, seat="unsigned int")
    cpdef list tickets(self)
    @cython.locals(queue=Line, row="long long", seat="unsigned int")
    cpdef list standings(self, long long count, object now)


@cython.final
cdef class Rivals:
    cdef readonly dict busy

    @cython.locals(heap=Heap, found=Heap)
    cpdef Heap best(self)
