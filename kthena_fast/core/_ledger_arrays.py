"""Steps over many rows at once, for the twins of the ledger.

``_ledger_arrays.pxd`` holds the same functions in C, and the compiled twins take those and never load this file: numpy
is 15 MB of memory, and a running gateway has no other use for it. The agreement tests of the ledger hold the two to the
same answers. Arrays are those that the ledger has made, and the rows named lie in them.
"""

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

MOST_TOTAL = 1 << 60


def names(count: int) -> "npt.NDArray[np.object_]":
    """So many places for a string, with None in each. No list: the garbage collector would walk it, a million names."""
    return np.full(count, None, dtype=object)


def empty(
    cells: "memoryview[int]", first_cell: int, slots: int, totals: "memoryview[int]", first: int, rows: int
) -> None:
    """Take from the totals of ``rows`` rows what ``slots`` slots of theirs hold, which lie one behind the other."""
    own = np.frombuffer(cells, np.uint32)[first_cell : first_cell + slots * rows].reshape(slots, rows)
    total = np.frombuffer(totals, np.int64)[first : first + rows]
    # All at once: 65 subtractions would hold the loop four times as long.
    np.subtract(total, own[0] if slots == 1 else own.sum(axis=0, dtype=np.int64), out=total)
    own.fill(0)


def seated(halves: "memoryview[int]", first: int, rows: int) -> list[int]:
    """Those of the rows that have a seat."""
    seats = np.frombuffer(halves, np.uint32)[8 * first + 6 : 8 * (first + rows) : 8]
    found: list[int] = (np.flatnonzero(seats) + first).tolist()
    return found


def lightest(pins: "memoryview[int]", totals: "memoryview[int]", first: int, rows: int) -> int:
    """The first of those idle rows that have the least total; -1: none is idle."""
    amounts = _idle_amounts(pins, totals, first, rows)
    at = int(amounts.argmin())
    return first + at if pins[first + at] == 1 else -1


def unserved(pins: "memoryview[int]", totals: "memoryview[int]", first: int, rows: int, most: int) -> list[int]:
    """The idle rows of which the window holds nothing, ``most`` at most."""
    amounts = _idle_amounts(pins, totals, first, rows)
    found: list[int] = (np.flatnonzero(amounts == 0)[:most] + first).tolist()
    return found


def _idle_amounts(pins: "memoryview[int]", totals: "memoryview[int]", first: int, rows: int) -> "npt.NDArray[np.int64]":
    """The totals, with MOST_TOTAL for rows that are free or held."""
    idle = np.frombuffer(pins, np.uint32)[first : first + rows] == 1
    return np.where(idle, np.frombuffer(totals, np.int64)[first : first + rows], MOST_TOTAL)


def rows_of(pins: "memoryview[int]", halves: "memoryview[int]", used: int, model: int) -> list[int]:
    """The rows up to ``used`` that this model has."""
    found: list[int] = _rows_of(pins, halves, used, model).tolist()
    return found


def _rows_of(pins: "memoryview[int]", halves: "memoryview[int]", used: int, model: int) -> Any:
    held = np.flatnonzero(np.frombuffer(pins, np.uint32)[:used])
    return held[np.frombuffer(halves, np.uint32)[8 * held + 7] >> 16 == model]


def jain(
    pins: "memoryview[int]",
    halves: "memoryview[int]",
    totals: "memoryview[int]",
    shares: "memoryview[float]",
    used: int,
    model: int,
) -> float:
    """Jain's index of the totals by share of this model's rows that have any; 1.0 where there are none."""
    rows = _rows_of(pins, halves, used, model)
    served = np.frombuffer(totals, np.int64)[rows].astype(np.float64)
    standings = np.frombuffer(halves, np.uint32)[8 * rows + 7] & 0xFFFF
    amounts = served / np.asarray(shares)[standings]
    amounts = amounts[amounts > 0]
    if len(amounts) == 0:
        return 1.0
    # One after the other, as in C: `sum` adds in another order, which shows in the last digit.
    total, squares = float(amounts.cumsum()[-1]), float(np.square(amounts).cumsum()[-1])
    return total * total / (len(amounts) * squares)
