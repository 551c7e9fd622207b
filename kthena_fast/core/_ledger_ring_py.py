# cython: wraparound=False, initializedcheck=False, boundscheck=False, binding=False
# Without boundscheck, 3 % of a request: rows come from the ledger and the heap, which check them at the door, and the
# pure twin raises if not (test_the_twins_agree_over_long_histories).
"""The ring of slots, the totals over it, the counters, and the keys that order users by them.

1. `cells[block][slot][row]`: blocks of 4,096 rows that are never copied; a slot of a block is one run of memory, so
   forgetting a slot is one subtraction of arrays. Amounts are integers: a float total drifts, and below zero too.
2. The clock only ever sets `tick`. A block catches up when one of its rows is touched, or when the ledger's sweep
   visits it: it takes from its totals what the passed slots held. A slot that nobody charged is not marked and free.
3. What does not fit in a cell's 32 bits lies in `overflow`, by cell.
4. Beside its total a row has a record of 32 bytes, so that a request touches few cache lines: two words of digest, the
   counter, and two halves: the first seat (see `_heap_line`), and standing + 65,536 x model.
5. `floors[block]` is never above the least total among the idle rows of the block; here it is only ever lowered.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Final

from kthena_fast.core import _ledger_memory as memory

if TYPE_CHECKING or __name__.endswith("_py"):
    from kthena_fast.core import _ledger_arrays as arrays

if TYPE_CHECKING:
    from kthena_fast.core import _heap_line_py as line
else:
    # A twin works with twins of its own kind, whatever the chooser chose.
    line = import_module(__name__.replace("_ledger_ring", "_heap_line"))

# 64 slots of a 64th of the window forget up to one slot early; one more never does.
SLOTS: Final = 65
NANOSECONDS: Final = 1_000_000_000
MOST_TOTAL: Final = 1 << 60
MOST_STANDINGS: Final = 1 << 16
CELL: Final = 0xFFFFFFFF


class Ring:
    __slots__ = (
        "_cells", "_head", "_marks", "_overflow", "_slot", "ages", "due", "floors", "halves", "ranks", "seats",
        "shares", "shift", "since", "tick", "totals", "width", "words",
    )  # fmt: skip

    def __init__(self, window: int, blocks: int, shift: int) -> None:
        self.width = -(-window // (SLOTS - 1))
        self.shift = shift
        self.tick = 0
        self._head = 0
        # The slot that is being charged: its number by the clock, and its two ends in seconds.
        self._slot = 0
        self.since = 0.0
        self.due = 0.0
        size = 1 << shift
        self._cells = memory.reserve(blocks * SLOTS * size, "I")
        self._marks = memory.reserve(blocks * SLOTS, "B")
        self._overflow: dict[int, int] = {}
        self.ages = memory.reserve(blocks, "q")
        self.floors = memory.reserve(blocks, "q")
        self.totals = memory.reserve(blocks * size, "q")
        words = memory.reserve(blocks * size * 4, "Q")
        self.words = words
        self.halves = words.cast("B").cast("I")
        self.seats = line.Seats()
        self.shares = memory.reserve(MOST_STANDINGS, "d")
        self.ranks = memory.reserve(MOST_STANDINGS, "I")

    def at(self, now: float) -> bool:
        """Read a clock that is not between ``since`` and ``due``: has the ring turned?"""
        slot = int(now * NANOSECONDS) // self.width
        if now < self.since:
            if self._slot - slot < SLOTS:
                # The clock went back a little: time stands still until it has caught up.
                return False
            # It went back by more than the window: believe it, and let what was charged age from here on.
            steps = 0
        else:
            steps = slot - self._slot
            self.tick += steps
            self._head = self.tick % SLOTS
        self._slot = slot
        self.since = float(slot * self.width) / NANOSECONDS
        self.due = float((slot + 1) * self.width) / NANOSECONDS
        return steps > 0

    def catch_up(self, block: int) -> None:
        """Take from the totals of a block what no longer counts."""
        behind = min(self.tick - self.ages[block], SLOTS)
        self.ages[block] = self.tick
        # What has passed ends at the head, and begins behind it or, once around, at the end of the ring.
        fell = self._empty(block, max(self._head + 1 - behind, 0), self._head + 1)
        if behind > self._head + 1 and self._empty(block, self._head + 1 + SLOTS - behind, SLOTS):
            fell = True
        if fell:
            self.floors[block] = 0
            if self.seats.windowed != 0:
                for row in arrays.seated(self.halves, block << self.shift, 1 << self.shift):
                    self.moved(row)

    def _empty(self, block: int, first: int, end: int) -> bool:
        """Take slots from `first` up to `end` from the totals; False: nobody had charged them."""
        base = block * SLOTS
        fell = False
        while first < end:
            last = first
            while last < end and self._marks[base + last] != 0:
                self._marks[base + last] = 0
                last += 1
            if last > first:
                cell = (base + first) << self.shift
                arrays.empty(self._cells, cell, last - first, self.totals, block << self.shift, 1 << self.shift)
                if self._overflow:
                    for slot in range(base + first, base + last):
                        self._forget_overflow(block, slot)
                fell = True
            first = last + 1
        return fell

    def _forget_overflow(self, block: int, slot: int) -> None:
        for cell in [cell for cell in self._overflow if cell >> self.shift == slot]:
            row = (block << self.shift) + (cell & ((1 << self.shift) - 1))
            self.totals[row] -= self._overflow.pop(cell)

    def touch(self, row: int) -> None:
        if self.ages[row >> self.shift] != self.tick:
            self.catch_up(row >> self.shift)

    def add(self, row: int, units: int) -> None:
        if units > 0:
            self._add(row, units)

    def _add(self, row: int, units: int) -> None:
        # `touch`, without a call.
        if self.ages[row >> self.shift] != self.tick:
            self.catch_up(row >> self.shift)
        total = self.totals[row]
        counter = self.words[4 * row + 2]
        # A lift never exceeds MOST_TOTAL, so this keeps both from wrapping in C.
        if total > MOST_TOTAL - units or counter > 2 * MOST_TOTAL - units:
            raise OverflowError(f"row {row} can hold no more")
        slot = (row >> self.shift) * SLOTS + self._head
        cell = (slot << self.shift) + (row & ((1 << self.shift) - 1))
        amount = self._cells[cell] + units
        if amount > CELL:
            self._overflow[cell] = self._overflow.get(cell, 0) + (amount - CELL)
            amount = CELL
        self._cells[cell] = amount
        self._marks[slot] = 1
        self.totals[row] = total + units
        self.words[4 * row + 2] = counter + units
        if self.halves[8 * row + 6] != 0:
            self.moved(row)

    def subtract(self, row: int, units: int) -> int:
        self.touch(row)
        given = self.take(row, units)
        counter = self.words[4 * row + 2]
        self.words[4 * row + 2] = counter - units if counter > units else 0
        block = row >> self.shift
        self.floors[block] = min(self.floors[block], self.totals[row])
        if self.halves[8 * row + 6] != 0:
            self.moved(row)
        return given

    def take(self, row: int, units: int) -> int:
        """Empty the cells of a row, the newest first, of up to ``units``; its block has caught up."""
        given = min(units, self.totals[row])
        left = given
        base = (row >> self.shift) * SLOTS
        for ago in range(SLOTS):
            if left == 0:
                break
            slot = base + (self._head + SLOTS - ago) % SLOTS
            if self._marks[slot] == 0:
                continue
            cell = (slot << self.shift) + (row & ((1 << self.shift) - 1))
            amount = self._cells[cell]
            if amount == CELL and self._overflow:
                extra = self._overflow.pop(cell, 0)
                part = min(extra, left)
                if extra > part:
                    self._overflow[cell] = extra - part
                left -= part
            part = min(amount, left)
            self._cells[cell] = amount - part
            left -= part
        self.totals[row] -= given
        return given

    def lift(self, row: int, key: float) -> None:
        """Raise the counter of ``row`` to where its key is at least ``key``; it never falls."""
        share = self.shares[self.standing_of(row)]
        if key * share >= float(MOST_TOTAL):
            wanted = MOST_TOTAL
        else:
            wanted = int(key * share)
            if float(wanted) / share < key:
                wanted += 1
        if self.counter_of(row) < wanted:
            self.words[4 * row + 2] = wanted

    def key(self, row: int, measure: int) -> float:
        """What orders a row: 1 the service in the window by share, 2 the counter by share, 0 nothing but arrival."""
        if measure == 1:
            return float(self.totals[row]) / self.shares[self.standing_of(row)]
        if measure == 2:
            return float(self.counter_of(row)) / self.shares[self.standing_of(row)]
        return 0.0

    def moved(self, row: int) -> None:
        """Put a user where he belongs now, wherever he waits."""
        seat = self.halves[8 * row + 6]
        while seat != 0:
            queue = self.seats.holders[2 * seat]
            queue.rekey(seat, self.key(row, queue.measure))
            seat = self.seats.fields[3 * seat + 2]

    # -- the fields of a record

    def counter_of(self, row: int) -> int:
        return self.words[4 * row + 2]

    def seat_of(self, row: int) -> int:
        return self.halves[8 * row + 6]

    def waiting_of(self, row: int) -> int:
        """How many requests of this user wait, anywhere."""
        waiting = 0
        seat = self.seat_of(row)
        while seat != 0:
            waiting += self.seats.fields[3 * seat + 1]
            seat = self.seats.fields[3 * seat + 2]
        return waiting

    def standing_of(self, row: int) -> int:
        return self.halves[8 * row + 7] & 0xFFFF

    def model_of(self, row: int) -> int:
        return self.halves[8 * row + 7] >> 16

    def set_standing(self, row: int, standing: int) -> None:
        self.halves[8 * row + 7] = (self.halves[8 * row + 7] & 0xFFFF0000) | standing

    def begin(self, row: int, model: int) -> None:
        """A record for a new user: no counter, no seat, the default standing."""
        self.words[4 * row + 2] = 0
        self.halves[8 * row + 6] = 0
        self.halves[8 * row + 7] = model << 16
