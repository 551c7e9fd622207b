"""`Sweeper`: has the ledger forget what left the window, a piece in each loop iteration."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import asyncio

    from kthena_fast.core.ledger import Ledger

LATE: Final = 0.005
"""Seconds after a turn of the ring: uvloop's timers may be a millisecond early, and before it there is no work."""


class Sweeper:
    """Sweeps at every turn of the ledger's ring; tells `on_turned` when all of it is done."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        wall: Callable[[], float],
        ledger: Ledger,
        on_turned: Callable[[], object],
    ) -> None:
        """`wall` is Unix time in seconds."""
        self._loop = loop
        self._wall = wall
        self._ledger = ledger
        self._on_turned = on_turned
        self._handle: asyncio.TimerHandle | asyncio.Handle | None = None

    def start(self) -> None:
        width = self._ledger.width
        self._handle = self._loop.call_later(width - self._wall() % width + LATE, self._sweep)

    def stop(self) -> None:
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def _sweep(self) -> None:
        if self._ledger.sweep(self._wall()):
            self._handle = self._loop.call_soon(self._sweep)
        else:
            self._on_turned()
            self.start()
