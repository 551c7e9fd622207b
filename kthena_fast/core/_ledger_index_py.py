"""From a 16-byte digest to a row, in two flat arrays.

1. Open addressing with linear probing over a table twice the size of what it may hold, reserved once: there is no
   resize, so no call ever stalls (64 small dicts would cost 134 bytes a row, this costs 24).
2. A cell holds row + 1; 0 is an empty cell. A removal shifts what follows back, so there are no tombstones and the
   length of a probe depends on what is held now, not on the past.
3. The digests are keyed (see `ledger`), so no client can choose names that probe far.
"""

from kthena_fast.core import _ledger_memory as memory


class Index:
    __slots__ = ("_cells", "_digests", "_mask")

    def __init__(self, rows: int) -> None:
        size = 16
        while size < 2 * rows:
            size *= 2
        self._mask = size - 1
        self._cells = memory.reserve(size, "I")
        self._digests = memory.reserve(2 * rows, "Q")

    def find(self, low: int, high: int) -> int:
        """The row of this digest, or -1."""
        at = low & self._mask
        while True:
            cell = self._cells[at]
            if cell == 0:
                return -1
            if self._digests[2 * cell - 2] == low and self._digests[2 * cell - 1] == high:
                return cell - 1
            at = (at + 1) & self._mask

    def insert(self, row: int, low: int, high: int) -> None:
        """Give ``row`` a digest that is not held yet."""
        at = low & self._mask
        while self._cells[at] != 0:
            at = (at + 1) & self._mask
        self._cells[at] = row + 1
        self._digests[2 * row] = low
        self._digests[2 * row + 1] = high

    def remove(self, row: int) -> None:
        """Forget the digest of ``row``, which is held."""
        hole = self._digests[2 * row] & self._mask
        while self._cells[hole] != row + 1:
            hole = (hole + 1) & self._mask
        at = (hole + 1) & self._mask
        while self._cells[at] != 0:
            home = self._digests[2 * (self._cells[at] - 1)] & self._mask
            # What stands at `at` may move into the hole unless its home lies between the two.
            if ((at - home) & self._mask) >= ((at - hole) & self._mask):
                self._cells[hole] = self._cells[at]
                hole = at
            at = (at + 1) & self._mask
        self._cells[hole] = 0

    def holds(self, row: int, low: int, high: int) -> bool:
        """Does ``row`` still stand for this digest?"""
        return self.find(low, high) == row

    def low(self, row: int) -> int:
        return self._digests[2 * row]

    def high(self, row: int) -> int:
        return self._digests[2 * row + 1]
