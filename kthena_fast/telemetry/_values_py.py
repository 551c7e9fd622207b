"""The source of both twins of `values`; see there for the contract."""

from __future__ import annotations

from array import array
from itertools import pairwise

from kthena_fast.telemetry import _buckets as buckets

MAX_NUMBER = 1.7976931348623157e308


class Value:
    """A counter or a gauge, at 0 in the beginning."""

    __slots__ = ("number",)

    def __init__(self) -> None:
        self.number = 0.0

    def add(self, amount: float) -> None:
        # Adding 0.0 refuses in the pure twin what C refuses at the door: a str, an int beyond a double.
        number = amount + 0.0
        # What is not finite is not itself without itself.
        if number - number != 0.0:
            raise ValueError("a metric's number is finite")
        self.number += number

    def set(self, amount: float) -> None:
        number = amount + 0.0
        if number - number != 0.0:
            raise ValueError("a metric's number is finite")
        self.number = number


class Histogram:
    """Observations, counted by buckets."""

    __slots__ = ("_at", "_bounds", "_counts", "sum")

    def __init__(self, bounds: array[float]) -> None:
        """`bounds` are from `bounds_of`; the histograms of a metric share them."""
        self._bounds = bounds
        self._counts = buckets.zeros(bounds, len(bounds) + 1)
        self._at = buckets.places(self._counts)
        self.sum = 0.0
        """Of what was observed."""

    def observe(self, amount: float) -> None:
        """Count an observation in the first bucket whose bound is not below it."""
        number = amount + 0.0
        if number - number != 0.0:
            raise ValueError("a metric's number is finite")
        self._at[buckets.first_not_below(self._bounds, number)] += 1.0
        self.sum += number

    @property
    def counts(self) -> list[float]:
        """Of each bucket alone, the one beyond every bound last."""
        return list(self._counts)


def bounds_of(bounds: tuple[float, ...]) -> array[float]:
    """Bounds that rise strictly, are finite and at least one; else ValueError."""
    if not bounds:
        raise ValueError("a histogram has bounds")
    if not all(-MAX_NUMBER <= bound <= MAX_NUMBER for bound in bounds):
        raise ValueError("a bound is finite")
    if any(low >= high for low, high in pairwise(bounds)):
        raise ValueError("bounds rise")
    return array("d", bounds)
