"""The gateway under test, which notes how long its loop is held and what is in service when.

`python -m benchmarks.kubernetes.subject KUBECONFIG NOTES CORE`: prints a line once it is ready. Between SIGUSR1 and
SIGUSR2 it notes; then it writes `Notes` to the file NOTES.
"""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import orjson
import uvloop

from kthena_fast import settings
from kthena_fast.gateway import app, process
from kthena_fast.kube import configuration
from kthena_fast.routing.snapshot import Snapshot
from kthena_fast.sources.kubernetes.source import KubernetesSource
from kthena_fast.sources.kubernetes.status.reporter import StatusReporter
from kthena_fast.telemetry import log as application_log

TICK = 0.001


@dataclass(slots=True)
class Notes:
    """What happened between the signals."""

    seconds: float = 0.0
    cpu_seconds: float = 0.0
    longest_hold: float = 0.0
    """As time that passed, in seconds."""
    longest_hold_cpu: float = 0.0
    """As CPU time of the loop's thread."""
    snapshots: int = 0
    in_service: list[str] = field(default_factory=list)
    """When, kind and key of what became another one, its generation, and the pods of a ModelServer: in words, since
    Python's collector, which looks at all else, would look at the notes and not at the gateway."""


class Noting:
    """Looks at every tick."""

    def __init__(self, gateway: app.Gateway, path: Path) -> None:
        self._gateway = gateway
        self._path = path
        self._notes = Notes()
        self._snapshot = gateway.state.snapshot
        self._timer: asyncio.TimerHandle | None = None
        self._ticked = self._ticked_cpu = 0.0

    def begin(self) -> None:
        self._notes = Notes(seconds=-time.monotonic(), cpu_seconds=-_cpu_seconds())
        self._ticked, self._ticked_cpu = time.monotonic(), time.thread_time()
        self._tick()

    def end(self) -> None:
        assert self._timer is not None
        self._timer.cancel()
        notes = self._notes
        notes.seconds += time.monotonic()
        notes.cpu_seconds += _cpu_seconds()
        aside = self._path.with_suffix(".aside")
        aside.write_bytes(orjson.dumps(notes))
        aside.replace(self._path)

    def _tick(self) -> None:
        now, cpu = time.monotonic(), time.thread_time()
        notes = self._notes
        notes.longest_hold = max(notes.longest_hold, now - self._ticked - TICK)
        notes.longest_hold_cpu = max(notes.longest_hold_cpu, cpu - self._ticked_cpu)
        snapshot = self._gateway.state.snapshot
        if snapshot is not self._snapshot:
            self._look(snapshot, now)
            self._snapshot = snapshot
        # What the looking took is not the gateway's.
        self._ticked, self._ticked_cpu = time.monotonic(), time.thread_time()
        self._timer = asyncio.get_running_loop().call_later(TICK, self._tick)

    def _look(self, snapshot: Snapshot, now: float) -> None:
        notes, before = self._notes, self._snapshot
        notes.snapshots += 1
        for key, server in snapshot.servers.items():
            if before.servers.get(key) is not server:
                generation = snapshot.objects.servers[key].metadata.generation
                pods = " ".join(pod.name for pod in server.pods)
                notes.in_service.append(f"{now} ModelServer {key} {generation} {pods}")
        for key, route in snapshot.objects.routes.items():
            if before.objects.routes.get(key) is not route:
                notes.in_service.append(f"{now} ModelRoute {key} {route.metadata.generation}")


def _cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


async def run(kubeconfig: Path, notes: Path) -> int:
    def on_ready(gateway: app.Gateway) -> None:
        noting = Noting(gateway, notes)
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGUSR1, noting.begin)
        loop.add_signal_handler(signal.SIGUSR2, noting.end)
        print(time.monotonic(), flush=True)

    options = app.Options("127.0.0.1", port=0, metrics_port=0, debug_port=0)
    cluster, knobs = configuration.from_files([kubeconfig]), settings.read(os.environ, print)
    reporter = None
    if knobs.status_updates:
        reporter = StatusReporter(cluster, lease_name=knobs.status_lease_name, lease_namespace=cluster.namespace)
    return await process.live(options, knobs, KubernetesSource(cluster), on_ready, reporter=reporter)


def main(*arguments: str) -> int:
    """Run until told to stop; returns the exit status."""
    application_log.configure("warning", "text")
    kubeconfig, notes, core = arguments
    os.sched_setaffinity(0, {int(core)})
    return uvloop.run(run(Path(kubeconfig), Path(notes)))


if __name__ == "__main__":
    raise SystemExit(main(*sys.argv[1:]))
