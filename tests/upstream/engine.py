"""An engine whose every byte is said by the test, over a real socket."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Protocol

from kthena_fast.routing.snapshot import Pod


class Visit:
    """One connection to the engine, seen from the engine."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self.request = b""

    async def asked(self) -> bytes:
        """The head of the next request; its body is read and left in `body`."""
        self.request = await self._reader.readuntil(b"\r\n\r\n")
        self.body = await self._reader.readexactly(self._length())
        return self.request

    def say(self, data: bytes) -> None:
        self._writer.write(data)

    async def say_all(self, data: bytes) -> None:
        """Return once the other side's kernel has taken it all."""
        self._writer.write(data)
        await self._writer.drain()

    @property
    def unsent(self) -> int:
        return self._writer.transport.get_write_buffer_size()

    def close(self) -> None:
        self._writer.close()

    def reset(self) -> None:
        """Close so that the other side gets RST: SO_LINGER with zero seconds."""
        sock = self._writer.get_extra_info("socket")
        sock.setsockopt(1, 13, b"\1\0\0\0\0\0\0\0")
        self._writer.transport.abort()

    async def left(self) -> None:
        """Return when the gateway has closed the connection, however it did."""
        try:
            while await self._reader.read(65536):
                pass
        except ConnectionResetError:
            pass

    def _length(self) -> int:
        for line in self.request.split(b"\r\n"):
            name, _, value = line.partition(b":")
            if name.lower() == b"content-length":
                return int(value)
        return 0


class Engine:
    def __init__(self, name: str) -> None:
        self.name = name
        self.visits = 0
        self._arrivals: asyncio.Queue[Visit] = asyncio.Queue()
        self._all: list[Visit] = []
        self.pod: Pod

    async def visited(self) -> Visit:
        """The next connection that has come."""
        return await self._arrivals.get()

    async def asked(self) -> Visit:
        """The next connection that has come, its request read."""
        visit = await self.visited()
        await visit.asked()
        return visit

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        visit = Visit(reader, writer)
        self.visits += 1
        self._all.append(visit)
        self._arrivals.put_nowait(visit)


class StartEngine(Protocol):
    """The `engines` fixture: starts one that lives as long as the test."""

    async def __call__(self, name: str, *, host: str = ..., prefix: bytes = ...) -> Engine: ...


@asynccontextmanager
async def an_engine(
    name: str = "pod-0", host: str = "127.0.0.1", tls: ssl.SSLContext | None = None, prefix: bytes = b""
) -> AsyncIterator[Engine]:
    engine = Engine(name)
    server = await asyncio.start_server(engine._serve, host, 0, ssl=tls)
    port = server.sockets[0].getsockname()[1]
    engine.pod = Pod(f"default/{name}", "default", name, host, port, tls=tls is not None, prefix=prefix)
    try:
        yield engine
    finally:
        server.close()
        for visit in engine._all:
            visit.close()
        await server.wait_closed()


async def turns_until(holds: Callable[[], bool]) -> None:
    """Let the loop turn until something holds that nothing announces."""
    while not holds():  # noqa: ASYNC110 - an event would have to be set by the code under test
        await asyncio.sleep(0)


def a_dead_pod(name: str = "dead") -> Pod:
    """Nothing listens there: port 1 of the loopback."""
    return Pod(f"default/{name}", "default", name, "127.0.0.1", 1)
