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
