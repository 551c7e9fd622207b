"""How many requests may go at once: the modes of DESIGN 3, each as a kind of gate that queues wait at.

1. `ServerGate` counts the permits of one ModelServer; a `Limit` says how many there may be. `Fixed`
   (FAIRNESS_MAX_CONCURRENT) is a number for every server. `Adaptive` (`auto`, the default) learns one per pod from what
   engines say is waiting: lowered to what the engine takes without a queue of its own, raised by an eighth while all
   that is allowed is used and nothing waits.
2. `ModelGate` (FAIRNESS_MAX_QPS) lets one request of a model go per interval, and never two for having idled.
3. A server without pods has no room, whatever its limit.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from kthena_fast.queueing.queue import Queue
    from kthena_fast.routing.snapshot import Pod, Server

FRESH_SECONDS: Final = 5.0
"""Older metrics say nothing about now."""

LATEST_TIMER: Final = 0.01
"""Seconds that a timer may be late without the turns after it being late too."""


class Gate(Protocol):
    """What queues wait at. Times are seconds of the loop's clock."""

    queues: list[Queue]
    """Those that may use it."""

    def has_room(self, now: float) -> bool: ...

    def take(self, now: float) -> None:
        """Let one request through; only while there is room."""

    def give_back(self) -> None:
        """A request that went through has ended."""

    def server(self) -> Server | None:
        """Where what goes through it is served; None: that is drawn from the snapshot."""


class Limit(Protocol):
    """How many requests a server may have at once."""

    def of(self, server: Server, now: float) -> tuple[int, float]:
        """So many, and until when that holds unless something is learned."""


class Fixed:
    """The same number for every ModelServer."""

    __slots__ = ("_most",)

    def __init__(self, most: int) -> None:
        self._most = most

    def of(self, server: Server, now: float) -> tuple[int, float]:
        return self._most, math.inf


class Adaptive:
    """The sum of what each pod may have; `on_scrape` teaches it.

    After each scrape: where requests wait in the engine, the limit becomes what is in flight less those that wait, at
    least 1; where none wait and the limit is used up, it grows by an eighth, at least by 1. Where there are no metrics,
    or only such as are older than FRESH_SECONDS, it is what it starts with.
    """

    __slots__ = ("_learned", "_start")

    def __init__(self, start: int) -> None:
        self._start = start
        self._learned: dict[str, tuple[int, float]] = {}
        """By pod key: limit, and when the engine was last asked."""

    def of(self, server: Server, now: float) -> tuple[int, float]:
        total = 0
        until = math.inf
        for pod in server.pods:
            total += self.of_pod(pod, now)
            learned = self._learned.get(pod.key)
            if learned is not None and now - learned[1] <= FRESH_SECONDS:
                until = min(until, learned[1] + FRESH_SECONDS)
        return total, until

    def of_pod(self, pod: Pod, now: float) -> int:
        learned = self._learned.get(pod.key)
        if learned is None or now - learned[1] > FRESH_SECONDS:
            return self._start
        return learned[0]

    def on_scrape(self, pod: Pod, waiting: float, now: float) -> None:
        """Learn from the engine's number of waiting requests."""
        limit = self.of_pod(pod, now)
        if waiting > 0:
            limit = max(1, pod.in_flight - int(waiting))
        elif pod.in_flight >= limit:
            limit += max(1, limit // 8)
        self._learned[pod.key] = (limit, now)

    def retain(self, keys: frozenset[str]) -> None:
        """Forget pods that are not among these."""
        for key in self._learned.keys() - keys:
            del self._learned[key]


class ServerGate:
    """The permits of one ModelServer."""

    __slots__ = ("_limit", "_most", "_server", "_until", "key", "out", "queues")

    def __init__(self, key: str, limit: Limit) -> None:
        self.key = key
        self.out = 0
        """Permits that requests hold."""
        self.queues: list[Queue] = []
        self._limit = limit
        self._server: Server | None = None
        # The limit is a sum over pods, and asked for twice a request: it is kept for as long as it holds.
        self._most = 0
        self._until = -math.inf

    def serve(self, server: Server | None) -> None:
        """Take the server as the snapshot in service has it; None: it is gone."""
        self._server = server
        self._until = -math.inf

    def relearn(self) -> None:
        """Something was learned of one of its pods."""
        self._until = -math.inf

    def limit(self, now: float) -> int:
        if now > self._until:
            server = self._server
            if server is None or not server.pods:
                self._most, self._until = 0, math.inf
            else:
                self._most, self._until = self._limit.of(server, now)
        return self._most

    def has_room(self, now: float) -> bool:
        # Every request asks, and the limit is nearly always known.
        return self.out < (self._most if now <= self._until else self.limit(now))

    def take(self, now: float) -> None:
        self.out += 1

    def give_back(self) -> None:
        self.out -= 1

    def server(self) -> Server | None:
        return self._server

    def __repr__(self) -> str:
        return f"<ServerGate {self.key}: {self.out} out>"


class ModelGate:
    """A turn of a model's queues per `interval` seconds."""

    __slots__ = ("interval", "is_awaited", "key", "out", "queues", "ready_at")

    def __init__(self, key: str, interval: float) -> None:
        self.key = key
        self.interval = interval
        self.ready_at = 0.0
        self.is_awaited = False
        """Whether somebody has waited since before `ready_at`, and a timer is set for it."""
        self.out = 0
        self.queues: list[Queue] = []

    def has_room(self, now: float) -> bool:
        return now >= self.ready_at

    def take(self, now: float) -> None:
        # From now on, not from when it was ready: idling earns nothing. A timer's lateness is made up for, though, or
        # a hundred turns a second would be ninety.
        since = max(self.ready_at, now - LATEST_TIMER) if self.is_awaited else now
        self.ready_at = since + self.interval
        self.out += 1

    def give_back(self) -> None:
        self.out -= 1

    def server(self) -> Server | None:
        return None

    def __repr__(self) -> str:
        return f"<ModelGate {self.key!r}: {self.out} out>"
