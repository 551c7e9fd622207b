"""How long a first leader takes to say what it found of many routes, and what that costs it and the API server.

python -m benchmarks.status [--routes 10000]
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import os
import sys
import tempfile
import time
from pathlib import Path

import psutil
import uvloop

from kthena_fast.kube import configuration
from kthena_fast.kube.client import Client
from kthena_fast.resources.decoding import API_VERSION
from kthena_fast.routing.snapshot import Snapshot
from kthena_fast.sources import Observation
from kthena_fast.sources.kubernetes.source import KubernetesSource
from kthena_fast.sources.kubernetes.status.reporter import StatusReporter
from kthena_fast.telemetry import metrics
from kthena_fast.telemetry.registry import Registry
from tests.kube import apiserver
from tests.kube.apiserver import KubeApiServer

AT_ONCE = 32
"""Requests under way while the cluster is filled."""
TICK = 0.001


class Following:
    """A source and a reporter in this process, and the newest snapshot."""

    def __init__(self, kubeconfig: Path) -> None:
        cluster = configuration.from_files([kubeconfig])
        self.registry = Registry()
        self.snapshot: Snapshot | None = None
        self.longest_hold = 0.0
        """Of the loop's thread, in seconds of CPU time."""
        self._source = KubernetesSource(cluster)
        self._reporter = StatusReporter(cluster, lease_name="status", lease_namespace="default")

    async def until_read(self, tasks: asyncio.TaskGroup, routes: int) -> None:
        tasks.create_task(self._source.run(self._on_observation))
        while self.snapshot is None or len(self.snapshot.objects.routes) < routes:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.05)
        # As the gateway does with its first snapshot.
        gc.collect()
        gc.freeze()

    async def until_written(self, tasks: asyncio.TaskGroup, routes: int) -> None:
        tasks.create_task(self._reporter.run(lambda: self.snapshot, self.registry))
        tasks.create_task(self._tick())
        written = self.registry.value(metrics.STATUS_UPDATES, "ModelRoute", "written")
        while written.number < routes:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.2)

    def _on_observation(self, observation: Observation) -> None:
        self.snapshot = observation.snapshot

    async def _tick(self) -> None:
        while True:
            began = time.thread_time()
            await asyncio.sleep(TICK)
            self.longest_hold = max(self.longest_hold, time.thread_time() - began)


async def measure(routes: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        server = KubeApiServer(Path(folder) / "kube")
        try:
            await asyncio.to_thread(server.start)
            await asyncio.to_thread(server.install_crds)
            await _fill(server, routes)
            following = Following(server.kubeconfig)
            with contextlib.suppress(_Done):
                await _follow(following, server, routes)
        finally:
            server.stop()


class _Done(Exception):
    """Everything was measured."""


async def _follow(following: Following, server: KubeApiServer, routes: int) -> None:
    processes = {
        "this process": psutil.Process(os.getpid()),
        **{name: psutil.Process(int((server.folder / f"{name}.pid").read_text())) for name in ("apiserver", "etcd")},
    }
    try:
        async with asyncio.TaskGroup() as tasks:
            await following.until_read(tasks, routes)
            before = {name: _cpu_seconds(process) for name, process in processes.items()}
            began = time.monotonic()
            await following.until_written(tasks, routes)
            print(f"{routes} routes: {time.monotonic() - began:.0f} s")
            for name, process in processes.items():
                print(f"{name}: {_cpu_seconds(process) - before[name]:.1f} s of CPU")
            print(f"longest hold of the loop, CPU time: {following.longest_hold * 1e3:.1f} ms")
            raise _Done
    except* _Done:
        raise _Done from None


def _cpu_seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system


async def _fill(server: KubeApiServer, routes: int) -> None:
    free = asyncio.Semaphore(AT_ONCE)
    path = f"/apis/{API_VERSION}/namespaces/default/modelroutes"
    rules = [{"targetModels": [{"modelServerName": "missing"}]}]
    async with Client(configuration.from_files([server.kubeconfig])) as kube:
        await asyncio.to_thread(server.apply, apiserver.namespace("default"))

        async def create(number: int) -> None:
            spec = {"modelName": f"model-{number}", "rules": rules}
            meta = {"name": f"route-{number}"}
            async with free:
                await kube.create(
                    path, {"apiVersion": API_VERSION, "kind": "ModelRoute", "metadata": meta, "spec": spec}
                )

        await asyncio.gather(*(create(number) for number in range(routes)))


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.status", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--routes", type=int, default=10_000)
    uvloop.run(measure(parser.parse_args().routes))
    return 0


if __name__ == "__main__":
    sys.exit(main())
