"""What may differ between before and after, and why."""

from __future__ import annotations

import os
from dataclasses import dataclass, fields

from benchmarks.soak.subject import Holdings

MIB = 2**20

ALLOWED = {
    # The allocator keeps and splits what it once took: after equal loads a process without a leak swings by a few MiB.
    # What is leaked once per request shows all the same: 10,000 requests of 1 KiB are more.
    "resident_bytes": 8 * MIB,
    # A connection kept to an engine is some 20 objects, and how many are kept depends on the last second of load.
    "objects": 3_000,
    # Where engines' metrics are read, a connection or two to each is kept that no pool counts.
    "descriptors": 6,
    # asyncio's pool of threads, in which metrics are rendered and manifests read, grows up to this and never shrinks.
    "threads": min(32, (os.cpu_count() or 1) + 4),
}
"""Growth of a holding that proves nothing; of every other one, none is allowed."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One holding before and after."""

    name: str
    before: float
    after: float
    allowed: float

    @property
    def is_back(self) -> bool:
        return self.after <= self.before + self.allowed

    def __str__(self) -> str:
        verdict = "" if self.is_back else f"   LEAK: at most {self.before + self.allowed:,.0f}"
        return f"{self.name:20} {self.before:14,.0f} -> {self.after:14,.0f}{verdict}"


def compare(before: Holdings, after: Holdings) -> list[Entry]:
    return [
        Entry(name, getattr(before, name), getattr(after, name), ALLOWED.get(name, 0))
        for name in (holding.name for holding in fields(Holdings))
    ]
