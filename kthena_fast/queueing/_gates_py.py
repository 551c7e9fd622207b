"""The source of both twins of the gates; see `gates` for the contract."""

from __future__ import annotations

import math
from importlib import import_module
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from kthena_fast.core import _heap_py as heaps
    from kthena_fast.queueing.gates import Limit
    from kthena_fast.queueing.queue import Queue
    from kthena_fast.routing.snapshot import Server
else:
    # A twin works with twins of its own kind, whatever the chooser chose.
    heaps = import_module(__name__.replace("queueing._gates", "core._heap"))

LATEST_TIMER: Final = 0.01
"""Seconds that a timer may be late without the turns after it being late too."""

NEVER: Final = -math.inf
ALWAYS: Final = math.inf


class Gate:
    """What queues wait at. Times are seconds of the loop's clock."""

    __slots__ = ("key", "out", "queues", "rivals")

    def __init__(self, key: str) -> None:
        self.key = key
        self.out = 0
        """Permits that requests hold."""
        self.queues: set[Queue] = set()
        """Those that may use it."""
        self.rivals = heaps.Rivals()
        """The heaps of those in which somebody waits."""

    def has_room(self, now: float) -> bool:
        raise NotImplementedError

    def take(self, now: float) -> None:
        """Let one request through; only while there is room."""
        self.out += 1

    def give_back(self) -> None:
        """A request that went through has ended."""
        self.out -= 1

    def server(self) -> Server | None:
        """Where what goes through it is served; None: that is drawn from the snapshot."""
        return None


class ServerGate(Gate):
    """The permits of one ModelServer."""

    __slots__ = ("_limit", "_most", "_server", "_until")

    def __init__(self, key: str, limit: Limit) -> None:
        Gate.__init__(self, key)
        self._limit = limit
        self._server: Server | None = None
        # The limit is a sum over pods, and asked for by every request: it is kept for as long as it holds.
        self._most = 0
        self._until = NEVER

    def serve(self, server: Server | None) -> None:
        """Take the server as the snapshot in service has it; None: it is gone."""
        self._server = server
        self._until = NEVER

    def relearn(self) -> None:
        """Something was learned of one of its pods."""
        self._until = NEVER

    def limit(self, now: float) -> int:
        if now > self._until:
            server = self._server
            if server is None or not server.pods:
                self._most, self._until = 0, ALWAYS
            else:
                self._most, self._until = self._limit.of(server, now)
        return self._most

    def has_room(self, now: float) -> bool:
        # The limit is nearly always known.
        return self.out < (self._most if now <= self._until else self.limit(now))

    def server(self) -> Server | None:
        return self._server

    def __repr__(self) -> str:
        return f"<ServerGate {self.key}: {self.out} out>"


class ModelGate(Gate):
    """A turn of a model's queues per `interval` seconds."""

    __slots__ = ("interval", "is_awaited", "ready_at")

    def __init__(self, key: str, interval: float) -> None:
        Gate.__init__(self, key)
        self.interval = interval
        self.ready_at = 0.0
        self.is_awaited = False
        """Whether somebody has waited since before `ready_at`, and a timer is set for it."""

    def has_room(self, now: float) -> bool:
        return now >= self.ready_at

    def take(self, now: float) -> None:
        # From now on, not from when it was ready: idling earns nothing. A timer's lateness is made up for, though, or
        # a hundred turns a second would be ninety.
        since = max(self.ready_at, now - LATEST_TIMER) if self.is_awaited else now
        self.ready_at = since + self.interval
        self.out += 1

    def __repr__(self) -> str:
        return f"<ModelGate {self.key!r}: {self.out} out>"
