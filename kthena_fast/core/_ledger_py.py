# cython: wraparound=False, initializedcheck=False, binding=False
# No index here is negative, and an array that was never made has no item, so boundscheck, which stays, sees it.
"""The ledger: see `ledger` for what it promises. Here are its rows: who has one, who keeps it, who loses it.

1. Zeroed memory means free: `pins` 0 is a free row, n + 1 a row that n requests hold. A row with pins 1 is idle; only
   idle rows are forgotten or evicted.
2. Rows never used lie from `_used` on; the forgotten ones are a stack, `_free`, whose height is `_used` - `held`.
3. The name of an idle row stays only while the row is on its model's board. A board that is full is cut to the
   heaviest, and what leaves a row must then exceed the least of them to join: a few operations a request, whatever
   the totals do.
4. A model has a number while it has rows. Nothing here grows with the names that were ever seen.
5. `_recent` and `_recent_names` remember where users who came lately are found, by a part of their name's hash. It
   is true only while the row has the digest that it had then, so it is never taken back; 4,096 names at most.
"""

import heapq
import os
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from xxhash import xxh3_64_intdigest, xxh3_128_digest

from kthena_fast.core import _ledger_memory as memory

if TYPE_CHECKING or __name__.endswith("_py"):
    from kthena_fast.core import _ledger_arrays as arrays

if TYPE_CHECKING:
    from kthena_fast.core import _ledger_index_py as index
    from kthena_fast.core import _ledger_ring_py as ring
else:
    # A twin works with twins of its own kind, whatever the chooser chose.
    index = import_module(__name__.replace("_ledger", "_ledger_index"))
    ring = import_module(__name__.replace("_ledger", "_ledger_ring"))

NANOSECONDS: Final = 1_000_000_000
MOST_ROWS: Final = 1 << 24
MOST_UNITS: Final = 1 << 40
MOST_TOTAL: Final = 1 << 60
MOST_SEED: Final = 1 << 62
# The year 2255, before nanoseconds would wrap in C.
MOST_TIME: Final = 9_000_000_000.0
MOST_STANDINGS: Final = 1 << 16
MOST_MODELS: Final = 1 << 16
# Slots that may pass before a block's catching up is a piece of work of its own.
LONG: Final = 8
# Blocks that one eviction looks into before it takes the best it has seen, and rows that one piece of a sweep forgets.
LOOKS: Final = 16
BUDGET: Final = 256
# How often a board is cut: once for so many requests at most.
BOARD: Final = 1024


# In `_named`, while a board is cut.
STAYS: Final = 2
# Users who came lately are found by their names, which saves a digest and two copies: 80 of 400 ns.
RECENT: Final = 4096
RECENT_MASK: Final = RECENT - 1
WORD: Final = (1 << 64) - 1


class LedgerFull(Exception):
    """Every row is held by a request that waits or is in flight."""


