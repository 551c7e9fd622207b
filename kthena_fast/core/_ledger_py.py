"""The ledger: see `ledger` for what it promises. Here is how.

1. `ring[block][slot][row]`: blocks of 4,096 rows that are never copied; a slot of a block is one run of memory, so
   forgetting a slot is one subtraction of arrays. Amounts are integers: a float total drifts, and below zero too.
2. The clock only ever sets `tick`. A block catches up when one of its rows is touched, or when `sweep` visits it: it
   takes from its totals what the slots that passed held. A slot nobody charged is not marked and costs nothing.
3. Zeroed memory means free: `pins` 0 is a free row, n + 1 a row that n requests hold. A row with pins 1 is idle;
   only idle rows are forgotten or evicted.
4. What does not fit in a slot's 32 bits lies in `overflow`, by cell.
5. `floors[block]` is never above the least total among the idle rows of the block: evictions look into few blocks.
"""

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from xxhash import xxh3_64_intdigest

from kthena_fast.core import _ledger_memory as memory

if TYPE_CHECKING:
    import numpy.typing as npt

    from kthena_fast.core import _heap_line_py as line
    from kthena_fast.core import _ledger_index_py as index
else:
    # A twin works with twins of its own kind, whatever the chooser chose.
    index = import_module(__name__.replace("_ledger", "_ledger_index"))
    line = import_module(__name__.replace("_ledger", "_heap_line"))

# 64 slots of a 64th of the window forget up to one slot early; one more never does.
SLOTS: Final = 65
NANOSECONDS: Final = 1_000_000_000
MOST_ROWS: Final = 1 << 24
MOST_UNITS: Final = 1 << 40
MOST_TOTAL: Final = 1 << 60
MOST_TIME: Final = 1 << 62
MOST_STANDINGS: Final = 1 << 16
MOST_MODELS: Final = 1 << 16
CELL: Final = 0xFFFFFFFF
# Blocks that one eviction looks into at most, and rows that one piece of a sweep forgets at most.
LOOKS: Final = 16
BUDGET: Final = 1024


class LedgerFull(Exception):
    """Every row is held by a request that waits or is in flight."""


