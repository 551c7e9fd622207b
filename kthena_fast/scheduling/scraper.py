"""Asks engines how busy they are: the two gauges that the `auto` mode of fairness needs.

1. Each pod is asked once per interval, on its own: one that hangs delays nobody, and is not asked again meanwhile.
2. Series of one metric are summed: a data-parallel engine has one for each of its parts. (Upstream reads the last.)
3. What cannot be read says nothing: who uses the numbers decides how long older ones count.
"""

from __future__ import annotations

import asyncio
import logging
import math
import re
import ssl
from collections.abc import Callable, Iterable
from typing import Final

import aiohttp

from kthena_fast.routing.snapshot import Pod, Server

log = logging.getLogger(__name__)

TIMEOUT_SECONDS: Final = 5.0
MOST_BYTES: Final = 4 * 2**20
"""Of one answer; engines send some 50 KiB."""

WAITING: Final = {"vLLM": b"vllm:num_requests_waiting", "SGLang": b"sglang:num_queue_reqs"}
RUNNING: Final = {"vLLM": b"vllm:num_requests_running", "SGLang": b"sglang:num_running_reqs"}


class Load:
    """What an engine said of itself."""

    __slots__ = ("running", "waiting")

    def __init__(self, waiting: float, running: float) -> None:
        self.waiting = waiting
        self.running = running


def read_load(text: bytes, engine: str) -> Load | None:
    """The load in a page of Prometheus text; None where a gauge is missing or no number, or the engine unknown."""
    if engine not in WAITING:
        return None
    waiting = _sum(text, WAITING[engine])
    running = _sum(text, RUNNING[engine])
    return Load(waiting, running) if waiting is not None and running is not None else None


def _sum(text: bytes, name: bytes) -> float | None:
    found = re.findall(rb"^" + re.escape(name) + rb"(?:\{.*\})? +([0-9.eE+-]+)(?: +[0-9]+)?$", text, re.MULTILINE)
    try:
        total = sum(float(value) for value in found)
    except ValueError:
        return None
    return total if found and math.isfinite(total) else None


class Scraper:
    """Asks every pod once per `interval` seconds and tells `on_load`; None where it did not answer usefully."""

    def __init__(self, interval: float, tls: ssl.SSLContext, on_load: Callable[[Pod, float | None], None]) -> None:
        self._interval = interval
        self._tls = tls
        self._on_load = on_load
        self._servers: tuple[Server, ...] = ()
        self._pods: set[Pod] = set()
        self._asking: dict[Pod, asyncio.Task[None]] = {}
        self.loads: dict[Pod, Load] = {}
        """What each pod said last."""

    def on_servers(self, servers: Iterable[Server]) -> None:
        """Take the servers of the snapshot in service."""
        self._servers = tuple(servers)
        self._pods = {pod for server in self._servers for pod in server.pods}
        for pod in self.loads.keys() - self._pods:
            del self.loads[pod]

    async def run(self) -> None:
        """Ask until cancelled."""
        # No limit: a place that a hung pod holds would be missing to another.
        connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=30.0)
        timeout = aiohttp.ClientTimeout(total=TIMEOUT_SECONDS)
        async with aiohttp.ClientSession(connector=connector, timeout=timeout, trust_env=False) as session:
            try:
                while True:
                    for server in self._servers:
                        for pod in server.pods:
                            if pod not in self._asking:
                                task = asyncio.create_task(self._ask(session, pod, server.engine))
                                self._asking[pod] = task
                    await asyncio.sleep(self._interval)
            finally:
                asking = list(self._asking.values())
                for task in asking:
                    task.cancel()
                await asyncio.gather(*asking, return_exceptions=True)

    async def _ask(self, session: aiohttp.ClientSession, pod: Pod, engine: str) -> None:
        load = None
        try:
            load = await self._read(session, pod, engine)
        except (aiohttp.ClientError, OSError, ValueError) as problem:
            log.debug("%r did not say how busy it is: %r", pod, problem)
        finally:
            del self._asking[pod]
        if load is None or pod not in self._pods:
            self.loads.pop(pod, None)
        else:
            self.loads[pod] = load
        self._on_load(pod, load.waiting if load is not None else None)

    async def _read(self, session: aiohttp.ClientSession, pod: Pod, engine: str) -> Load | None:
        host = f"[{pod.host}]" if ":" in pod.host else pod.host
        url = f"{'https' if pod.tls else 'http'}://{host}:{pod.port}{pod.prefix.decode('latin-1')}/metrics"
        name = pod.server_name if pod.tls else None
        async with session.get(url, allow_redirects=False, ssl=self._tls, server_hostname=name) as answer:
            if answer.status != 200:
                return None
            pieces = []
            size = 0
            async for piece in answer.content.iter_any():
                size += len(piece)
                if size > MOST_BYTES:
                    raise ValueError(f"more than {MOST_BYTES} bytes")
                pieces.append(piece)
            return read_load(b"".join(pieces), engine)
