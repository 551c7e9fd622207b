"""`Table`: the values of all metrics, in slots of one array.

A slot is an integer that is asked for once (`value`, `histogram`), kept by whoever moves it, and written to without a
look-up: `add` and `set` in constant time, `observe` in the logarithm of the buckets.

1. `release` gives a slot back. What is written to it afterwards is swallowed, also once another slot took its place,
   so a request in flight needs not know that its route is gone. What is read from it is None.
2. A number that is not finite raises ValueError: one NaN would stay in a sum for ever.
3. `observe` on a value, `add` or `set` on a histogram raise ValueError; a slot that was never handed out, IndexError.
4. One thread writes. Another may `read` meanwhile: arrays only grow, by being replaced, and a compiled call runs whole;
   a pure one may see a histogram between a count and its sum.
"""

from typing import TYPE_CHECKING

from kthena_fast.core._choice import NO_EXTENSIONS

__all__ = ["Table"]

if TYPE_CHECKING or NO_EXTENSIONS:
    from kthena_fast.telemetry._table_py import Table
else:
    try:
        from kthena_fast.telemetry._table_c import Table
    except ModuleNotFoundError:
        from kthena_fast.telemetry._table_py import Table
