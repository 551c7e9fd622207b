"""The course of a soak: load, pause and look, load, pause and compare, drain."""

from __future__ import annotations

import asyncio
import random
import tempfile
from dataclasses import dataclass
from pathlib import Path

from benchmarks.soak import ledger, subject
from benchmarks.soak.clients import Client, Tally
from benchmarks.soak.manifests import Folder

ENGINES = 3

WARM_UP = 0.25
"""Part of the time before the first look: pools, caches, label children and the allocator's arenas fill up."""


@dataclass(frozen=True, slots=True)
class Result:
    """What a soak has shown."""

    entries: list[ledger.Entry]
    tally: Tally
    errors: list[str]
    """What the gateway logged and should not have."""
    status: int
    """Of the gateway's exit."""
    changes: int
    """Of the manifests."""
    cpu_seconds: float

    @property
    def complaints(self) -> list[str]:
        """Everything that is not as it should be; empty: passed."""
        complaints = [f"{entry}" for entry in self.entries if not entry.is_back]
        complaints += [f"{count} x {what}" for what, count in self.tally.failures.most_common(10)]
        complaints += [f"logged: {line}" for line in self.errors[:20]]
        if self.status:
            complaints.append(f"the gateway ended with status {self.status}")
        return complaints


async def run(seconds: float, clients: int, seed: int) -> Result:
    """Soak a gateway for about so many seconds; see the package."""
    dice = random.Random(seed)
    tally = Tally()
    with tempfile.TemporaryDirectory(prefix="soak-") as name:
        folder = Path(name) / "manifests"
        folder.mkdir()
        async with subject.engines(ENGINES) as ports:
            manifests = Folder(folder, ports, dice)
            async with subject.running(folder, Path(name) / "access.log") as gateway:
                before = await _load(gateway, manifests, seconds * WARM_UP, clients, tally, dice)
                after = await _load(gateway, manifests, seconds * (1 - WARM_UP), clients, tally, dice)
                spent = gateway.cpu_seconds
                status = await gateway.end()
    return Result(ledger.compare(before, after), tally, gateway.errors, status, manifests.changes, spent)


async def _load(
    gateway: subject.Subject, manifests: Folder, seconds: float, clients: int, tally: Tally, dice: random.Random
) -> subject.Holdings:
    """What the gateway holds after so many seconds of load, when it is quiet again."""
    ends = asyncio.get_running_loop().time() + seconds
    async with asyncio.TaskGroup() as group:
        for _ in range(clients):
            group.create_task(Client(gateway.port, tally, random.Random(dice.random())).live(ends))
        group.create_task(manifests.keep_changing(ends))
        group.create_task(gateway.look_around(ends))
    manifests.settle()
    await gateway.quiet()
    return await gateway.holdings()
