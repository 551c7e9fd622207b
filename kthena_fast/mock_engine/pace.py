"""When each token of an answer comes."""

import asyncio
from collections.abc import Callable

from .controls import Controls


class Gate:
    """Holds answers back until it is opened; those that come later are held again."""

    __slots__ = ("_note", "_opened", "held")

    def __init__(self, note: Callable[[], None]) -> None:
        self._note = note
        """Called when one more is held."""
        self.held = 0
        self._opened: asyncio.Future[None] | None = None

    def open(self) -> None:
        if self._opened is not None:
            self._opened.set_result(None)
            self._opened = None

    async def wait(self) -> None:
        if self._opened is None:
            self._opened = asyncio.get_running_loop().create_future()
        self.held += 1
        self._note()
        try:
            # Shielded: many wait for the same opening.
            await asyncio.shield(self._opened)
        finally:
            self.held -= 1


class Pace:
    """Due times are counted from the turn, so that a late timer delays one token and not all that follow."""

    __slots__ = ("_delay", "_gate", "_hold_after", "_interval", "_loop", "_turn_at")

    def __init__(self, control: Controls, gate: Gate) -> None:
        self._loop = asyncio.get_running_loop()
        self._turn_at = self._loop.time()
        self._delay = control.first_token_delay
        self._interval = control.token_interval
        self._hold_after = control.hold_after
        self._gate = gate

    async def token(self, index: int) -> None:
        """Returns when token `index` is due, from 0; one timer, and none when it is due already."""
        if index == self._hold_after:
            await self._gate.wait()
        await self._sleep_until(self._turn_at + self._delay + index * self._interval)

    async def last_of(self, tokens: int) -> None:
        """Returns when so many tokens are there, for an answer that is not streamed."""
        if self._hold_after is not None:
            await self._gate.wait()
        await self._sleep_until(self._turn_at + self._delay + max(0, tokens - 1) * self._interval)

    async def _sleep_until(self, due: float) -> None:
        wait = due - self._loop.time()
        if wait > 0:
            await asyncio.sleep(wait)
