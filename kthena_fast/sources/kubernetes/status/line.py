"""Objects whose status is to be written: which is next, and which has been written often enough for now.

1. What has to be written of an object that was read is kept with its place; of the others only the place is.
2. Of one generation an object is written `BURST` times, and then once in `EVERY` seconds: a pod that is ready every
   other second would otherwise have its ModelServer written as often, and so would an object that somebody else
   keeps writing to. A new generation is written at once, for somebody waits for it.
"""

from __future__ import annotations

import heapq
from collections.abc import Hashable

from kthena_fast.kube.bucket import Bucket
from kthena_fast.routing.findings import Identity
from kthena_fast.sources.kubernetes.status.update import Prepared

EVERY = 60.0
BURST = 5


class Line:
    """The one that waits longest first. `now` is of a clock that never goes back."""

    def __init__(self) -> None:
        self._places: dict[Identity, Prepared | None] = {}
        self._held: list[tuple[float, Identity]] = []
        """A heap by the time at which each has its place again."""
        self._is_held: set[Identity] = set()

    def __len__(self) -> int:
        return len(self._places) + len(self._held)

    @property
    def waiting(self) -> int:
        """Those that have a place now."""
        return len(self._places)

    def add(self, identity: Identity, change: Prepared | None = None) -> None:
        """It is to be written or, where it is not said what, looked at; it keeps the place that it has."""
        self._places[identity] = change

    def remove(self, identity: Identity) -> Prepared | None:
        """It has no place any more; what was to be written."""
        return self._places.pop(identity, None)

    def hold(self, identity: Identity, until: float) -> None:
        """Its place comes later, and what was to be written is old by then."""
        self.remove(identity)
        if identity not in self._is_held:
            self._is_held.add(identity)
            heapq.heappush(self._held, (until, identity))

    def first(self, now: float) -> Identity | None:
        """Whose turn it is; it keeps its place."""
        while self._held and self._held[0][0] <= now:
            _, identity = heapq.heappop(self._held)
            self._is_held.discard(identity)
            self._places.setdefault(identity, None)
        return next(iter(self._places), None)


class Allowances:
    """How often each object may still be written: rule 2."""

    def __init__(self) -> None:
        self._buckets: dict[Identity, Bucket] = {}
        self._generations: dict[Identity, Hashable] = {}

    def take(self, identity: Identity, generation: Hashable, now: float) -> float:
        """0: it may be written; else the seconds until it may. The `generation` is None where it is not known."""
        if generation is not None and self._generations.get(identity) != generation:
            self._generations[identity] = generation
            self._buckets[identity] = Bucket(1 / EVERY, BURST, now)
        bucket = self._buckets.setdefault(identity, Bucket(1 / EVERY, BURST, now))
        return bucket.take(now)

    def forget_unused(self, now: float) -> None:
        """Forget those that were not written for a while."""
        for identity in [identity for identity, bucket in self._buckets.items() if bucket.is_full(now)]:
            del self._buckets[identity]
            self._generations.pop(identity, None)
