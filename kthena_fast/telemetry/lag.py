"""`LoopLag`: how late the event loop runs its timers."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from kthena_fast.telemetry import metrics

if TYPE_CHECKING:
    from kthena_fast.telemetry.registry import Registry

INTERVAL = 0.25


class LoopLag:
    """One coarse timer: every `INTERVAL` seconds the difference between when it was due and when it ran is observed.

    A block shorter than the interval may fall between two samples; one that lasts is seen whole.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, registry: Registry, interval: float = INTERVAL) -> None:
        self._lag = registry.histogram(metrics.LOOP_LAG)
        self._loop = loop
        self._interval = interval
        self._due = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        if self._timer is None:
            self._schedule()

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _schedule(self) -> None:
        self._due = self._loop.time() + self._interval
        self._timer = self._loop.call_later(self._interval, self._on_timer)

    def _on_timer(self) -> None:
        # uvloop's timers count whole milliseconds, so one may run a little before it is due.
        self._lag.observe(max(0.0, self._loop.time() - self._due))
        self._schedule()
