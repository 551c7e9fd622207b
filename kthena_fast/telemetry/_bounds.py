"""A search in the bounds of histograms for `table`; ``_bounds.pxd`` holds the same in C, for the compiled twin.

``first_not_below(bounds, number, low, high)`` is the first place from ``low`` on, and before ``high``, of a bound that
is not below a number; ``high``: there is none.
"""

from bisect import bisect_left as first_not_below

__all__ = ["first_not_below"]
