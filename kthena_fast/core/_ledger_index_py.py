# cython: wraparound=False, initializedcheck=False, boundscheck=False, binding=False
# Without boundscheck, 3 % of a request: rows come from the ledger and the heap, which check them at the door, and the
# pure twin raises if not (test_the_twins_agree_over_long_histories).
"""From a 16-byte digest to a row, by open addressing over the rows themselves.

1. Linear probing in a table at least twice the size of what it may hold, reserved once: there is no resize, so no
   call ever stalls (64 small dicts would cost 134 bytes a row, this costs 8 and the digest).
2. A cell holds row + 1; 0 is an empty cell. A removal shifts what follows back, so there are no tombstones and the
   length of a probe depends on what is held now, not on the past.
3. The digests are keyed (see `ledger`), so no client can choose names that probe far.
"""

from kthena_fast.core import _ledger_memory as memory


class Index:
    __slots__ = ("_cells", "_mask", "_words")

    def __init__(self, words: "memoryview[int]", rows: int) -> None:
        # The records of `_ledger_ring`: the first two words of a record are the digest.
        self._words = words
        size = 16
        while size < 2 * rows:
            size *= 2
        self._mask = size - 1
        self._cells = memory.reserve(size, "I")

    def find(self, digest: bytes) -> int:
        """The row of this digest, or -1."""
        low = _word(digest, 0)
        at = low & self._mask
        while True:
            row = self._cells[at]
            if row == 0:
                return -1
            row -= 1
            if self._words[4 * row] == low and self._words[4 * row + 1] == _word(digest, 8):
                return row
            at = (at + 1) & self._mask

    def insert(self, row: int, digest: bytes) -> None:
        """Give ``row`` a digest that is not held yet."""
        low = _word(digest, 0)
        at = low & self._mask
        while self._cells[at] != 0:
            at = (at + 1) & self._mask
        self._cells[at] = row + 1
        self._words[4 * row] = low
        self._words[4 * row + 1] = _word(digest, 8)

    def remove(self, row: int) -> None:
        """Forget the digest of ``row``, which is held."""
        hole = self._words[4 * row] & self._mask
        while self._cells[hole] != row + 1:
            hole = (hole + 1) & self._mask
        at = (hole + 1) & self._mask
        while self._cells[at] != 0:
            other = self._cells[at] - 1
            home = self._words[4 * other] & self._mask
            # What stands at `at` may move into the hole unless its home lies between the two.
            if ((at - home) & self._mask) >= ((at - hole) & self._mask):
                self._cells[hole] = other + 1
                hole = at
            at = (at + 1) & self._mask
        self._cells[hole] = 0


def _word(digest: bytes, at: int) -> int:
    # In C this is eight loads; int.from_bytes would be a call and two objects.
    data = digest
    word = 0
    for offset in range(8):
        word = word << 8 | data[at + offset]
    return word
