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

# Where a ticket is: waiting -> called -> gone, or waiting -> gone.
GONE: Final = 0
WAITING: Final = 1
CALLED: Final = 2


class QueueFull(Exception):
    """The request may not wait; ``reason`` is ``"queue_full"`` or ``"user_queue_full"``."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Ticket:
    """One request: its place in the heap while it waits, its account in the ledger from its call to its end."""

    __slots__ = ("after", "before", "charged", "heap", "order", "request", "row", "seat", "state")

    def __init__(self, heap: "Heap", request: object, row: int, order: int) -> None:
        self.heap = heap
        self.request = request
        # Held until the ticket leaves, so nobody else gets this row.
        self.row = row
        # Arrivals over the whole ledger, counted from 1.
        self.order = order
        self.charged = 0
        self.seat = 0
        self.state = WAITING
        self.before: Ticket | None = None
        self.after: Ticket | None = None

    @property
    def is_waiting(self) -> bool:
        return self.state == WAITING

    def charge(self, units: Any, now: Any) -> None:
        """Charge this request ``units`` more."""
        if self.state != CALLED:
            raise RuntimeError("only a request that was called and has not left is charged")
        owed = self.heap.ledger.units(units)
        self.heap.ledger.at(now)
        self.heap.ledger.add(self.row, owed)
        self.charged += owed

    def settle(self, units: Any, now: Any) -> None:
        """Make ``units`` what this request has been charged in all."""
        if self.state != CALLED:
            raise RuntimeError("only a request that was called and has not left is charged")
        owed = self.heap.ledger.units(units)
        self.heap.ledger.at(now)
        if owed > self.charged:
            self.heap.ledger.add(self.row, owed - self.charged)
        elif owed < self.charged:
            self.heap.ledger.subtract(self.row, self.charged - owed)
        self.charged = owed

    def leave(self) -> None:
        """Leave the queue, or end after having been called; a second time does nothing."""
        if self.state == GONE:
            return
        if self.state == WAITING:
            self.heap.detach(self)
        self.state = GONE
        self.heap.ledger.unpin_row(self.row)

    def stand(self, standing: Any) -> None:
        """Give the user a new share and class; wherever he waits, he moves at once."""
        if self.state == GONE:
            raise RuntimeError("the request has left")
        self.heap.stand(self.row, self.heap.ledger.checked_standing(standing))


class Heap:
    __slots__ = ("_lift", "_lines", "_measure", "_model", "_most", "_most_per_user", "_peers", "ledger", "waiting")

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
        self._peers: list[Heap] = [self]
        # Requests, not users.
        self.waiting = 0

    def share_permits_with(self, heaps: "Iterable[Heap]") -> None:
        """Name the heaps whose users wait for the same permits: a lift looks at all of them."""
        self._peers = [self] + [heap for heap in heaps if heap is not self]

    def enter(self, user: Any, request: object, now: Any, standing: Any = 0) -> Ticket:
        """Let a request wait; ``standing`` is a number from `Ledger.standing`."""
        self.ledger.at(now)
        number = self.ledger.checked_standing(standing)
        if self.waiting >= self._most:
            raise QueueFull("queue_full")
        row = self.ledger.pin_row(self._model, user)
        seats = self.ledger.seats
        seat = self._seat(row)
        if seat != 0 and seats.waiting[seat] >= self._most_per_user:
            self.ledger.unpin_row(row)
            raise QueueFull("user_queue_full")
        if self.ledger.standings[row] != number:
            self.stand(row, number)
        seats.orders += 1
        ticket = Ticket(self, request, row, seats.orders)
        if seat == 0:
            seat = self._sit(row, ticket)
        else:
            last: Ticket = seats.tails[seat]
            last.after = ticket
            ticket.before = last
        seats.tails[seat] = ticket
        ticket.seat = seat
        seats.waiting[seat] += 1
        self.waiting += 1
        return ticket

    def pop(self, now: Any) -> Ticket | None:
        """Call the best: the oldest request of the first user of the lowest class. None: nobody waits."""
        self.ledger.at(now)
        if self.ledger.unswept > 0:
            # A piece of a turn for each call: a queue that is never idle cannot outrun the sweep.
            self.ledger.sweep_block(256)
        queue = self._first_line()
        if queue is None:
            return None
        ticket: Ticket = self.ledger.seats.heads[queue.first()]
        self.detach(ticket)
        ticket.state = CALLED
        return ticket

    def first(self) -> Ticket | None:
        """The request that `pop` would call, without calling it."""
        queue = self._first_line()
        if queue is None:
            return None
        ticket: Ticket = self.ledger.seats.heads[queue.first()]
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
        queue = line.Line(self.ledger.seats, self, self._measure, rank)
        self._lines.insert(at, queue)
        return queue

    def _seat(self, row: int) -> int:
        """Where the user of ``row`` waits here, or 0."""
        seats = self.ledger.seats
        seat = self.ledger.seat_of[row]
        while seat != 0:
            queue: line.Line = seats.lines[seat]
            if queue.owner is self:
                break
            seat = seats.after[seat]
        return seat

    def _sit(self, row: int, ticket: Ticket) -> int:
        seats = self.ledger.seats
        queue = self._line(self.ledger.ranks[self.ledger.standings[row]])
        if self._lift:
            self._lift_row(row, queue)
        seat = seats.take(row)
        seats.heads[seat] = ticket
        seats.after[seat] = self.ledger.seat_of[row]
        self.ledger.seat_of[row] = seat
        if self._measure == 1:
            seats.windowed += 1
            # What the user was charged before the last turn must not weigh on him now.
            self.ledger.refresh(row)
        queue.push(seat, self.ledger.key(row, self._measure), ticket.order)
        return seat

    def _lift_row(self, row: int, queue: "line.Line") -> None:
        least = -1.0
        for heap in self._peers:
            for other in heap._lines:
                if other.rank != queue.rank or other.size == 0 or other.measure != queue.measure:
                    continue
                if least < 0.0 or other.first_key() < least:
                    least = other.first_key()
        if least < 0.0 and queue.left_row >= 0:
            least = queue.left_key
            if self.ledger.index.holds(queue.left_row, queue.left_low, queue.left_high):
                # He may have been charged since he left.
                least = self.ledger.key(queue.left_row, self._measure)
        if least > 0.0:
            self.ledger.lift(row, least)
            if self.ledger.seat_of[row] != 0:
                self.ledger.moved(row)

    def detach(self, ticket: Ticket) -> None:
        """Take a waiting ticket off its user's FIFO, and the user off his line with his last one."""
        seats = self.ledger.seats
        seat = ticket.seat
        before = ticket.before
        after = ticket.after
        ticket.before = None
        ticket.after = None
        if before is not None:
            before.after = after
        else:
            seats.heads[seat] = after
        if after is not None:
            after.before = before
        else:
            seats.tails[seat] = before
        seats.waiting[seat] -= 1
        self.waiting -= 1
        if seats.waiting[seat] == 0:
            self._rise(seat)
        elif before is None and after is not None:
            queue = seats.lines[seat]
            queue.move(seat, queue.key_of(seat), after.order)

    def _rise(self, seat: int) -> None:
        """The user leaves the queue."""
        seats = self.ledger.seats
        row = seats.row[seat]
        queue = seats.lines[seat]
        if self._lift:
            queue.left_row = row
            queue.left_low = self.ledger.index.low(row)
            queue.left_high = self.ledger.index.high(row)
            queue.left_key = queue.key_of(seat)
        queue.remove(seat)
        other = self.ledger.seat_of[row]
        if other == seat:
            self.ledger.seat_of[row] = seats.after[seat]
        else:
            while seats.after[other] != seat:
                other = seats.after[other]
            seats.after[other] = seats.after[seat]
        if self._measure == 1:
            seats.windowed -= 1
        seats.give_back(seat)

    def stand(self, row: int, number: int) -> None:
        """Give ``row`` a standing and put it where that belongs, in every heap."""
        seats = self.ledger.seats
        self.ledger.standings[row] = number
        seat = self.ledger.seat_of[row]
        while seat != 0:
            queue = seats.lines[seat]
            key = self.ledger.key(row, queue.measure)
            if queue.rank == self.ledger.ranks[number]:
                queue.rekey(seat, key)
            else:
                owner: Heap = queue.owner
                order = queue.order_of(seat)
                queue.remove(seat)
                queue = owner._line(self.ledger.ranks[number])
                queue.push(seat, key, order)
            seat = seats.after[seat]

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

    def __len__(self) -> int:
        return self.waiting

    def position(self, ticket: Ticket) -> int:
        """How many users are before the user of a waiting ticket: O(users)."""
        if ticket.state != WAITING or ticket.heap is not self:
            raise RuntimeError("the request does not wait here")
        queue: line.Line = self.ledger.seats.lines[ticket.seat]
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
                ticket: Ticket | None = self.ledger.seats.heads[seat]
                while ticket is not None:
                    found.append(ticket)
                    ticket = ticket.after
        return found

    def standings(self, count: int, now: Any) -> "list[report.Standing]":
        """The first ``count`` users in their order, for people: O(users log users)."""
        found: list[report.Standing] = []
        for queue in self._lines:
            for key, _, seat in queue.ordered()[: count - len(found)]:
                row = self.ledger.seats.row[seat]
                found.append(
                    {
                        "user": self.ledger.name(row),
                        "class": queue.rank,
                        "share": self.ledger.share(row),
                        "usage": self.ledger.service(row, now),
                        "key": key,
                        "waiting": self.ledger.seats.waiting[seat],
                        "in_flight": self.ledger.in_flight(row),
                    }
                )
        return found


def best(heaps: "Iterable[Heap]") -> Heap | None:
    """The heap whose best is before all others', or None when nobody waits in any of them."""
    found: Heap | None = None
    for heap in heaps:
        if heap.waiting > 0 and (found is None or heap.ahead_of(found)):
            found = heap
    return found
