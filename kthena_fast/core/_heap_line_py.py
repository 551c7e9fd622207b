# cython: wraparound=False, initializedcheck=False, boundscheck=False
# The one twin without boundscheck: it is 11 % of the instructions of a request at 1,000 users. Every index is a place
# below `size` or a seat that was taken; the pure twin raises if not (test_the_twins_agree_over_long_histories).
"""The users of one class who wait in one heap, best first, and the seats they wait on.

1. A *seat* is one user waiting in one heap, a small number from 1 on; 0 is no seat. A user who waits in two heaps
   has two seats, chained by `Seats.after`, so that a charge finds them both.
2. A *line* is a heap with four children to a node, in flat arrays: half the depth of a binary heap, and the children
   that are compared stand in one cache line. `Seats.place` says where in its line a seat is, so any seat moves or
   leaves in O(log n).
3. The order is (key, order): the order is the arrival of the oldest request of the user, which no two requests
   share. So the order is strict and total, and both twins agree on it: a key is the quotient of two doubles.
"""

from typing import Any

from kthena_fast.core import _ledger_memory as memory


class Seats:
    """Every seat of every heap over one ledger."""

    __slots__ = ("after", "count", "free", "heads", "lines", "orders", "place", "row", "waiting", "windowed")

    def __init__(self) -> None:
        self.row = memory.small(64, "I")
        self.place = memory.small(64, "I")
        self.waiting = memory.small(64, "I")
        # The next seat of the same user, or of the chain of free seats.
        self.after = memory.small(64, "I")
        # The line of a seat, and the oldest request that waits there.
        self.lines: list[Any] = [None]
        self.heads: list[Any] = [None]
        self.free = 0
        # Seats in use, and how many of them are ordered by what the window holds.
        self.count = 0
        self.windowed = 0
        # Arrivals so far.
        self.orders = 0

    def take(self, row: int) -> int:
        """A seat for the user of ``row``."""
        seat = self.free
        if seat != 0:
            self.free = self.after[seat]
        else:
            seat = len(self.lines)
            self.lines.append(None)
            self.heads.append(None)
            if seat >= len(self.row):
                self.row = memory.grown(self.row, 2 * seat, "I")
                self.place = memory.grown(self.place, 2 * seat, "I")
                self.waiting = memory.grown(self.waiting, 2 * seat, "I")
                self.after = memory.grown(self.after, 2 * seat, "I")
        self.row[seat] = row
        self.waiting[seat] = 0
        self.after[seat] = 0
        self.count += 1
        return seat

    def give_back(self, seat: int) -> None:
        self.lines[seat] = None
        self.heads[seat] = None
        self.after[seat] = self.free
        self.free = seat
        self.count -= 1


class Line:
    __slots__ = (
        "_keys", "_orders", "_room", "_taken",
        "left_high", "left_key", "left_low", "left_row", "measure", "owner", "rank", "rekeyed", "seats", "size",
    )  # fmt: skip

    def __init__(self, seats: Seats, owner: object, measure: int, rank: int) -> None:
        self.seats = seats
        self.owner: Any = owner
        # What the key is made of: see `Ledger.key`.
        self.measure = measure
        self.rank = rank
        self.size = 0
        # How often a seat got another key while it was taken.
        self.rekeyed = 0
        self._room = 16
        self._keys = memory.small(self._room, "d")
        self._orders = memory.small(self._room, "Q")
        self._taken = memory.small(self._room, "I")
        # Who left last: his row, the digest that it stood for, and his key as he left. -1: nobody yet.
        self.left_row = -1
        self.left_low = 0
        self.left_high = 0
        self.left_key = 0.0

    def first(self) -> int:
        """The seat of the best; the line is not empty."""
        return self._taken[0]

    def first_key(self) -> float:
        return self._keys[0]

    def first_order(self) -> int:
        return self._orders[0]

    def key_of(self, seat: int) -> float:
        return self._keys[self.seats.place[seat]]

    def order_of(self, seat: int) -> int:
        return self._orders[self.seats.place[seat]]

    def push(self, seat: int, key: float, order: int) -> None:
        if self.size == self._room:
            self._room *= 2
            self._keys = memory.grown(self._keys, self._room, "d")
            self._orders = memory.grown(self._orders, self._room, "Q")
            self._taken = memory.grown(self._taken, self._room, "I")
        self.size += 1
        self.seats.lines[seat] = self
        self._rise(self.size - 1, seat, key, order)

    def remove(self, seat: int) -> None:
        at = self.seats.place[seat]
        self.size -= 1
        last = self.size
        if at != last:
            self._settle(at, self._taken[last], self._keys[last], self._orders[last])

    def move(self, seat: int, key: float, order: int) -> None:
        """Put a seat where its new key and order belong."""
        at = self.seats.place[seat]
        if key != self._keys[at] or order != self._orders[at]:
            self._settle(at, seat, key, order)

    def rekey(self, seat: int, key: float) -> None:
        at = self.seats.place[seat]
        if key != self._keys[at]:
            self.rekeyed += 1
            self._settle(at, seat, key, self._orders[at])

    def _settle(self, at: int, seat: int, key: float, order: int) -> None:
        above = (at - 1) >> 2 if at > 0 else 0
        if at > 0 and (key < self._keys[above] or (key == self._keys[above] and order < self._orders[above])):
            self._rise(at, seat, key, order)
        else:
            self._sink(at, seat, key, order)

    def _rise(self, at: int, seat: int, key: float, order: int) -> None:
        while at > 0:
            above = (at - 1) >> 2
            if not (key < self._keys[above] or (key == self._keys[above] and order < self._orders[above])):
                break
            self._put(at, self._taken[above], self._keys[above], self._orders[above])
            at = above
        self._put(at, seat, key, order)

    def _sink(self, at: int, seat: int, key: float, order: int) -> None:
        while True:
            child = 4 * at + 1
            if child >= self.size:
                break
            end = min(child + 4, self.size)
            best = child
            best_key = self._keys[child]
            for other in range(child + 1, end):
                other_key = self._keys[other]
                # Twice a comparison of numbers that are at hand, rather than once one that must be fetched.
                if other_key <= best_key and (other_key < best_key or self._orders[other] < self._orders[best]):
                    best = other
                    best_key = other_key
            if best_key > key or (best_key == key and self._orders[best] > order):
                break
            self._put(at, self._taken[best], best_key, self._orders[best])
            at = best
        self._put(at, seat, key, order)

    def _put(self, at: int, seat: int, key: float, order: int) -> None:
        self._keys[at] = key
        self._orders[at] = order
        self._taken[at] = seat
        self.seats.place[seat] = at

    def ordered(self) -> list[tuple[float, int, int]]:
        """(key, order, seat) of all, best first: for reports, O(n log n)."""
        found = [(self._keys[at], self._orders[at], self._taken[at]) for at in range(self.size)]
        found.sort()
        return found

    def before(self, seat: int) -> int:
        """How many stand before this seat: for reports, O(n)."""
        place = self.seats.place[seat]
        key = self._keys[place]
        order = self._orders[place]
        found = 0
        for at in range(self.size):
            if self._keys[at] < key or (self._keys[at] == key and self._orders[at] < order):
                found += 1
        return found

    def spread(self) -> float:
        """The largest key less the smallest: for reports, O(n)."""
        if self.size == 0:
            return 0.0
        most = self._keys[0]
        for at in range(self.size):
            most = max(most, self._keys[at])
        return most - self._keys[0]