class Ledger:
    __slots__ = (
        "_ages", "_boards", "_capacity", "_cells", "_columns", "_counts", "_due", "_floors", "_free", "_head",
        "_kept", "_kept_floors", "_marks", "_model_free", "_model_names", "_models", "_names", "_overflow",
        "_pins_by_block", "_seat_by_block", "_seeds", "_shift", "_since", "_standing_numbers", "_start", "_tick",
        "_tops", "_totals_by_block", "_used", "_width", "_window",
        "counters", "evictions", "held", "index", "models_of", "pins", "ranks", "seat_of", "seats", "shares",
        "standings", "totals", "unswept",
    )  # fmt: skip

    def __init__(
        self, window: int, rows: int = 100_000, *, seed: int | None = None, tops: int = 10, block: int = 4096
    ) -> None:
        self._window = _whole(window, 60 * NANOSECONDS, 3600 * NANOSECONDS, "window")
        self._capacity = _whole(rows, 1, MOST_ROWS, "rows")
        self._tops = _whole(tops, 0, 1000, "tops")
        block = _whole(block, 1, 1 << 16, "block")
        if block & (block - 1):
            raise ValueError("block must be a power of two")
        if seed is None:
            seed = int.from_bytes(os.urandom(7), "big")
        self._start = _whole(seed, 0, MOST_TIME, "seed")
        self._width = -(-self._window // (SLOTS - 1))
        self._shift = block.bit_length() - 1
        blocks = (self._capacity + block - 1) // block
        self._tick = 0
        self._head = 0
        self._since = 0
        self._due = 0
        # Blocks from here down have not been swept since the last turn.
        self.unswept = 0

        self._cells = memory.reserve(blocks * SLOTS * block, "I")
        self._columns = list(np.frombuffer(self._cells, np.uint32).reshape(blocks * SLOTS, block))
        self._marks = memory.reserve(blocks * SLOTS, "B")
        self._ages = memory.reserve(blocks, "q")
        self._floors = memory.reserve(blocks, "q")
        self._overflow: dict[int, int] = {}

        self.totals = memory.reserve(blocks * block, "q")
        self.counters = memory.reserve(blocks * block, "q")
        self.pins = memory.reserve(blocks * block, "I")
        self.seat_of = memory.reserve(blocks * block, "I")
        self.standings = memory.reserve(blocks * block, "I")
        self.models_of = memory.reserve(blocks * block, "I")
        self._kept = memory.reserve(blocks * block, "B")
        self._totals_by_block = list(np.frombuffer(self.totals, np.int64).reshape(blocks, block))
        self._pins_by_block = list(np.frombuffer(self.pins, np.uint32).reshape(blocks, block))
        self._seat_by_block = list(np.frombuffer(self.seat_of, np.uint32).reshape(blocks, block))
        # An array of objects, not a list: the garbage collector would walk a list of a million names.
        self._names: npt.NDArray[np.object_] = np.full(blocks * block, None, dtype=object)

        # Rows never used lie above `used`; those that were forgotten are a stack.
        self._used = 0
        self._free = memory.reserve(blocks * block, "I")
        self.held = 0
        self.evictions = 0
        self.index = index.Index(blocks * block)
        self.seats = line.Seats()

        self.shares = memory.reserve(MOST_STANDINGS, "d")
        self.ranks = memory.reserve(MOST_STANDINGS, "I")
        self._standing_numbers: dict[tuple[float, int], int] = {}
        self.standing(1.0, 0)

        self._models: dict[str, int] = {}
        self._model_names: list[str] = []
        self._model_free: list[int] = []
        self._seeds: list[int] = []
        self._counts = memory.reserve(MOST_MODELS, "q")
        # The heaviest rows of each model whose names are kept, and what a total must exceed to join a full board.
        self._boards: list[list[int]] = []
        self._kept_floors = memory.reserve(MOST_MODELS, "q")

    # -- time

    @property
    def width(self) -> int:
        """Nanoseconds of one slot: after so many, at multiples of it in Unix time, there is something to `sweep`."""
        return self._width

    def at(self, now: Any) -> None:
        """Check a clock reading and take notice of a turn; nothing but `sweep` and touching a row acts on it."""
        moment = _whole(now, 0, MOST_TIME, "now")
        if moment >= self._due or moment < self._since:
            self._turn(moment)

    def _turn(self, now: int) -> None:
        start = now - now % self._width
        if now < self._since:
            if self._since - now <= self._window:
                # The clock went back a little: time stands still until it has caught up.
                return
            # It went back by more than the window: believe it, and let what was charged age from here on.
        else:
            self._tick += (start - self._since) // self._width
            self._head = self._tick % SLOTS
            self.unswept = (self._used + (1 << self._shift) - 1) >> self._shift
        self._since = start
        self._due = start + self._width

    def _catch_up(self, block: int) -> None:
        behind = min(self._tick - self._ages[block], SLOTS)
        self._ages[block] = self._tick
        fell = False
        for ago in range(behind):
            slot = block * SLOTS + (self._head + SLOTS - ago) % SLOTS
            if self._marks[slot] != 0:
                self._marks[slot] = 0
                column: npt.NDArray[np.uint32] = self._columns[slot]
                totals: npt.NDArray[np.int64] = self._totals_by_block[block]
                np.subtract(totals, column, out=totals)
                column.fill(0)
                if self._overflow:
                    self._forget_overflow(block, slot)
                fell = True
        if fell:
            self._floors[block] = 0
            if self.seats.windowed != 0:
                for at in np.flatnonzero(self._seat_by_block[block]).tolist():
                    self.moved((block << self._shift) + at)

    def _forget_overflow(self, block: int, slot: int) -> None:
        size = 1 << self._shift
        for cell in [cell for cell in self._overflow if cell >> self._shift == slot]:
            self.totals[block * size + (cell & (size - 1))] -= self._overflow.pop(cell)

    def sweep(self, now: Any, budget: Any = BUDGET) -> int:
        """One bounded piece of what a turn leaves to do: one block caught up, at most ``budget`` rows forgotten."""
        most = _whole(budget, 1, MOST_ROWS, "budget")
        self.at(now)
        if self.unswept > 0:
            self.sweep_block(most)
        return self.unswept

    def sweep_block(self, budget: int) -> None:
        block = self.unswept - 1
        if self._ages[block] != self._tick:
            self._catch_up(block)
        amounts = np.where(self._pins_by_block[block] == 1, self._totals_by_block[block], MOST_TOTAL)
        least = int(amounts.min())
        if least == 0:
            dead: list[int] = np.flatnonzero(amounts == 0)[:budget].tolist()
            for at in dead:
                self._forget((block << self._shift) + at)
            if len(dead) == budget:
                return
        self._floors[block] = least
        self.unswept = block
        if block == 0:
            # Totals have fallen: a lighter row may be among the heaviest now.
            for number in range(len(self._boards)):
                self._kept_floors[number] = 0

    # -- rows

    def pin(self, model: Any, user: Any, now: Any) -> int:
        """The row of this user of this model, new if need be, held once more until `unpin`."""
        self.at(now)
        return self.pin_row(model, user)

    def pin_row(self, model: Any, user: Any) -> int:
        if type(model) is not str:
            raise TypeError(f"model must be a str, not {type(model).__name__}")
        if type(user) is not str:
            raise TypeError(f"user must be a str, not {type(user).__name__}")
        known = self._models.get(model)
        number = self._new_model(model) if known is None else known
        # surrogatepass: a header may carry bytes that are no UTF-8, and every name is somebody.
        name = user.encode("utf-8", "surrogatepass")
        low = xxh3_64_intdigest(name, self._seeds[2 * number])
        high = xxh3_64_intdigest(name, self._seeds[2 * number + 1])
        row = self.index.find(low, high)
        if row < 0:
            # Counted first: the row that is evicted for it may be the last of this model.
            self._counts[number] += 1
            try:
                row = self._new_row()
            except LedgerFull:
                self._discount(number)
                raise
            self.index.insert(row, low, high)
            self.models_of[row] = number
            self.pins[row] = 1
            self.held += 1
        self.pins[row] += 1
        self._names[row] = user
        return row

    def unpin(self, row: Any) -> None:
        """Let go of a row; one that has used nothing is forgotten at once, however many names a client invents."""
        self.unpin_row(self._checked(row))

    def unpin_row(self, row: int) -> None:
        if self.pins[row] < 2:
            raise LookupError(f"row {row} is not pinned")
        self.pins[row] -= 1
        if self.pins[row] == 1:
            total = self.totals[row]
            if total == 0:
                self._forget(row)
                return
            block = row >> self._shift
            self._floors[block] = min(self._floors[block], total)
            if self._kept[row] == 0:
                if total > self._kept_floors[self.models_of[row]]:
                    self._keep(row)
                else:
                    self._names[row] = None

    def _keep(self, row: int) -> None:
        """Keep the name of a row while it is among the heaviest of its model."""
        number = self.models_of[row]
        board = self._boards[number]
        if len(board) < self._tops:
            board.append(row)
            self._kept[row] = 1
            return
        at = -1
        least = MOST_TOTAL
        for place in range(len(board)):
            if self.totals[board[place]] < least:
                at = place
                least = self.totals[board[place]]
        self._kept_floors[number] = least
        if at < 0 or self.totals[row] <= least:
            self._names[row] = None
            return
        other = board[at]
        self._kept[other] = 0
        if self.pins[other] == 1:
            self._names[other] = None
        board[at] = row
        self._kept[row] = 1

    def _new_model(self, model: str) -> int:
        if self._model_free:
            number = self._model_free.pop()
        else:
            number = len(self._model_names)
            if number == MOST_MODELS:
                raise LedgerFull("too many models")
            self._model_names.append("")
            self._boards.append([])
            self._seeds += [0, 0]
        self._models[model] = number
        self._model_names[number] = model
        name = model.encode("utf-8", "surrogatepass")
        # The model is folded into the seed, so no choice of user can look like another model's user.
        self._seeds[2 * number] = xxh3_64_intdigest(name, 2 * self._start)
        self._seeds[2 * number + 1] = xxh3_64_intdigest(name, 2 * self._start + 1)
        return number

    def _new_row(self) -> int:
        if self.held >= self._capacity:
            self._evict()
        free = self._used - self.held
        if free > 0:
            return self._free[free - 1]
        self._used += 1
        return self._used - 1

    def _forget(self, row: int) -> None:
        number = self.models_of[row]
        self.index.remove(row)
        if self._kept[row] != 0:
            self._kept[row] = 0
            self._boards[number].remove(row)
            self._kept_floors[number] = 0
        self.pins[row] = 0
        self.counters[row] = 0
        self.standings[row] = 0
        self._names[row] = None
        self._free[self._used - self.held] = row
        self.held -= 1
        self._discount(number)

    def _discount(self, number: int) -> None:
        """One row less; a model without rows gives its number back."""
        self._counts[number] -= 1
        if self._counts[number] == 0:
            del self._models[self._model_names[number]]
            self._model_names[number] = ""
            self._model_free.append(number)

    def _evict(self) -> None:
        """Forget the idle row with least service."""
        blocks = (self._used + (1 << self._shift) - 1) >> self._shift
        found = -1
        least = MOST_TOTAL
        for look in range(blocks):
            if look >= LOOKS and found >= 0:
                break
            block = 0
            for other in range(1, blocks):
                if self._floors[other] < self._floors[block]:
                    block = other
            if self._floors[block] >= least:
                break
            if self._ages[block] != self._tick:
                self._catch_up(block)
            amounts = np.where(self._pins_by_block[block] == 1, self._totals_by_block[block], MOST_TOTAL)
            at = int(amounts.argmin())
            self._floors[block] = int(amounts[at])
            if self._floors[block] < least:
                least = self._floors[block]
                found = (block << self._shift) + at
        if found < 0:
            raise LedgerFull(f"all {self._capacity} rows are waiting or in flight")
        if least > 0:
            self._take(found, least)
        self._forget(found)
        self.evictions += 1

    # -- amounts

    def charge(self, row: Any, units: Any, now: Any) -> None:
        """Add ``units`` to what the user of ``row`` was served; if he waits, he moves at once."""
        self.at(now)
        self.add(self._checked(row), _whole(units, 0, MOST_UNITS, "units"))

    def refund(self, row: Any, units: Any, now: Any) -> int:
        """Take ``units`` back, the newest first; returns how many of them the window still held."""
        self.at(now)
        return self.subtract(self._checked(row), _whole(units, 0, MOST_UNITS, "units"))

    def add(self, row: int, units: int) -> None:
        if units == 0:
            return
        block = row >> self._shift
        if self._ages[block] != self._tick:
            self._catch_up(block)
        # A lift never exceeds MOST_TOTAL, so one test keeps both from wrapping in C.
        if self.totals[row] > MOST_TOTAL - units or self.counters[row] > 2 * MOST_TOTAL - units:
            raise OverflowError(f"row {row} can hold no more")
        slot = block * SLOTS + self._head
        cell = (slot << self._shift) + (row & ((1 << self._shift) - 1))
        amount = self._cells[cell] + units
        if amount > CELL:
            self._overflow[cell] = self._overflow.get(cell, 0) + (amount - CELL)
            amount = CELL
        self._cells[cell] = amount
        self._marks[slot] = 1
        self.totals[row] += units
        self.counters[row] += units
        if self.seat_of[row] != 0:
            self.moved(row)

    def subtract(self, row: int, units: int) -> int:
        block = row >> self._shift
        if self._ages[block] != self._tick:
            self._catch_up(block)
        given = self._take(row, units)
        self.counters[row] = max(self.counters[row] - units, 0)
        self._floors[block] = min(self._floors[block], self.totals[row])
        if self.seat_of[row] != 0:
            self.moved(row)
        return given

    def _take(self, row: int, units: int) -> int:
        given = min(units, self.totals[row])
        left = given
        base = (row >> self._shift) * SLOTS
        for ago in range(SLOTS):
            if left == 0:
                break
            slot = base + (self._head + SLOTS - ago) % SLOTS
            if self._marks[slot] == 0:
                continue
            cell = (slot << self._shift) + (row & ((1 << self._shift) - 1))
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
        share = self.shares[self.standings[row]]
        if key * share >= float(MOST_TOTAL):
            wanted = MOST_TOTAL
        else:
            wanted = int(key * share)
            if float(wanted) / share < key:
                wanted += 1
        self.counters[row] = max(self.counters[row], wanted)

    def key(self, row: int, measure: int) -> float:
        """What orders a row: 1 the service in the window by share, 2 the counter by share, 0 nothing but arrival."""
        if measure == 1:
            return float(self.totals[row]) / self.shares[self.standings[row]]
        if measure == 2:
            return float(self.counters[row]) / self.shares[self.standings[row]]
        return 0.0

    def refresh(self, row: int) -> None:
        if self._ages[row >> self._shift] != self._tick:
            self._catch_up(row >> self._shift)

    def moved(self, row: int) -> None:
        seat = self.seat_of[row]
        while seat != 0:
            queue = self.seats.lines[seat]
            queue.rekey(seat, self.key(row, queue.measure))
            seat = self.seats.after[seat]

    # -- standings

    def standing(self, share: Any, rank: Any) -> int:
        """The number of a share and a class, to be given to `Heap.enter`; the same two give the same number."""
        if type(share) is not int and type(share) is not float:
            raise TypeError(f"share must be an int or a float, not {type(share).__name__}")
        if not 0.001 <= share <= 1_000_000:
            raise ValueError("share must be between 0.001 and 1000000")
        entry = (float(share), _whole(rank, 0, 1000, "rank"))
        number = self._standing_numbers.setdefault(entry, len(self._standing_numbers))
        if number == MOST_STANDINGS:
            del self._standing_numbers[entry]
            raise LedgerFull("too many different shares")
        self.shares[number], self.ranks[number] = entry
        return number

    def units(self, units: Any) -> int:
        return _whole(units, 0, MOST_UNITS, "units")

    def checked_count(self, count: Any) -> int:
        return _whole(count, 1, MOST_ROWS, "count")

    def checked_standing(self, standing: Any) -> int:
        return _whole(standing, 0, len(self._standing_numbers) - 1, "standing")

    # -- reports

    def __len__(self) -> int:
        return self.held

    def service(self, row: Any, now: Any) -> int:
        """What the window holds of ``row``."""
        self.at(now)
        number = self._checked(row)
        self.refresh(number)
        return self.totals[number]

    def in_flight(self, row: Any) -> int:
        """How many requests of this user were called and have not left."""
        number = self._checked(row)
        waiting = 0
        seat = self.seat_of[number]
        while seat != 0:
            waiting += self.seats.waiting[seat]
            seat = self.seats.after[seat]
        return self.pins[number] - 1 - waiting

    def counter(self, row: Any) -> int:
        return self.counters[self._checked(row)]

    def name(self, row: Any) -> str | None:
        """The name of the user, if the row is held or among the heaviest."""
        name: str | None = self._names[self._checked(row)]
        return name

    def share(self, row: Any) -> float:
        return self.shares[self.standings[self._checked(row)]]

    def rank(self, row: Any) -> int:
        return self.ranks[self.standings[self._checked(row)]]

    def users(self, model: str) -> int:
        """How many rows this model has."""
        number = self._models.get(model)
        return 0 if number is None else self._counts[number]

    def models(self) -> list[str]:
        return sorted(self._models)

    def find(self, model: str, user: str) -> int:
        """The row of this user of this model, or -1; holds nothing."""
        number = self._models.get(model)
        if number is None:
            return -1
        name = user.encode("utf-8", "surrogatepass")
        low = xxh3_64_intdigest(name, self._seeds[2 * number])
        return self.index.find(low, xxh3_64_intdigest(name, self._seeds[2 * number + 1]))

    def heaviest(self, model: str, count: int) -> list[tuple[str, int]]:
        """The names and totals of the users with most service, among those whose names are held: O(rows)."""
        rows = self._rows_of(model)
        named = [(-self.totals[row], self._names[row]) for row in rows.tolist() if self._names[row] is not None]
        return [(name, -total) for total, name in sorted(named)[:count]]

    def jain(self, model: str) -> float:
        """Jain's index of service by share over the users with any, 1.0 if there is none: O(rows)."""
        rows = self._rows_of(model)
        served = np.frombuffer(self.totals, np.int64)[rows].astype(np.float64)
        standings = np.frombuffer(self.standings, np.uint32)[rows]
        amounts = served / np.asarray(self.shares)[standings]
        amounts = amounts[amounts > 0]
        if len(amounts) == 0:
            return 1.0
        return float(amounts.sum() ** 2 / (len(amounts) * np.square(amounts).sum()))

    def _rows_of(self, model: str) -> "npt.NDArray[np.intp]":
        number = self._models.get(model, -1)
        rows: npt.NDArray[np.intp] = np.flatnonzero(
            (np.frombuffer(self.models_of, np.uint32)[: self._used] == number)
            & (np.frombuffer(self.pins, np.uint32)[: self._used] > 0)
        )
        return rows

    def _checked(self, row: Any) -> int:
        number = _whole(row, 0, self._capacity - 1, "row")
        if self.pins[number] == 0:
            raise LookupError(f"row {number} is free")
        return number


def _whole(value: Any, least: int, most: int, what: str) -> int:
    """The door: C would take 1.5 for 1, True for 1 and wrap 2**70, and Python would not."""
    if type(value) is not int:
        raise TypeError(f"{what} must be an int, not {type(value).__name__}")
    try:
        number = value
    except OverflowError:
        raise ValueError(f"{what} must be between {least} and {most}") from None
    if number < least or number > most:
        raise ValueError(f"{what} must be between {least} and {most}")
    return number
