"""`Value` and `Histogram`: what a child of a metric is, a counter or gauge or the buckets of observations.

Whoever moves a child keeps it, so that moving it needs no look-up: `Value.add` and `Value.set` in constant time,
`Histogram.observe` in the logarithm of its buckets. Each is one small object: with thousands of models, what a request
touches of each metric is a line or two of memory that nobody else uses.

1. A child that its metric has forgotten is still moved by who holds it, and nobody sees it: a request in flight needs
   not know that its route is gone.
2. A number that is not finite raises ValueError: one NaN would stay in a sum for ever. `Value.number` may be moved
   without that by who adds what is surely finite, such as 1.
3. One thread writes. Another may read meanwhile, and may see a histogram between a count and its sum.
"""

from typing import TYPE_CHECKING

from kthena_fast.core._choice import NO_EXTENSIONS

__all__ = ["Histogram", "Value", "bounds_of"]

if TYPE_CHECKING or NO_EXTENSIONS:
    from kthena_fast.telemetry._values_py import Histogram, Value, bounds_of
else:
    try:
        from kthena_fast.telemetry._values_c import Histogram, Value, bounds_of
    except ModuleNotFoundError:
        from kthena_fast.telemetry._values_py import Histogram, Value, bounds_of
