"""Steps over the buckets of histograms for `values`; ``_buckets.pxd`` holds the same in C, for the compiled twin.

``zeros(like, size)`` makes so many counts, and ``places(counts)`` is where they are as long as they are held: in C one
of them is reached without a look at the array, which is another line of memory.
``first_not_below(bounds, number)`` is the first place of a bound that is not below a number; if none is, their count.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left as first_not_below

__all__ = ["first_not_below", "places", "zeros"]


def zeros(like: array[float], size: int) -> array[float]:
    return array(like.typecode, bytes(like.itemsize * size))


def places(counts: array[float]) -> array[float]:
    return counts
