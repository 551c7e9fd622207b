# cython: wraparound=False, initializedcheck=False, boundscheck=False, binding=False
# Without boundscheck: it is 11 % of the instructions of a request at 1,000 users. Every index is a place
# below `size` or a seat that was taken; the pure twin raises if not (test_the_twins_agree_over_long_histories).
"""The users of one class who wait in one heap, best first, and the seats they wait on.

1. A *seat* is one user waiting in one heap, a small number from 1 on; 0 is no seat. A user who waits in two heaps
   has two seats, chained, so that a charge finds them both. `Seats.fields` has three numbers for each: its row, how
   many requests wait there, and the next seat of the same user (or of the chain of free ones).
2. A *line* is a heap with four children to a node: half the depth of a binary heap. A node is 16 bytes, key and seat,
   and the first has the index 3, so the four that are compared fill one cache line. `Seats.place` says where in its
   line a seat is, so any seat moves or leaves in O(log n).
3. The order is (key, order): the order is the arrival of the oldest request of the user, which no two requests
   share. So the order is strict and total, and both twins agree on it: a key is the quotient of two doubles.
4. No key is negative, so the bits of two keys, read as integers, are ordered as the keys are.
"""

from typing import Any, Final

from kthena_fast.core import _ledger_memory as memory

# Where the best of a line is: the children of the node i are 4 * (i - 2) and the three behind it.
ROOT: Final = 3


class Seats:
    """Every seat of every heap over one ledger."""

    __slots__ = ("count", "fields", "free", "holders", "order", "orders", "place", "size", "windowed")

    def __init__(self) -> None:
        self.fields = memory.small(3 * 64, "I")
        self.place = memory.small(64, "I")
        self.order = memory.small(64, "Q")
        # Side by side, as they are used: the line of a seat, then the oldest request that waits there.
        self.holders: list[Any] = [None, None]
        # Seats ever made, the first of the chain of free ones, and those in use.
        self.size = 1
        self.free = 0
        self.count = 0
        # How many of them are ordered by what the window holds.
        self.windowed = 0
        # Arrivals so far.
        self.orders = 0

    def take(self, row: int) -> int:
        """A seat for the user of ``row``."""
        seat = self.free
        if seat != 0:
            self.free = self.fields[3 * seat + 2]
        else:
            seat = self.size
            self.size += 1
            self.holders.append(None)
            self.holders.append(None)
            if seat >= len(self.place):
                self.fields = memory.grown(self.fields, 6 * seat, "I")
                self.place = memory.grown(self.place, 2 * seat, "I")
                self.order = memory.grown(self.order, 2 * seat, "Q")
        self.fields[3 * seat] = row
        self.fields[3 * seat + 1] = 0
        self.fields[3 * seat + 2] = 0
        self.count += 1
        return seat

    def lead(self, seat: int, ticket: object) -> None:
        """Name the oldest request that waits on a seat."""
        self.holders[2 * seat + 1] = ticket

    def give_back(self, seat: int) -> None:
        self.holders[2 * seat] = None
        self.holders[2 * seat + 1] = None
        self.fields[3 * seat + 2] = self.free
        self.free = seat
        self.count -= 1


