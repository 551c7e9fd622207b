"""The source of both twins of `queue`; see there for the contract."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from kthena_fast.telemetry import metrics

if TYPE_CHECKING:
    from kthena_fast.core import _heap_py as heaps
    from kthena_fast.queueing import _estimates_py as estimates
    from kthena_fast.queueing import _gates_py as gates
    from kthena_fast.queueing import _turns_py as turns_room
    from kthena_fast.routing.snapshot import Match
    from kthena_fast.telemetry.registry import Registry

PACE_OF_NEWEST: Final = 0.1
"""Weight of the newest interval between two turns in the mean that Retry-After is made of."""

LONGEST_RETRY: Final = 3600


class Queue:
    """Made by `Turns`; times are seconds of the loop's clock."""

    __slots__ = ("called_at", "gate", "gates", "heap", "interval", "match", "meter", "model", "owner", "ratios")

    def __init__(
        self, owner: turns_room.Turns, match: Match, heap: heaps.Heap, ratios: estimates.Ratios, meter: Meter
    ) -> None:
        self.owner: turns_room.Turns | None = owner
        """Whose turns are waited for here; None: its routes are gone."""
        self.match = match
        """Of its first request; all others have the same model and targets."""
        self.model = match.model
        self.heap = heap
        self.ratios = ratios
        """Of its model: shared by the model's queues."""
        self.meter = meter
        self.gates: list[tuple[int, gates.Gate]] = []
        """What its requests may go through, each with its weight."""
        self.gate: gates.Gate | None = None
        """The only one of them; None: they are several or none."""
        self.interval = 0.0
        """Mean seconds between two turns while requests waited."""
        self.called_at = 0.0
        """When it was last somebody's turn."""

    def on_call(self, since: float, now: float) -> None:
        """A request that had waited since `since` was called."""
        # Before it came nobody need have waited, so that time says nothing of how fast turns follow each other.
        newest = now - max(self.called_at, since)
        self.interval = newest if not self.interval else self.interval + PACE_OF_NEWEST * (newest - self.interval)

    def retry_after(self) -> int:
        """Whole seconds until a newcomer would have his turn, estimated."""
        return min(max(1, math.ceil((len(self.heap) + 1) * self.interval)), LONGEST_RETRY)

    def __repr__(self) -> str:
        return f"<Queue {self.model!r}: {len(self.heap)} wait>"


class Meter:
    """The metrics of one model's queues, with their children at hand."""

    __slots__ = (
        "_cancelled",
        "_dequeued",
        "_duration",
        "_full",
        "_inflight",
        "_rebuilds",
        "_rebuilds_seen",
        "_rekeys",
        "_rekeys_seen",
        "_size",
        "_timeouts",
        "_user_full",
    )

    def __init__(self, registry: Registry, model: str, rebuilds: int) -> None:
        """`rebuilds`: how often the window had moved on before there was a queue."""
        everybody = metrics.EVERYBODY
        self._size = registry.value(metrics.FAIRNESS_QUEUE_SIZE, model, everybody)
        self._duration = registry.histogram(metrics.FAIRNESS_QUEUE_DURATION, model, everybody)
        self._cancelled = registry.value(metrics.FAIRNESS_QUEUE_CANCELLED, model, everybody)
        self._dequeued = registry.value(metrics.FAIRNESS_QUEUE_DEQUEUE, model, everybody)
        self._inflight = registry.value(metrics.FAIRNESS_QUEUE_INFLIGHT, model)
        self._rebuilds = registry.value(metrics.FAIRNESS_QUEUE_HEAP_REBUILD, model)
        self._rebuilds_seen = rebuilds
        self._rekeys = registry.value(metrics.FAIRNESS_QUEUE_PRIORITY_REFRESH, model)
        self._rekeys_seen = 0
        self._timeouts = registry.value(metrics.FAIRNESS_QUEUE_TIMEOUTS, model)
        self._full = registry.value(metrics.FAIRNESS_REJECTED, model, "queue_full")
        self._user_full = registry.value(metrics.FAIRNESS_REJECTED, model, "user_queue_full")

    def entered(self) -> None:
        """A request has to wait."""
        self._size.number += 1.0

    def left(self) -> None:
        """A request that had to wait waits no more."""
        self._size.number -= 1.0

    def called(self, waited: float) -> None:
        """A request got its turn, having waited so many seconds (0: it did not have to)."""
        self._dequeued.number += 1.0
        self._inflight.number += 1.0
        self._duration.observe(waited)

    def ended(self) -> None:
        """A request that had its turn is over."""
        self._inflight.number -= 1.0

    def cancelled(self, waited: float) -> None:
        """A request that had to wait leaves without a turn, for whatever reason."""
        self._cancelled.number += 1.0
        self._duration.observe(waited)

    def timed_out(self) -> None:
        """One of those that leave had waited for as long as it may."""
        self._timeouts.number += 1.0

    def rejected(self, reason: str) -> None:
        (self._user_full if reason == "user_queue_full" else self._full).add(1.0)

    def rebuilt(self, total: int) -> None:
        """How often the window has moved on so far, which put the queue in order anew."""
        self._rebuilds.add(total - self._rebuilds_seen)
        self._rebuilds_seen = total

    def rekeyed(self, total: int) -> None:
        """What one of the model's heaps has counted so far; the meter is that heap's own."""
        self._rekeys.add(total - self._rekeys_seen)
        self._rekeys_seen = total
