"""How long what fails is left alone: longer each time, up to a bound, and never all clients in step."""

from __future__ import annotations

import random
from collections.abc import Callable


class Backoff:
    """`first` seconds, then twice as long each time, up to `most`; of that what is drawn, half of it at least.

    `draw` gives a number from 0 to 1, anew each time.
    """

    __slots__ = ("_draw", "_first", "_most", "failed")

    def __init__(self, first: float, most: float, draw: Callable[[], float] = random.random) -> None:
        self._first = first
        self._most = most
        self._draw = draw
        self.failed = 0
        """How often in a row."""

    def fail(self) -> float:
        """It failed once more: the seconds until the next try."""
        # The power would not fit into a float one day.
        whole = min(self._most, self._first * 2.0 ** min(self.failed, 64))
        self.failed += 1
        return whole * (0.5 + 0.5 * self._draw())

    def succeed(self) -> None:
        """What follows is the first failure."""
        self.failed = 0
