"""Programs of `kthena-fast` as processes of their own: what they say, their ports, their signals, their end.

async with processes.gateway("--backend", engine.url, "--model", "llama", DRAIN_TIMEOUT="200ms") as gateway:
    gateway.send(signal.SIGTERM)
    assert await gateway.ended() == 0
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable

from tests.gateway import running

PATIENCE = 30.0
"""Seconds for what a new process does; a busy machine takes some to start one."""

SERVING = re.compile(r"serving on .*:(\d+), metrics on port (\d+), debug on localhost port (\d+)")


async def until(holds: Callable[[], Awaitable[bool]], patience: float = PATIENCE) -> None:
    """Return when something holds that tells nobody; the only place where a test looks again and again."""
    async with asyncio.timeout(patience):
        while not await holds():  # noqa: ASYNC110 - another process sets no event here
            await asyncio.sleep(0.01)


class Program:
    """One process. Its stderr is read all the time."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._heard = asyncio.Condition()
        self._is_silent = False
        self.lines: list[str] = []
        """What it said on stderr."""
        self._listening = asyncio.create_task(self._listen())

    @property
    def complaints(self) -> list[str]:
        """The lines that are neither information nor warning."""
        return [line for line in self.lines if " INFO " not in line and " WARNING " not in line]

    @property
    def pid(self) -> int:
        return self._process.pid

    async def _listen(self) -> None:
        assert self._process.stderr is not None
        async for line in self._process.stderr:
            async with self._heard:
                self.lines.append(line.decode().rstrip("\n"))
                self._heard.notify_all()
        async with self._heard:
            self._is_silent = True
            self._heard.notify_all()

    async def says(self, words: str, times: int = 1) -> str:
        """The line with `words`, once it was said that often."""

        def found() -> list[str]:
            return [line for line in self.lines if words in line]

        async with asyncio.timeout(PATIENCE), self._heard:
            await self._heard.wait_for(lambda: len(found()) >= times or self._is_silent)
        assert len(found()) >= times, self.lines
        return found()[times - 1]

    def send(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    async def ended(self) -> int:
        """The exit status; what was said is complete then."""
        async with asyncio.timeout(PATIENCE):
            status = await self._process.wait()
            await self._listening
        return status

    async def kill(self) -> None:
        if self._process.returncode is None:
            self._process.kill()
        await self._process.wait()
        await self._listening


class Gateway(Program):
    """A gateway that has opened its ports."""

    port = metrics_port = debug_port = 0

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        super().__init__(process)
        self._connections: list[running.Raw] = []

    async def is_open(self) -> None:
        match = SERVING.search(await self.says("serving on "))
        assert match is not None
        self.port, self.metrics_port, self.debug_port = map(int, match.groups())

    async def connect(self, port: int | None = None) -> running.Raw:
        raw = running.Raw(*await asyncio.open_connection("127.0.0.1", port or self.port))
        self._connections.append(raw)
        return raw

    async def kill(self) -> None:
        for raw in self._connections:
            await raw.leave()
        await super().kill()

    async def ask(self, request: bytes, port: int | None = None) -> running.Answer:
        raw = await self.connect(port)
        raw.say(request)
        return await raw.answer()

    async def get(self, path: str, port: int | None = None) -> running.Answer:
        return await self.ask(running.get(path), port)

    async def is_ready(self) -> bool:
        return (await self.get("/readyz", self.metrics_port)).status == 200


def _environment(variables: dict[str, str]) -> dict[str, str]:
    return {**os.environ, "ACCESS_LOG_OUTPUT": "stderr", **variables}


async def _start(*arguments: str, **variables: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "kthena_fast", *arguments),
        env=_environment(variables),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )


@contextlib.asynccontextmanager
async def program(*arguments: str, **variables: str) -> AsyncIterator[Program]:
    """`kthena-fast ARGUMENTS`; killed at the end if it still runs."""
    started = Program(await _start(*arguments, **variables))
    try:
        yield started
    finally:
        await started.kill()


@contextlib.asynccontextmanager
async def starting_gateway(*arguments: str, **variables: str) -> AsyncIterator[Gateway]:
    """`kthena-fast gateway ARGUMENTS` on free ports, once these are open."""
    ports = ("--host", "127.0.0.1", "--port", "0", "--metrics-port", "0", "--debug-port", "0")
    started = Gateway(await _start("gateway", *ports, *arguments, **variables))
    try:
        await started.is_open()
        yield started
    finally:
        await started.kill()


@contextlib.asynccontextmanager
async def gateway(*arguments: str, **variables: str) -> AsyncIterator[Gateway]:
    """The same, once it is ready."""
    async with starting_gateway(*arguments, **variables) as started:
        await until(started.is_ready)
        yield started
