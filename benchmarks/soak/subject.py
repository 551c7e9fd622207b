"""The gateway under test: its process, and what that process holds."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import sys
import urllib.request
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import psutil

PATIENCE = 60.0
"""Seconds for the process to start, to become quiet, and to end."""

SERVING = re.compile(rb"serving on .*:(\d+), metrics on port (\d+), debug on localhost port (\d+)")
GAUGES = ("kthena_router_active_", "kthena_router_fairness_queue_size", "kthena_router_fairness_queue_inflight")
"""What counts what is under way; quiet, each is 0."""


@dataclass(frozen=True, slots=True)
class Holdings:
    """What a quiet gateway holds, after its garbage was collected."""

    resident_bytes: int
    descriptors: int
    """But for connections kept to engines, of which a pool may keep more or fewer."""
    tasks: int
    threads: int
    objects: int
    """That Python's collector knows of."""
    requests: int
    client_connections: int
    deadlines: int
    in_flight: int
    """Of all pods, as `/debug/config_dump/pods` has it."""
    gauges: float
    """All of `GAUGES` together."""


class Subject:
    """One running gateway."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._usage = psutil.Process(process.pid)
        self.port = self._metrics_port = self._debug_port = 0
        self.errors: list[str] = []
        """Lines of its log that should not be there."""
        self._opened = asyncio.Event()
        self._listening = asyncio.create_task(self._listen())

    @property
    def cpu_seconds(self) -> float:
        times = self._usage.cpu_times()
        return times.user + times.system

    async def _listen(self) -> None:
        assert self._process.stderr is not None
        async for line in self._process.stderr:
            if match := SERVING.search(line):
                self.port, self._metrics_port, self._debug_port = map(int, match.groups())
                self._opened.set()
            # What is not a line of the log is worse than an error: a traceback.
            if b" INFO " not in line and b" WARNING " not in line:
                self.errors.append(line.decode("utf-8", "replace").rstrip())
        self._opened.set()

    async def opened(self) -> None:
        async with asyncio.timeout(PATIENCE):
            await self._opened.wait()
            if not self.port:
                raise RuntimeError("\n".join(["the gateway did not start", *self.errors]))
            await self._until_ready()

    async def _until_ready(self) -> None:
        while True:
            with contextlib.suppress(OSError):
                await self._page(self._metrics_port, "/readyz")
                return
            await asyncio.sleep(0.05)

    async def _page(self, port: int, path: str) -> bytes:
        return await asyncio.to_thread(_get, f"http://127.0.0.1:{port}{path}")

    async def _document(self, path: str) -> Any:
        return orjson.loads(await self._page(self._debug_port, path))

    async def look_around(self, ends: float) -> None:
        """Scrape metrics and dump objects every second, as operators do, until the loop's clock says `ends`."""
        loop = asyncio.get_running_loop()
        while loop.time() < ends:
            await self._page(self._metrics_port, "/metrics")
            await self._document("/debug/config_dump/pods")
            await asyncio.sleep(1.0)

    async def quiet(self) -> None:
        """Return when no request and no client is left."""
        async with asyncio.timeout(PATIENCE):
            while True:
                runtime = await self._document("/debug/runtime")
                if not runtime["requests"] and not runtime["clientConnections"]:
                    return
                await asyncio.sleep(0.1)

    async def holdings(self) -> Holdings:
        runtime = await self._document("/debug/runtime?collect=true")
        pods = (await self._document("/debug/config_dump/pods"))["pods"]
        gauges = 0.0
        for line in (await self._page(self._metrics_port, "/metrics")).decode().splitlines():
            if line.startswith(GAUGES):
                gauges += abs(float(line.rpartition(" ")[2]))
        return Holdings(
            resident_bytes=self._usage.memory_info().rss,
            descriptors=runtime["descriptors"] - runtime["idleEngineConnections"],
            tasks=runtime["tasks"],
            threads=runtime["threads"],
            objects=runtime["objects"],
            requests=runtime["requests"],
            client_connections=runtime["clientConnections"],
            deadlines=runtime["deadlines"],
            in_flight=sum(pod["inFlight"] for pod in pods),
            gauges=gauges,
        )

    async def end(self) -> int:
        """Drain it; the exit status."""
        self._process.terminate()
        async with asyncio.timeout(PATIENCE):
            status = await self._process.wait()
            await self._listening
        return status

    async def kill(self) -> None:
        if self._process.returncode is None:
            self._process.kill()
        await self._process.wait()
        await self._listening


def _get(url: str) -> bytes:
    # The environment's proxies are not part of the test.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(url, timeout=PATIENCE) as answer:
        content: bytes = answer.read()
        return content


@contextlib.asynccontextmanager
async def running(manifests: Path, access_log: Path) -> AsyncIterator[Subject]:
    """A gateway over a folder of manifests, with an access log in a file."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "kthena_fast", "gateway", "--manifests", str(manifests)),
        *("--host", "127.0.0.1", "--port", "0", "--metrics-port", "0", "--debug-port", "0"),
        env={"HEADER_TIMEOUT": "2s", "BODY_TIMEOUT": "2s", **os.environ, "ACCESS_LOG_OUTPUT": str(access_log)},
        stdin=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    subject = Subject(process)
    try:
        await subject.opened()
        yield subject
    finally:
        await subject.kill()


@contextlib.asynccontextmanager
async def engines(count: int) -> AsyncIterator[list[int]]:
    """The ports of mock engines that share one process."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "benchmarks.soak.engines", str(count)),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(PATIENCE):
            ports = [int(port) for port in (await process.stdout.readline()).split()]
        yield ports
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