class Ledger:
    __slots__ = (
        "_board_floors", "_boards", "_capacity", "_counts", "_free", "_index", "_last_model", "_last_number",
        "_last_standing", "_model_free", "_model_names", "_models", "_named", "_names", "_recent",
        "_recent_names", "_seed", "_seeds", "_standings", "_strangers", "_tops", "_used", "evictions", "held", "pins",
        "ring", "unswept",
    )  # fmt: skip

    def __init__(
        self, window: float, rows: int = 100_000, *, seed: int | None = None, tops: int = 10, block: int = 4096
    ) -> None:
        if type(window) is not int and type(window) is not float:
            raise TypeError(f"window must be a float, not {type(window).__name__}")
        if not 60 <= window <= 3600:
            raise ValueError("window must be between 60 and 3600 seconds")
        self._capacity = _whole(rows, 1, MOST_ROWS, "rows")
        self._tops = _whole(tops, 0, BOARD // 2, "tops")
        size = _whole(block, 1, 1 << 16, "block")
        if size & (size - 1):
            raise ValueError("block must be a power of two")
        if seed is None:
            seed = int.from_bytes(os.urandom(8), "big") >> 2
        self._seed = _whole(seed, 0, MOST_SEED, "seed")
        blocks = (self._capacity + size - 1) // size
        self.ring = ring.Ring(int(window * NANOSECONDS), blocks, size.bit_length() - 1)
        self._index = index.Index(self.ring.words, blocks * size)
        self.pins = memory.reserve(blocks * size, "I")
        self._names = arrays.names(blocks * size)
        self._named = memory.reserve(blocks * size, "B")
        self._free = memory.reserve(blocks * size, "I")
        # Side by side, as they are used: the two words of the digest, row x 65,536 + model, and the hash of the name.
        self._recent = memory.small(4 * RECENT, "Q")
        self._recent_names: list[str | None] = [None] * RECENT
        self._strangers = 0
        self._used = 0
        self.held = 0
        self.evictions = 0
        # Blocks below this one have not been swept since the last turn.
        self.unswept = 0
        self._standings: dict[tuple[float, int], int] = {}
        self.standing(1.0, 0)
        self._models: dict[str, int] = {}
        # A heap gives the same string each time, which saves a look into the dictionary.
        self._last_model: str | None = None
        self._last_number = 0
        self._model_names: list[str] = []
        self._model_free: list[int] = []
        self._seeds = memory.reserve(MOST_MODELS, "Q")
        self._counts = memory.reserve(MOST_MODELS, "q")
        self._boards: list[list[int]] = []
        self._board_floors = memory.reserve(MOST_MODELS, "q")

    # -- time

    @property
    def width(self) -> float:
        """Seconds of one slot: at each multiple of it in Unix time there is something to `sweep`."""
        return self.ring.width / NANOSECONDS

    def at(self, now: Any) -> None:
        """Check a clock reading and take notice of a turn; only `sweep` and touching a row act on it."""
        if type(now) is not float:
            raise TypeError(f"now must be a float, not {type(now).__name__}")
        seconds: float = now
        # Asked this way round, a NaN is refused too.
        if not 0.0 <= seconds <= MOST_TIME:
            raise ValueError(f"now must be between 0 and {MOST_TIME}")
        if (seconds >= self.ring.due or seconds < self.ring.since) and self.ring.at(seconds):
            self.unswept = (self._used + (1 << self.ring.shift) - 1) >> self.ring.shift

    def sweep(self, now: Any, budget: Any = BUDGET) -> int:
        """One bounded piece of what a turn leaves to do: one block caught up, at most ``budget`` rows forgotten.

        Returns how many blocks are left to visit: 0 when there is nothing to do until the next turn.
        """
        most = _whole(budget, 1, MOST_ROWS, "budget")
        self.at(now)
        if self.unswept > 0:
            self.sweep_block(most)
        return self.unswept

    def sweep_block(self, budget: int) -> None:
        block = self.unswept - 1
        first = block << self.ring.shift
        if self.ring.tick - self.ring.ages[block] > LONG:
            # Enough for one piece: what is dead is for the next.
            self.ring.touch(first)
            return
        self.ring.touch(first)
        row = arrays.lightest(self.pins, self.ring.totals, first, 1 << self.ring.shift)
        least = MOST_TOTAL if row < 0 else self.ring.totals[row]
        if least == 0:
            dead = arrays.unserved(self.pins, self.ring.totals, first, 1 << self.ring.shift, budget)
            for row in dead:
                self._forget(row)
            if len(dead) == budget:
                return
        self.ring.floors[block] = least
        self.unswept = block
        if block == 0:
            # Totals have fallen, so a lighter row may be among the heaviest now.
            for number in range(len(self._boards)):
                self._board_floors[number] = 0

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
        if model is self._last_model:
            number = self._last_number
        else:
            known = self._models.get(model)
            number = self._new_model(model) if known is None else known
            self._last_model = model
            self._last_number = number
        name: str = user
        sum_of_name = hash(name) & WORD
        cell = sum_of_name & RECENT_MASK
        if self._recent[4 * cell + 3] == sum_of_name and self._recent_names[cell] == name:
            place = self._recent[4 * cell + 2]
            row = place >> 16
            if (
                place & 0xFFFF == number
                and self.ring.words[4 * row] == self._recent[4 * cell]
                and self.ring.words[4 * row + 1] == self._recent[4 * cell + 1]
                and self.pins[row] != 0
            ):
                self.pins[row] += 1
                self._name_row(row, user)
                return row
        try:
            # In C this is one call, which it is not without the name of the encoding.
            data = name.encode("utf-8")
        except UnicodeEncodeError:
            # A header may carry bytes that are no UTF-8, and every name is somebody.
            data = name.encode("utf-8", "surrogatepass")
        digest = xxh3_128_digest(data, self._seeds[number])
        row = self._index.find(digest)
        if row < 0:
            # Counted first: the row that is evicted for it may be the last of this model.
            self._counts[number] += 1
            try:
                row = self._new_row()
            except LedgerFull:
                self._discount(number)
                raise
            self._index.insert(row, digest)
            self.ring.begin(row, number)
            self.pins[row] = 1
            self.held += 1
        self.pins[row] += 1
        self._name_row(row, user)
        self._strangers += 1
        if self._strangers & 7 == 0:
            # One in eight: most of a crowd would only take the places of those who come again.
            self._recent_names[cell] = name
            self._recent[4 * cell] = self.ring.words[4 * row]
            self._recent[4 * cell + 1] = self.ring.words[4 * row + 1]
            self._recent[4 * cell + 2] = row << 16 | number
            self._recent[4 * cell + 3] = sum_of_name
        return row

    def _name_row(self, row: int, user: str) -> None:
        # Only where it has none: who has one has this one, and the object of his last request would be freed for that
        # of this one, in a place where no cache has it.
        if self._names[row] is None:
            self._names[row] = user

    def unpin(self, row: Any) -> None:
        """Let go of a row that `pin` gave; one that has used nothing is forgotten at once: inventing names is vain."""
        self.unpin_row(self._checked(row))

    def unpin_row(self, row: int) -> None:
        pins = self.pins[row] - 1
        if pins < 1:
            raise LookupError(f"row {row} is not held")
        self.pins[row] = pins
        if pins == 1:
            if self.ring.totals[row] == 0:
                self._forget(row)
            else:
                self._rest(row)

    def _rest(self, row: int) -> None:
        """A row is idle now: it may be evicted, and it keeps its name only if it is heavy."""
        total = self.ring.totals[row]
        block = row >> self.ring.shift
        self.ring.floors[block] = min(self.ring.floors[block], total)
        if self._named[row] == 0:
            number = self.ring.model_of(row)
            if total > self._board_floors[number]:
                board = self._boards[number]
                board.append(row)
                self._named[row] = 1
                if len(board) >= BOARD:
                    self._cut(number)
            else:
                self._names[row] = None

    def _cut(self, number: int) -> None:
        """Leave the heaviest on a board, and drop the names of the others that nobody holds."""
        board = self._boards[number]
        # And the next one, whose total is then the least that is too little. Of two that are equal the one with the
        # higher number stays.
        heavy = heapq.nlargest(self._tops + 1, [(self.ring.totals[row], row) for row in board])
        floor = heavy[self._tops][0]
        kept = [row for _, row in heavy[: self._tops]]
        for row in kept:
            self._named[row] = STAYS
        for row in board:
            if self._named[row] == STAYS:
                self._named[row] = 1
            else:
                self._named[row] = 0
                if self.pins[row] == 1:
                    self._names[row] = None
        self._boards[number] = kept
        self._board_floors[number] = floor

    def _new_model(self, model: str) -> int:
        if self._model_free:
            number = self._model_free.pop()
        else:
            number = len(self._model_names)
            if number == MOST_MODELS:
                raise LedgerFull("too many models")
            self._model_names.append("")
            self._boards.append([])
        self._models[model] = number
        self._model_names[number] = model
        # The model is folded into the seed, so no choice of user can look like another model's user.
        self._seeds[number] = xxh3_64_intdigest(model.encode("utf-8", "surrogatepass"), self._seed)
        return number

    def _new_row(self) -> int:
        if self.held >= self._capacity:
            self._evict()
        height = self._used - self.held
        if height > 0:
            return self._free[height - 1]
        self._used += 1
        return self._used - 1

    def _forget(self, row: int) -> None:
        number = self.ring.model_of(row)
        self._index.remove(row)
        if self._named[row] != 0:
            self._named[row] = 0
            self._boards[number].remove(row)
        self.pins[row] = 0
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
            self._last_model = None
            self._board_floors[number] = 0
            self._model_free.append(number)

    def _evict(self) -> None:
        """Forget the idle row with least service, looking into the most promising blocks."""
        blocks = (self._used + (1 << self.ring.shift) - 1) >> self.ring.shift
        found = -1
        least = MOST_TOTAL
        for look in range(blocks):
            if look >= LOOKS and found >= 0:
                break
            block = 0
            for other in range(1, blocks):
                if self.ring.floors[other] < self.ring.floors[block]:
                    block = other
            if self.ring.floors[block] >= least:
                break
            self.ring.touch(block << self.ring.shift)
            row = arrays.lightest(self.pins, self.ring.totals, block << self.ring.shift, 1 << self.ring.shift)
            self.ring.floors[block] = MOST_TOTAL if row < 0 else self.ring.totals[row]
            if self.ring.floors[block] < least:
                least = self.ring.floors[block]
                found = row
        if found < 0:
            raise LedgerFull(f"all {self._capacity} rows are waiting or in flight")
        self.ring.take(found, least)
        self._forget(found)
        self.evictions += 1

    # -- amounts

    def charge(self, row: Any, units: Any, now: Any) -> None:
        """Add ``units`` to what the user of ``row`` was served; if he waits, he moves at once."""
        self.at(now)
        self.ring.add(self._checked(row), _whole(units, 0, MOST_UNITS, "units"))

    def refund(self, row: Any, units: Any, now: Any) -> int:
        """Take ``units`` back, the newest first; returns how many of them the window still held."""
        self.at(now)
        return self.ring.subtract(self._checked(row), _whole(units, 0, MOST_UNITS, "units"))

    def standing(self, share: Any, rank: Any) -> int:
        """The number of a share and a class, for `Heap.enter`; the same two have the same number for ever."""
        if type(share) is not int and type(share) is not float:
            raise TypeError(f"share must be an int or a float, not {type(share).__name__}")
        if not 0.001 <= share <= 1_000_000:
            raise ValueError("share must be between 0.001 and 1000000")
        entry = (float(share), _whole(rank, 0, 1000, "rank"))
        number = self._standings.setdefault(entry, len(self._standings))
        if number == MOST_STANDINGS:
            del self._standings[entry]
            raise LedgerFull("too many different shares")
        self.ring.shares[number], self.ring.ranks[number] = entry
        self._last_standing = len(self._standings) - 1
        return number

    # -- reports

    def __len__(self) -> int:
        return self.held

    def service(self, row: Any, now: Any) -> int:
        """What the window holds of ``row``."""
        self.at(now)
        number = self._checked(row)
        self.ring.touch(number)
        return self.ring.totals[number]

    def counter(self, row: Any) -> int:
        return self.ring.counter_of(self._checked(row))

    def name(self, row: Any) -> str | None:
        """The name of the user, if the row is held or among the heaviest."""
        name: str | None = self._names[self._checked(row)]
        return name

    def share(self, row: Any) -> float:
        return self.ring.shares[self.ring.standing_of(self._checked(row))]

    def rank(self, row: Any) -> int:
        return self.ring.ranks[self.ring.standing_of(self._checked(row))]

    def in_flight(self, row: Any) -> int:
        """How many requests of this user were called and have not left."""
        number = self._checked(row)
        return self.pins[number] - 1 - self.ring.waiting_of(number)

    def find(self, model: str, user: str) -> int:
        """The row of this user of this model, or -1; holds nothing."""
        number = self._models.get(model)
        if number is None:
            return -1
        return self._index.find(xxh3_128_digest(user.encode("utf-8", "surrogatepass"), self._seeds[number]))

    def models(self) -> list[str]:
        """The models that have rows."""
        return sorted(self._models)

    def users(self, model: str) -> int:
        """How many rows this model has."""
        number = self._models.get(model)
        return 0 if number is None else self._counts[number]

    def heaviest(self, model: str, count: int) -> list[tuple[str, int]]:
        """The names and totals of the users with most service, among those whose names are held: O(rows)."""
        number = self._models.get(model, MOST_MODELS)
        rows = arrays.rows_of(self.pins, self.ring.halves, self._used, number)
        named = [(-self.ring.totals[row], self._names[row]) for row in rows if self._names[row] is not None]
        return [(name, -total) for total, name in sorted(named)[:count]]

    def jain(self, model: str) -> float:
        """Jain's index of service by share over the users with any, 1.0 if there is none: O(rows)."""
        number = self._models.get(model, MOST_MODELS)
        ring = self.ring
        return arrays.jain(self.pins, ring.halves, ring.totals, ring.shares, self._used, number)

    # -- the door, for the heap too

    def units(self, units: Any) -> int:
        return _whole(units, 0, MOST_UNITS, "units")

    def checked_count(self, count: Any) -> int:
        return _whole(count, 1, MOST_ROWS, "count")

    def checked_standing(self, standing: Any) -> int:
        return _whole(standing, 0, self._last_standing, "standing")

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
