"""The running loop with a clock that only the test moves."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import Callable
from typing import Any


class Timer:
    def __init__(self, callback: Callable[[], object]) -> None:
        self.callback: Callable[[], object] | None = callback

    def cancel(self) -> None:
        self.callback = None


class Clock:
    """Has the part of a loop's interface that tells the time; the rest is the running loop's."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.failures: list[Any] = []
        self._loop = asyncio.get_running_loop()
        self._timers: list[tuple[float, int, Timer]] = []
        self._order = itertools.count()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loop, name)

    @property
    def timers(self) -> int:
        """How many the loop holds at this moment."""
        return sum(timer.callback is not None for _, _, timer in self._timers)

    def time(self) -> float:
        return self.now

    def call_later(self, delay: float, callback: Callable[[], object]) -> Timer:
        return self.call_at(self.now + delay, callback)

    def call_at(self, when: float, callback: Callable[[], object]) -> Timer:
        timer = Timer(callback)
        heapq.heappush(self._timers, (when, next(self._order), timer))
        return timer

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        self.failures.append(context["exception"])

    def advance(self, seconds: float) -> None:
        end = self.now + seconds
        while self._timers and self._timers[0][0] <= end:
            when, _, timer = heapq.heappop(self._timers)
            self.now = max(self.now, when)
            callback, timer.callback = timer.callback, None
            if callback is not None:
                callback()
        self.now = end
