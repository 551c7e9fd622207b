# cython: wraparound=False, initializedcheck=False, binding=False
# No index here is negative, and an array that was never made has no item, so boundscheck, which stays, sees it.
"""The heap of users: see `heap` for what it promises."""

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

    from kthena_fast.core import _heap_line_py as line
    from kthena_fast.core import _heap_report as report
    from kthena_fast.core import _ledger_py as ledger
else:
    # A twin works with twins of its own kind, whatever the chooser chose.
    line = import_module(__name__.replace("_heap", "_heap_line"))

# What orders the users (see `Ledger.key`), and whether who comes back from idle is lifted.
POLICIES: Final = {"window": (1, False), "vtc": (2, True), "lcf": (2, False), "fcfs": (0, False)}

# Where a ticket is: new -> waiting -> called -> gone, or waiting -> gone; gone is as good as new.
NEW: Final = 0
WAITING: Final = 1
CALLED: Final = 2
GONE: Final = 3

# What `Ledger.standing` gives for a share of 1 and the class 0.
DEFAULT: Final = 0


class QueueFull(Exception):
    """The request may not wait; ``reason`` is ``"queue_full"`` or ``"user_queue_full"``."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Ticket:
    """One request: its place in the heap while it waits, its account in the ledger from its call to its end.

    Made to be the base of whatever waits, so that a request in the queue is one object and not two.
    """

    __slots__ = ("after", "before", "charged", "heap", "order", "row", "seat", "state", "units")

    # Filled by `Heap.enter`: the row is held until the ticket leaves, so nobody else gets it; the order counts the
    # arrivals of the whole ledger from 1; the oldest of a user has the newest before it, the newest nobody after it,
    # and one that does not wait has neither, so no ring of references is left for the garbage collector.
    heap: "Heap"
    row: int
    order: int
    seat: int
    before: Any
    after: "Ticket | None"

    def __init__(self) -> None:
        self.state = NEW
        self.units = 0
        self.charged = 0

    @property
    def is_waiting(self) -> bool:
        return self.state == WAITING

    @property
    def is_called(self) -> bool:
        return self.state == CALLED

    def charge(self, units: Any, now: Any) -> None:
        """Charge this request ``units`` more."""
        self._require_called()
        owed = self.heap.ledger.units(units)
        self.heap.ledger.at(now)
        self.heap.ledger.ring.add(self.row, owed)
        self.charged += owed

    def settle(self, units: Any, now: Any) -> None:
        """Make ``units`` what this request has been charged in all."""
        self._require_called()
        self.settle_at(self.heap.ledger.units(units), now)

    def leave(self) -> None:
        """Leave the queue, or end after having been called; a second time does nothing."""
        self._leave()

    def finish(self, units: Any, now: Any) -> None:
        """`settle`, then `leave`: how a request that was called ends."""
        self._require_called()
        self.settle_at(self.heap.ledger.units(units), now)
        self._leave()

    def stand(self, standing: Any) -> None:
        """Give the user a new share and class; wherever he waits, he moves at once."""
        if self.state not in (WAITING, CALLED):
            raise RuntimeError("the request is not here")
        self.heap.stand(self.row, self.heap.ledger.checked_standing(standing))

    def _require_called(self) -> None:
        if self.state != CALLED:
            raise RuntimeError("only a request that was called and has not left is charged")

    def settle_at(self, owed: int, now: Any) -> None:
        """`settle` by who is sure of his integers: from 0 to `MOST_UNITS` of the ledger."""
        self._require_called()
        ledger = self.heap.ledger
        ledger.at(now)
        if owed > self.charged:
            ledger.ring.add(self.row, owed - self.charged)
        elif owed < self.charged:
            ledger.ring.subtract(self.row, self.charged - owed)
        self.charged = owed

    def _leave(self) -> None:
        if self.state in (WAITING, CALLED):
            if self.state == WAITING:
                self.heap.detach(self)
            self.state = GONE
            self.heap.ledger.unpin_row(self.row)


class Heap:
    __slots__ = ("_lift", "_lines", "_measure", "_model", "_most", "_most_per_user", "_rivals", "ledger", "waiting")

    def __init__(
        self,
        ledger: "ledger.Ledger",
        model: str,
        policy: str = "window",
        *,
        most: int = 10_000,
        most_per_user: int = 1_000,
    ) -> None:
        if type(model) is not str:
            raise TypeError(f"model must be a str, not {type(model).__name__}")
        if policy not in POLICIES:
            raise ValueError(f"policy must be one of {', '.join(POLICIES)}")
        self.ledger = ledger
        self._model = model
        self._measure, self._lift = POLICIES[policy]
        self._most = self.ledger.checked_count(most)
        self._most_per_user = self.ledger.checked_count(most_per_user)
        # One line for each class, the one that is served first first.
        self._lines: list[line.Line] = []
        self._rivals = [Rivals()]
        # Requests, not users.
        self.waiting = 0

    def compete(self, rivals: "Iterable[Rivals]") -> None:
        """Name the permits that users of this heap wait for; none: nobody else waits for what they wait for."""
        self._part()
        self._rivals = list(rivals) or [Rivals()]
        self._join()

    def _join(self) -> None:
        """Have rivals know that somebody waits here, if somebody does."""
        if self.waiting > 0:
            for rivals in self._rivals:
                rivals.busy[self] = None

    def _part(self) -> None:
        """Have rivals know that nobody waits here any longer."""
        for rivals in self._rivals:
            rivals.busy.pop(self, None)

    def enter(self, ticket: Ticket, user: Any, units: Any, now: Any, standing: Any = DEFAULT) -> None:
        """Let a request wait, to be charged ``units`` when it is called; ``standing`` is from `Ledger.standing`."""
        if not isinstance(ticket, Ticket):
            raise TypeError(f"ticket must be a Ticket, not {type(ticket).__name__}")
        ledger = self.ledger
        ledger.at(now)
        owed = ledger.units(units)
        # Most users have the default, whose number is this very object.
        number = 0 if standing is DEFAULT else ledger.checked_standing(standing)
        if ticket.state in (WAITING, CALLED):
            raise RuntimeError("the request has not left")
        if self.waiting >= self._most:
            raise QueueFull("queue_full")
        row = ledger.pin_row(self._model, user)
        seats = ledger.ring.seats
        seat = self._seat(row)
        if seat != 0 and seats.fields[3 * seat + 1] >= self._most_per_user:
            ledger.unpin_row(row)
            raise QueueFull("user_queue_full")
        if ledger.ring.halves[8 * row + 7] & 0xFFFF != number:
            self.stand(row, number)
        seats.orders += 1
        ticket.heap = self
        ticket.row = row
        ticket.order = seats.orders
        ticket.units = owed
        ticket.charged = 0
        ticket.state = WAITING
        ticket.after = None
        if seat == 0:
            seat = self._sit(row, number, ticket.order)
            seats.lead(seat, ticket)
            ticket.before = ticket
        else:
            head: Ticket = seats.holders[2 * seat + 1]
            ticket.before = head.before
            head.before.after = ticket
            head.before = ticket
        ticket.seat = seat
        seats.fields[3 * seat + 1] += 1
        self.waiting += 1
        if self.waiting == 1:
            self._join()

    def admit(self, ticket: Ticket, user: Any, units: Any, now: Any, standing: Any = DEFAULT) -> None:
        """`enter` and `pop` in one, where nobody waits: nobody has to sit down to be called at once."""
        if not isinstance(ticket, Ticket):
            raise TypeError(f"ticket must be a Ticket, not {type(ticket).__name__}")
        ledger = self.ledger
        ledger.at(now)
        owed = ledger.units(units)
        number = 0 if standing is DEFAULT else ledger.checked_standing(standing)
        if ticket.state in (WAITING, CALLED):
            raise RuntimeError("the request has not left")
        if self.waiting > 0:
            raise RuntimeError("others wait")
        self.admit_as(ticket, user, owed, number)

    def admit_as(self, ticket: Ticket, user: Any, owed: int, number: int) -> None:
        """`admit` by who is sure of all but the user, and has told the ledger the time."""
        ledger = self.ledger
        row = ledger.pin_row(self._model, user)
        ring = ledger.ring
        if ring.halves[8 * row + 7] & 0xFFFF != number:
            self.stand(row, number)
        ring.seats.orders += 1
        ticket.heap = self
        ticket.row = row
        ticket.order = ring.seats.orders
        ticket.units = owed
        ticket.charged = owed
        ticket.state = CALLED
        ticket.before = None
        ticket.after = None
        if self._measure == 1:
            ring.touch(row)
        if self._lift:
            queue = self._line(ring.ranks[number])
            self._lift_row(row, queue)
            self._remember(row, queue, ring.key(row, self._measure))
        if ledger.unswept > 0:
            ledger.sweep_block(256)
        ring.add(row, owed)

    def pop(self, now: Any) -> Ticket | None:
        """Call the best and charge him: the oldest request of the first user of the lowest class, if anybody waits."""
        ledger = self.ledger
        ledger.at(now)
        if ledger.unswept > 0:
            # A piece of a turn for each call: a queue that is never idle cannot outrun the sweep.
            ledger.sweep_block(256)
        queue = self._first_line()
        if queue is None:
            return None
        seats = ledger.ring.seats
        seat = queue.first()
        ticket: Ticket = seats.holders[2 * seat + 1]
        self.waiting -= 1
        if self.waiting == 0:
            self._part()
        if seats.fields[3 * seat + 1] == 1:
            # Before the ticket is looked at: it is not in any cache, and what is done here need not wait for it.
            if self._lift:
                self._remember(seats.fields[3 * seat], queue, queue.first_key())
            queue.remove_first()
            self._rise(seat)
            ticket.before = None
        else:
            seats.fields[3 * seat + 1] -= 1
            self._unlink(seat, ticket)
        ticket.state = CALLED
        ticket.charged = ticket.units
        ledger.ring.add(ticket.row, ticket.units)
        return ticket

    def first(self) -> Ticket | None:
        """The request that `pop` would call, without calling it."""
        queue = self._first_line()
        if queue is None:
            return None
        ticket: Ticket = self.ledger.ring.seats.holders[2 * queue.first() + 1]
        return ticket

    def ahead_of(self, other: "Heap") -> bool:
        """Is the best here before the best there? An empty heap is before none."""
        mine = self._first_line()
        if mine is None:
            return False
        theirs = other._first_line()
        if theirs is None:
            return True
        if mine.rank != theirs.rank:
            return mine.rank < theirs.rank
        if mine.first_key() != theirs.first_key():
            return mine.first_key() < theirs.first_key()
        return mine.first_order() < theirs.first_order()

    def _first_line(self) -> "line.Line | None":
        for queue in self._lines:
            if queue.size > 0:
                return queue
        return None

    def _line(self, rank: int) -> "line.Line":
        at = 0
        for queue in self._lines:
            if queue.rank == rank:
                return queue
            if queue.rank < rank:
                at += 1
        queue = line.Line(self.ledger.ring.seats, self, self._measure, rank)
        self._lines.insert(at, queue)
        return queue

    def _seat(self, row: int) -> int:
        """Where the user of ``row`` waits here, or 0."""
        seats = self.ledger.ring.seats
        seat = self.ledger.ring.halves[8 * row + 6]
        while seat != 0:
            queue: line.Line = seats.holders[2 * seat]
            if queue.owner is self:
                break
            seat = seats.fields[3 * seat + 2]
        return seat

    def _sit(self, row: int, number: int, order: int) -> int:
        ring = self.ledger.ring
        seats = ring.seats
        queue = self._line(ring.ranks[number])
        if self._measure == 1:
            # What the user was charged before the last turn must not weigh on him now. Before he has a seat: catching
            # up moves whoever sits.
            ring.touch(row)
            seats.windowed += 1
        if self._lift:
            self._lift_row(row, queue)
        seat = seats.take(row)
        seats.fields[3 * seat + 2] = ring.halves[8 * row + 6]
        ring.halves[8 * row + 6] = seat
        queue.push(seat, ring.key(row, self._measure), order)
        return seat

    def _lift_row(self, row: int, queue: "line.Line") -> None:
        least = -1.0
        for rivals in self._rivals:
            for heap in rivals.busy:
                for other in heap._lines:
                    if other.rank != queue.rank or other.size == 0 or other.measure != queue.measure:
                        continue
                    if least < 0.0 or other.first_key() < least:
                        least = other.first_key()
        if least < 0.0 and queue.left_row >= 0:
            least = queue.left_key
            words = self.ledger.ring.words
            if (
                self.ledger.pins[queue.left_row] != 0
                and words[4 * queue.left_row] == queue.left_low
                and words[4 * queue.left_row + 1] == queue.left_high
            ):
                # The row is still his, and he may have been charged since he left.
                least = self.ledger.ring.key(queue.left_row, self._measure)
        if least > 0.0:
            self.ledger.ring.lift(row, least)
            if self.ledger.ring.seat_of(row) != 0:
                self.ledger.ring.moved(row)

    def detach(self, ticket: Ticket) -> None:
        """Take a waiting ticket off its user's FIFO, and the user off his line with his last one."""
        seats = self.ledger.ring.seats
        seat = ticket.seat
        self.waiting -= 1
        if self.waiting == 0:
            self._part()
        seats.fields[3 * seat + 1] -= 1
        if seats.fields[3 * seat + 1] == 0:
            ticket.before = None
            queue: line.Line = seats.holders[2 * seat]
            if self._lift:
                self._remember(seats.fields[3 * seat], queue, queue.key_of(seat))
            queue.remove(seat)
            self._rise(seat)
        else:
            self._unlink(seat, ticket)

    def _unlink(self, seat: int, ticket: Ticket) -> None:
        """Take a ticket out of a FIFO in which others stay."""
        seats = self.ledger.ring.seats
        head: Ticket = seats.holders[2 * seat + 1]
        after = ticket.after
        if ticket is head and after is not None:
            after.before = ticket.before
            seats.lead(seat, after)
            queue = seats.holders[2 * seat]
            queue.move(seat, queue.key_of(seat), after.order)
        else:
            ticket.before.after = after
            if after is None:
                head.before = ticket.before
            else:
                after.before = ticket.before
        ticket.before = None
        ticket.after = None

    def _remember(self, row: int, queue: "line.Line", key: float) -> None:
        """Who leaves is who left last."""
        words = self.ledger.ring.words
        queue.left_row = row
        queue.left_low = words[4 * row]
        queue.left_high = words[4 * row + 1]
        queue.left_key = key

    def _rise(self, seat: int) -> None:
        """The user leaves the queue: his line has let go of the seat."""
        seats = self.ledger.ring.seats
        row = seats.fields[3 * seat]
        other = self.ledger.ring.seat_of(row)
        if other == seat:
            self.ledger.ring.halves[8 * row + 6] = seats.fields[3 * seat + 2]
        else:
            while seats.fields[3 * other + 2] != seat:
                other = seats.fields[3 * other + 2]
            seats.fields[3 * other + 2] = seats.fields[3 * seat + 2]
        if self._measure == 1:
            seats.windowed -= 1
        seats.give_back(seat)

    def stand(self, row: int, number: int) -> None:
        """Give ``row`` a standing and put it where that belongs, in every heap."""
        seats = self.ledger.ring.seats
        self.ledger.ring.set_standing(row, number)
        seat = self.ledger.ring.seat_of(row)
        while seat != 0:
            queue = seats.holders[2 * seat]
            key = self.ledger.ring.key(row, queue.measure)
            if queue.rank == self.ledger.ring.ranks[number]:
                queue.rekey(seat, key)
            else:
                owner: Heap = queue.owner
                order = queue.order_of(seat)
                queue.remove(seat)
                queue = owner._line(self.ledger.ring.ranks[number])
                queue.push(seat, key, order)
            seat = seats.fields[3 * seat + 2]

    # -- reports

    @property
    def model(self) -> str:
        return self._model

    @property
    def users(self) -> int:
        """How many users wait."""
        return self._users()

    def _users(self) -> int:
        found = 0
        for queue in self._lines:
            found += queue.size
        return found

    @property
    def rekeyed(self) -> int:
        """How often a user who waited was moved, or his key changed where he was: by charges, turns and new shares."""
        return self._rekeyed()

    def _rekeyed(self) -> int:
        found = 0
        for queue in self._lines:
            found += queue.rekeyed
        return found

    def __len__(self) -> int:
        return self.waiting

    def position(self, ticket: Ticket) -> int:
        """How many users are before the user of a waiting ticket: O(users)."""
        if ticket.state != WAITING or ticket.heap is not self:
            raise RuntimeError("the request does not wait here")
        queue: line.Line = self.ledger.ring.seats.holders[2 * ticket.seat]
        found = queue.before(ticket.seat)
        for other in self._lines:
            if other.rank < queue.rank:
                found += other.size
        return found

    def gap(self) -> float:
        """The most that two users who wait differ by, within a class: O(users)."""
        widest = 0.0
        for queue in self._lines:
            widest = max(widest, queue.spread())
        return widest

    def tickets(self) -> list[Ticket]:
        """Every request that waits, user by user in their order, each user's oldest first: O(n log n)."""
        found: list[Ticket] = []
        for queue in self._lines:
            for _, _, seat in queue.ordered():
                ticket: Ticket | None = self.ledger.ring.seats.holders[2 * seat + 1]
                while ticket is not None:
                    found.append(ticket)
                    ticket = ticket.after
        return found

    def standings(self, count: int, now: Any) -> "list[report.Standing]":
        """The first ``count`` users in their order, for people: O(users log users)."""
        found: list[report.Standing] = []
        for queue in self._lines:
            for key, _, seat in queue.ordered()[: count - len(found)]:
                row = self.ledger.ring.seats.fields[3 * seat]
                found.append(
                    {
                        "user": self.ledger.name(row),
                        "class": queue.rank,
                        "share": self.ledger.share(row),
                        "usage": self.ledger.service(row, now),
                        "key": key,
                        "waiting": self.ledger.ring.seats.fields[3 * seat + 1],
                        "in_flight": self.ledger.in_flight(row),
                    }
                )
        return found


class Rivals:
    """The heaps in which somebody waits for the same permits; a heap is here as long as somebody waits in it."""

    __slots__ = ("busy",)

    def __init__(self) -> None:
        self.busy: dict[Heap, None] = {}

    def best(self) -> Heap | None:
        """The heap whose first request is before all others', or None when nobody waits: O(heaps)."""
        found: Heap | None = None
        for heap in self.busy:
            if found is None or heap.ahead_of(found):
                found = heap
        return found