class Line:
    __slots__ = (
        "_bits", "_keys", "_room", "_taken",
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
        self._view(memory.small(2 * self._room, "d"))
        # Who left last: his row, the digest that it stood for, and his key as he left. -1: nobody yet.
        self.left_row = -1
        self.left_low = 0
        self.left_high = 0
        self.left_key = 0.0

    def _view(self, nodes: "memoryview[float]") -> None:
        self._keys = nodes
        self._bits = nodes.cast("B").cast("Q")
        self._taken = nodes.cast("B").cast("I")

    def first(self) -> int:
        """The seat of the best; the line is not empty."""
        return self._taken[4 * ROOT + 2]

    def first_key(self) -> float:
        return self._keys[2 * ROOT]

    def first_order(self) -> int:
        return self.seats.order[self._taken[4 * ROOT + 2]]

    def key_of(self, seat: int) -> float:
        return self._keys[2 * self.seats.place[seat]]

    def order_of(self, seat: int) -> int:
        return self.seats.order[seat]

    def push(self, seat: int, key: float, order: int) -> None:
        if self.size + ROOT == self._room:
            self._grow()
        self.size += 1
        self.seats.holders[2 * seat] = self
        self.seats.order[seat] = order
        self._rise(self.size + ROOT - 1, seat, key)

    def _grow(self) -> None:
        nodes = memory.grown(self._keys, 4 * self._room, "d")
        self._room *= 2
        self._view(nodes)

    def remove(self, seat: int) -> None:
        self._remove(self.seats.place[seat])

    def remove_first(self) -> None:
        """`remove` of `first`, without waiting for memory to tell where that is."""
        self._remove(ROOT)

    def _remove(self, at: int) -> None:
        self.size -= 1
        last = self.size + ROOT
        if at != last:
            self._settle(at, self._taken[4 * last + 2], self._keys[2 * last])

    def move(self, seat: int, key: float, order: int) -> None:
        """Put a seat where its new key and order belong."""
        at = self.seats.place[seat]
        if key != self._keys[2 * at] or order != self.seats.order[seat]:
            self.seats.order[seat] = order
            self._settle(at, seat, key)

    def rekey(self, seat: int, key: float) -> None:
        at = self.seats.place[seat]
        if key != self._keys[2 * at]:
            self.rekeyed += 1
            self._settle(at, seat, key)

    def _settle(self, at: int, seat: int, key: float) -> None:
        if at > ROOT and self._precedes(seat, key, (at >> 2) + 2):
            self._rise(at, seat, key)
        else:
            self._sink(at, seat, key)

    def _precedes(self, seat: int, key: float, at: int) -> bool:
        """Does a seat with this key belong before the one that is at a node?"""
        if key != self._keys[2 * at]:
            return key < self._keys[2 * at]
        return self.seats.order[seat] < self.seats.order[self._taken[4 * at + 2]]

    def _rise(self, at: int, seat: int, key: float) -> None:
        while at > ROOT:
            above = (at >> 2) + 2
            if not self._precedes(seat, key, above):
                break
            self._put(at, self._taken[4 * above + 2], self._keys[2 * above])
            at = above
        self._put(at, seat, key)

    def _sink(self, at: int, seat: int, key: float) -> None:
        size = self.size + ROOT
        while True:
            child = 4 * (at - 2)
            if child >= size:
                break
            best = child
            least = self._bits[2 * child]
            for other in range(child + 1, min(child + 4, size)):
                bits = self._bits[2 * other]
                # Apart from the next, since it is hardly ever so: what then remains needs no jump in C.
                if bits == least and self._is_older(other, best):
                    best = other
                if bits < least:
                    best = other
                    least = bits
            if self._precedes(seat, key, best):
                break
            self._put(at, self._taken[4 * best + 2], self._keys[2 * best])
            at = best
        self._put(at, seat, key)

    def _is_older(self, at: int, other: int) -> bool:
        return self.seats.order[self._taken[4 * at + 2]] < self.seats.order[self._taken[4 * other + 2]]

    def _put(self, at: int, seat: int, key: float) -> None:
        self._keys[2 * at] = key
        self._taken[4 * at + 2] = seat
        self.seats.place[seat] = at

    def ordered(self) -> list[tuple[float, int, int]]:
        """(key, order, seat) of all, best first: for reports, O(n log n)."""
        seats = [self._taken[4 * at + 2] for at in range(ROOT, self.size + ROOT)]
        found = [(self.key_of(seat), self.seats.order[seat], seat) for seat in seats]
        found.sort()
        return found

    def before(self, seat: int) -> int:
        """How many stand before this seat: for reports, O(n)."""
        key = self.key_of(seat)
        found = 0
        for at in range(ROOT, self.size + ROOT):
            if self._keys[2 * at] <= key and not self._precedes(seat, key, at):
                found += 1
        # The seat itself does not precede itself.
        return found - 1

    def spread(self) -> float:
        """The largest key less the smallest: for reports, O(n)."""
        if self.size == 0:
            return 0.0
        most = self._keys[2 * ROOT]
        for at in range(ROOT, self.size + ROOT):
            most = max(most, self._keys[2 * at])
        return most - self._keys[2 * ROOT]
