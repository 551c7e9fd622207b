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
from collections import OrderedDict
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final, Protocol

from kthena_fast.core._choice import NO_EXTENSIONS

if TYPE_CHECKING or NO_EXTENSIONS:
    from kthena_fast.queueing._gates_py import Gate as Gate
    from kthena_fast.queueing._gates_py import ModelGate as ModelGate
    from kthena_fast.queueing._gates_py import ServerGate as ServerGate
else:
    try:
        from kthena_fast.queueing._gates_c import Gate as Gate
        from kthena_fast.queueing._gates_c import ModelGate as ModelGate
        from kthena_fast.queueing._gates_c import ServerGate as ServerGate
    except ModuleNotFoundError:
        from kthena_fast.queueing._gates_py import Gate as Gate
        from kthena_fast.queueing._gates_py import ModelGate as ModelGate
        from kthena_fast.queueing._gates_py import ServerGate as ServerGate

if TYPE_CHECKING:
    from kthena_fast.routing.snapshot import Pod, Server

FRESH_SECONDS: Final = 5.0
"""Older metrics say nothing about now."""


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

    __slots__ = ("_servers", "_start")

    def __init__(self, start: int) -> None:
        self._start = start
        self._servers: dict[str, _Learned] = {}

    def of(self, server: Server, now: float) -> tuple[int, float]:
        return self._of_server(server.key).sum(server, now)

    def of_pod(self, pod: Pod, now: float) -> int:
        known = self._servers.get(pod.server)
        return known.of(pod.key, now) if known is not None else self._start

    def on_scrape(self, pod: Pod, waiting: float, now: float) -> None:
        """Learn from the engine's number of waiting requests."""
        known = self._of_server(pod.server)
        limit = known.of(pod.key, now)
        if waiting > 0:
            limit = max(1, pod.in_flight - int(waiting))
        elif pod.in_flight >= limit:
            limit += max(1, limit // 8)
        known.learn(pod.key, limit, now)

    def forget(self, pods: Iterable[Pod]) -> None:
        """These have left."""
        for pod in pods:
            known = self._servers.get(pod.server)
            if known is not None and not known.forget(pod.key):
                del self._servers[pod.server]

    def _of_server(self, key: str) -> _Learned:
        known = self._servers.get(key)
        if known is None:
            known = self._servers[key] = _Learned(self._start)
        return known


class _Learned:
    """The limits of one server's pods. Their sum is kept: it is asked for after each scrape, and there may be a
    thousand pods, each scraped every second."""

    __slots__ = ("_by_pod", "_difference", "_of", "_pods", "_start")

    def __init__(self, start: int) -> None:
        self._start = start
        self._by_pod: OrderedDict[str, tuple[int, float]] = OrderedDict()
        """By pod key: limit, and when the engine was asked; who was asked longest ago comes first."""
        self._of: Server | None = None
        """Whose pods are summed."""
        self._pods: frozenset[str] = frozenset()
        self._difference = 0
        """How much more than what they start with all in `_by_pod` may have."""

    def of(self, pod: str, now: float) -> int:
        learned = self._by_pod.get(pod)
        return learned[0] if learned is not None and now - learned[1] <= FRESH_SECONDS else self._start

    def learn(self, pod: str, limit: int, now: float) -> None:
        self._forget(pod)
        self._by_pod[pod] = (limit, now)
        if pod in self._pods:
            self._difference += limit - self._start

    def sum(self, server: Server, now: float) -> tuple[int, float]:
        """For these pods, and until when that holds unless something is learned."""
        if server is not self._of:
            self._serve(server)
        until = math.inf
        while self._by_pod:
            pod, (_, asked) = next(iter(self._by_pod.items()))
            if now - asked <= FRESH_SECONDS:
                until = asked + FRESH_SECONDS
                break
            self._forget(pod)
        return self._start * len(server.pods) + self._difference, until

    def forget(self, pod: str) -> bool:
        """The pod has left; whether anything is known of others."""
        self._forget(pod)
        return bool(self._by_pod)

    def _forget(self, pod: str) -> None:
        learned = self._by_pod.pop(pod, None)
        if learned is not None and pod in self._pods:
            self._difference -= learned[0] - self._start

    def _serve(self, server: Server) -> None:
        """Sum for another set of pods; what was learned of those that are not in it says nothing."""
        self._of = server
        self._pods = frozenset(pod.key for pod in server.pods)
        self._difference = sum(limit - self._start for pod, (limit, _) in self._by_pod.items() if pod in self._pods)
