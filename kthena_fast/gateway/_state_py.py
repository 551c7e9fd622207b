"""The source of both twins; `state` is the contract."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Protocol

from kthena_fast.exchange.downstream import LEAVING

if TYPE_CHECKING:
    from kthena_fast.routing.snapshot import Snapshot


class Cancellable(Protocol):
    """What serves a request (`journey.Passage`)."""

    def cancel(self, reason: str = "") -> None: ...


class State:
    """Read by every request, written by the source and by the life of the process."""

    __slots__ = ("_idle", "_is_awaited", "_synced", "detail", "draining", "notice", "serving", "snapshot")

    def __init__(self) -> None:
        # Not with the module: what only shows its version loads the twins and no types.
        from kthena_fast.routing import build

        self.snapshot: Snapshot = build.EMPTY
        """Empty until the first one is published."""
        self.detail = "no objects have been read yet"
        """Why the gateway is not ready; empty when it is."""
        self.notice = ""
        """What is the matter while it is ready, such as that what it knows may be old; empty: nothing."""
        self.draining = False
        self.serving: dict[Any, Cancellable] = {}
        """Requests that were accepted and are not settled, with what ends each: by their records, or what stands for
        one."""
        self._idle = asyncio.Event()
        self._is_awaited = False
        """Whether somebody waits for that: to say so costs more than to look."""
        self._synced = asyncio.Event()

    @property
    def synced(self) -> bool:
        return not self.detail

    def is_draining(self) -> bool:
        return self.draining

    def publish(self, snapshot: Snapshot) -> None:
        """Put a snapshot in service; requests that have matched on the one before keep it."""
        self.snapshot = snapshot
        self.detail = ""
        self._synced.set()

    async def until_synced(self) -> None:
        """Return when the first snapshot is in service."""
        await self._synced.wait()

    def begin(self, exchange: object, passage: Cancellable) -> None:
        self.serving[exchange] = passage

    def settle(self, exchange: object) -> None:
        self.serving.pop(exchange, None)
        if self._is_awaited and not self.serving:
            self._is_awaited = False
            self._idle.set()

    async def idle(self) -> None:
        """Return when no accepted request is left."""
        while self.serving:
            self._idle.clear()
            self._is_awaited = True
            await self._idle.wait()

    def abort_all(self) -> None:
        """End every request that is left: waiters answer 503, streams are aborted."""
        for passage in list(self.serving.values()):
            passage.cancel(LEAVING)
