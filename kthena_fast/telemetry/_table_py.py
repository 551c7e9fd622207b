"""The source of both twins of `table`; see there for the contract.

A slot is `serial << 32 | cell`: where its first cell is, and which of the slots that lived there it is.
A value is one cell. A histogram with n bounds is n + 2: a count for each bucket (the last is beyond every bound), then
the sum of what was observed.
"""

from __future__ import annotations

from array import array
from itertools import pairwise

from kthena_fast.telemetry import _bounds as search

MAX_NUMBER = 1.7976931348623157e308
CELL_BITS = 32
CELL_MASK = 2**32 - 1


class Table:
    """Values and histograms in slots."""

    def __init__(self) -> None:
        # Typed views in C; arrays that are grown by replacing them, since an array that is viewed cannot grow in place.
        self._cells = array("d", bytes(8 * 64))
        # Of the slot that begins at a cell: its serial number (0: none begins here) and its shape.
        self._serials = array("q", bytes(8 * 64))
        self._shapes = array("q", bytes(8 * 64))
        self._capacity = 64
        self._used = 0
        self._serial = 0
        # Shape 0 is the plain value; the bounds of shape k are _bounds[_starts[k]:_starts[k + 1]].
        self._bounds = array("d", bytes(8))
        self._starts = array("q", [0, 0])
        self._shape_of: dict[tuple[float, ...], int] = {(): 0}
        # Of the slots that are not released: their cells, and of a histogram its bounds beside.
        self._values: dict[int, int] = {}
        self._histograms: dict[int, tuple[int, int, int]] = {}
        # Cells of released slots, by the number of cells: they are reused for slots of the same size only.
        self._free: dict[int, list[int]] = {}

    @property
    def cells(self) -> int:
        """Cells that were ever in use."""
        return self._used

    def value(self) -> int:
        """A new slot for a counter or a gauge, at 0."""
        return self._take(0, 1)

    def histogram(self, bounds: tuple[float, ...]) -> int:
        """A new slot for a histogram; `bounds` rise strictly, are finite and at least one."""
        shape = self._shape_of.get(bounds)
        if shape is None or shape == 0:
            shape = self._add_shape(bounds)
        return self._take(shape, len(bounds) + 2)

    def release(self, slot: int) -> None:
        """Give a slot back; once more does nothing."""
        cell = self._find(slot)
        if cell < 0:
            return
        shape = self._shapes[cell]
        size = 1 if shape == 0 else self._starts[shape + 1] - self._starts[shape] + 2
        self._serials[cell] = 0
        self._values.pop(slot, None)
        self._histograms.pop(slot, None)
        self._free.setdefault(size, []).append(cell)

    def add(self, slot: int, amount: float) -> None:
        """Add to a value."""
        # Adding 0.0 refuses in the pure twin what C refuses at the door: a str, an int beyond a double.
        number = amount + 0.0
        cell = self._values.get(slot)
        # What is not finite is not itself without itself.
        if cell is not None and number - number == 0.0:
            self._cells[cell] += number
        else:
            self._refuse(slot, number, is_value=True)

    def set(self, slot: int, amount: float) -> None:
        """Set a value."""
        number = amount + 0.0
        cell = self._values.get(slot)
        # What is not finite is not itself without itself.
        if cell is not None and number - number == 0.0:
            self._cells[cell] = number
        else:
            self._refuse(slot, number, is_value=True)

    def observe(self, slot: int, amount: float) -> None:
        """Count an observation in the first bucket whose bound is not below it."""
        number = amount + 0.0
        histogram = self._histograms.get(slot)
        if histogram is None or number - number != 0.0:
            self._refuse(slot, number, is_value=False)
            return
        cell, start, end = histogram
        place = search.first_not_below(self._bounds, number, start, end)
        self._cells[cell + place - start] += 1.0
        self._cells[cell + end - start + 1] += number

    def read(self, slot: int) -> float | None:
        """What a value stands at, or how often a histogram was observed."""
        cell = self._find(slot)
        if cell < 0:
            return None
        shape = self._shapes[cell]
        if shape == 0:
            return self._cells[cell]
        return sum(self._cells[cell : cell + self._starts[shape + 1] - self._starts[shape] + 1])

    def read_histogram(self, slot: int) -> list[float] | None:
        """The count of each bucket alone, the one beyond every bound last, then the sum of what was observed."""
        cell = self._find(slot)
        if cell < 0:
            return None
        shape = self._shapes[cell]
        if shape == 0:
            raise ValueError("a value has no buckets")
        return list(self._cells[cell : cell + self._starts[shape + 1] - self._starts[shape] + 2])

    def _refuse(self, slot: int, number: float, is_value: bool) -> None:
        """Say what is wrong with a slot, or a number for it; nothing is where the slot was released."""
        cell = self._find(slot)
        if not -MAX_NUMBER <= number <= MAX_NUMBER:
            raise ValueError("a metric's number is finite")
        if cell >= 0:
            raise ValueError("a histogram is observed" if is_value else "a value is added to or set")

    def _find(self, slot: int) -> int:
        """The first cell of a slot, or -1 when it was released."""
        try:
            number = slot
        except OverflowError:
            # Only C is here: what does not fit was never handed out, and the pure twin says so below.
            raise IndexError("no such slot") from None
        if number < 0:
            raise IndexError("no such slot")
        cell = number & CELL_MASK
        serial = number >> CELL_BITS
        if cell >= self._used or serial == 0 or serial > self._serial:
            raise IndexError("no such slot")
        return cell if self._serials[cell] == serial else -1

    def _take(self, shape: int, size: int) -> int:
        free = self._free.get(size)
        if free:
            cell = free.pop()
        else:
            if self._used + size > self._capacity:
                self._grow(self._used + size)
            cell = self._used
            self._used += size
        for offset in range(size):
            self._cells[cell + offset] = 0.0
        self._serial += 1
        self._serials[cell] = self._serial
        self._shapes[cell] = shape
        slot = self._serial << CELL_BITS | cell
        if shape == 0:
            self._values[slot] = cell
        else:
            self._histograms[slot] = (cell, self._starts[shape], self._starts[shape + 1])
        return slot

    def _grow(self, needed: int) -> None:
        capacity = max(2 * self._capacity, needed)
        more = bytes(8 * (capacity - self._capacity))
        cells = array("d", bytes(self._cells))
        cells.frombytes(more)
        serials = array("q", bytes(self._serials))
        serials.frombytes(more)
        shapes = array("q", bytes(self._shapes))
        shapes.frombytes(more)
        self._cells, self._serials, self._shapes = cells, serials, shapes
        self._capacity = capacity

    def _add_shape(self, bounds: tuple[float, ...]) -> int:
        if not bounds:
            raise ValueError("a histogram has bounds")
        if not all(-MAX_NUMBER <= bound <= MAX_NUMBER for bound in bounds):
            raise ValueError("a bound is finite")
        if any(low >= high for low, high in pairwise(bounds)):
            raise ValueError("bounds rise")
        shape = len(self._shape_of)
        start = self._starts[shape]
        kept = array("d", self._bounds[:start])
        kept.extend(bounds)
        self._bounds = kept
        starts = array("q", self._starts)
        starts.append(start + len(bounds))
        self._starts = starts
        self._shape_of[bounds] = shape
        return shape
