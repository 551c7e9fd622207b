"""The command line of the benchmark."""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import json
import os
import signal
import statistics
import sys
import tempfile
import time
from pathlib import Path

import orjson
import psutil
import uvloop
from rich.console import Console
from rich.table import Table

from benchmarks import kubernetes
from benchmarks.kubernetes.cluster import Change, Cluster
from benchmarks.kubernetes.subject import Notes
from kthena_fast.kube import configuration
from kthena_fast.kube.client import Client
from tests.kube.apiserver import KubeApiServer

PATIENCE = 300.0
QUIET = 10.0
"""Seconds between ready and the changes."""


@dataclasses.dataclass(frozen=True, slots=True)
class Figures:
    """What one run found."""

    pods: int
    servers: int
    changes_a_second: float
    seconds_to_ready: float
    """From the start of the process."""
    idle_mb: float
    """Resident, some seconds after that."""
    churning_mb: float
    """The same after the changes."""
    effect_p50_ms: float
    """From the API server's answer to the change until it was in service."""
    effect_p99_ms: float
    effect_max_ms: float
    missed: int
    """Changes that were never seen in service."""
    longest_hold_ms: float
    longest_hold_cpu_ms: float
    share_of_a_core: float
    snapshots_a_second: float


async def measure(pods: int, servers: int, rate: float, seconds: float, core: int) -> Figures:
    with tempfile.TemporaryDirectory() as folder:
        server = KubeApiServer(Path(folder) / "kube")
        try:
            server.start()
            server.install_crds()
            async with Client(configuration.from_files([server.kubeconfig])) as kube:
                names = [f"team-{number}" for number in range(20)]
                cluster = Cluster(kube, names, servers, pods // servers)
                await cluster.fill()
                return await _watched(cluster, server.kubeconfig, Path(folder) / "notes", rate, seconds, core)
        finally:
            server.stop()


async def _watched(
    cluster: Cluster, kubeconfig: Path, notes_at: Path, rate: float, seconds: float, core: int
) -> Figures:
    began = time.monotonic()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "benchmarks.kubernetes.subject", str(kubeconfig), str(notes_at), str(core)),
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        async with asyncio.timeout(PATIENCE):
            ready = float(await process.stdout.readline())
        usage = psutil.Process(process.pid)
        await asyncio.sleep(QUIET)
        idle = usage.memory_info().rss
        process.send_signal(signal.SIGUSR1)
        await cluster.churn(seconds, rate)
        await asyncio.sleep(2.0)
        process.send_signal(signal.SIGUSR2)
        async with asyncio.timeout(PATIENCE):
            while not notes_at.exists():  # noqa: ASYNC110, ASYNC240 - another process sets no event here
                await asyncio.sleep(0.05)
        churning = usage.memory_info().rss
    finally:
        process.terminate()
        await process.wait()
    notes = Notes(**orjson.loads(notes_at.read_bytes()))  # noqa: ASYNC240 - nobody waits for this loop
    delays, missed = _delays(cluster.changes, notes)
    percentiles = statistics.quantiles(delays, n=100)
    return Figures(
        pods=cluster.pods * cluster.servers,
        servers=cluster.servers,
        changes_a_second=len(cluster.changes) / seconds,
        seconds_to_ready=ready - began,
        idle_mb=idle / 1e6,
        churning_mb=churning / 1e6,
        effect_p50_ms=percentiles[49] * 1e3,
        effect_p99_ms=percentiles[98] * 1e3,
        effect_max_ms=max(delays) * 1e3,
        missed=missed,
        longest_hold_ms=notes.longest_hold * 1e3,
        longest_hold_cpu_ms=notes.longest_hold_cpu * 1e3,
        share_of_a_core=notes.cpu_seconds / notes.seconds,
        snapshots_a_second=notes.snapshots / notes.seconds,
    )


def _delays(changes: list[Change], notes: Notes) -> tuple[list[float], int]:
    """How long each change took, and how many were never seen."""
    seen: dict[tuple[str, str], list[tuple[float, int, list[str]]]] = {}
    for line in notes.in_service:
        at_, kind, key, generation_, *pods = line.split()
        seen.setdefault((kind, key), []).append((float(at_), int(generation_), pods))
    delays: list[float] = []
    missed = 0
    for change in changes:
        kind = "ModelServer" if change.kind == "Pod" else change.kind
        for at, generation, pods in seen.get((kind, change.key), ()):
            is_it = (
                # A watch may bring it before the answer is here.
                at > change.at - 0.5 and change.pod not in pods if change.pod else generation >= change.generation
            )
            if is_it:
                delays.append(max(0.0, at - change.at))
                break
        else:
            missed += 1
    return delays, missed


def _cores() -> tuple[int, set[int]]:
    """The core of the gateway, and those of everything else: others where there are any."""
    own, *others = sorted(os.sched_getaffinity(0))
    return own, set(others or (own,))


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.kubernetes",
        description=kubernetes.__doc__,
        formatter_class=argparse.RawTextHelpFormatter,
    )
    parser.add_argument("--pods", type=int, default=10_000)
    parser.add_argument("--servers", type=int, default=1_000)
    parser.add_argument("--rate", type=float, default=100.0, help="changes a second")
    parser.add_argument("--seconds", type=float, default=30.0, help="of changes")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    own, others = _cores()
    # What is started from here is where this process is; the gateway says otherwise for itself.
    os.sched_setaffinity(0, others)
    figures = uvloop.run(measure(arguments.pods, arguments.servers, arguments.rate, arguments.seconds, own))
    if arguments.json:
        print(json.dumps(dataclasses.asdict(figures), indent=2))
    else:
        table = Table("what", "figure")
        for name, figure in dataclasses.asdict(figures).items():
            table.add_row(name, f"{figure:,.2f}".removesuffix(".00"))
        Console().print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
