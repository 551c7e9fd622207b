"""`Queue`: who waits for one model name and one list of targets, and how fast they are called."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from kthena_fast.core.heap import Heap
    from kthena_fast.queueing.estimates import Ratios
    from kthena_fast.queueing.gates import Gate
    from kthena_fast.queueing.report import Meter
    from kthena_fast.routing.snapshot import Match

PACE_OF_NEWEST: Final = 0.1
"""Weight of the newest interval between two turns in the mean that Retry-After is made of."""

LONGEST_RETRY: Final = 3600


class Queue:
    """Made by `Turns`; times are seconds of the loop's clock."""

    __slots__ = ("called_at", "gates", "heap", "interval", "match", "meter", "model", "own_gate", "ratios")

    def __init__(self, match: Match, heap: Heap, ratios: Ratios, meter: Meter) -> None:
        self.match = match
        """Of its first request; all others have the same model and targets."""
        self.model = match.model
        self.heap = heap
        self.ratios = ratios
        """Of its model: shared by the model's queues."""
        self.meter = meter
        self.gates: list[tuple[int, Gate]] = []
        """What its requests may go through, each with its weight."""
        self.interval = 0.0
        """Mean seconds between two turns while requests waited."""
        self.own_gate: Gate | None = None
        """Its gate, if it has one only and shares it with no other queue."""
        self.called_at = 0.0
        """When it was last somebody's turn."""

    def on_call(self, since: float, now: float, *, waited: bool) -> None:
        """A request that had come at `since` was called."""
        if waited:
            # Before it came nobody need have waited, so that time says nothing of how fast turns follow each other.
            newest = now - max(self.called_at, since)
            self.interval = newest if not self.interval else self.interval + PACE_OF_NEWEST * (newest - self.interval)
        self.called_at = now

    def retry_after(self) -> int:
        """Whole seconds until a newcomer would have his turn, estimated."""
        return min(max(1, math.ceil((len(self.heap) + 1) * self.interval)), LONGEST_RETRY)

    def __repr__(self) -> str:
        return f"<Queue {self.model!r}: {len(self.heap)} wait>"
