"""What pieces cost from one connection of a gateway to another, the kernel's loopback included.

The twins are compared with the loop's own transports; run with `pytest benchmarks --benchmark-enable`. A figure is for
one piece on each of STREAMS streams, all of which come in one turn of the loop.
"""

import asyncio
import contextlib
import functools
import os
import socket
from collections.abc import AsyncIterator
from typing import Any

import pytest
import uvloop
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.instructions.operations import CHUNK
from tests.conftest import CORES
from tests.transport import ends

STREAMS = 100


class Passing(asyncio.Protocol):
    """Writes what it receives to another connection."""

    def __init__(self, transport: Any) -> None:
        self.data_received = transport.write  # type: ignore[method-assign]


class Streams:
    """From an engine to a client each, both of which are plain sockets."""

    def __init__(self, engines: list[socket.socket], clients: list[socket.socket]) -> None:
        self._engines = engines
        self._clients = clients

    async def pass_one(self) -> None:
        """A piece on each."""
        for engine in self._engines:
            os.write(engine.fileno(), CHUNK)
        for client in self._clients:
            while not (data := received(client)):  # noqa: ASYNC110 - nothing else is measured
                await asyncio.sleep(0)
            assert data == CHUNK


def received(client: socket.socket) -> bytes:
    try:
        return os.read(client.fileno(), len(CHUNK))
    except BlockingIOError:
        return b""


@contextlib.asynccontextmanager
async def streams(name: str) -> AsyncIterator[Streams]:
    engines, clients, transports = [], [], []
    async with ends.maker(name) as maker:
        for _ in range(STREAMS):
            from_engine, engine = ends.a_pair()
            to_client, client = ends.a_pair()
            client.setblocking(False)
            writing = await maker.adopt(to_client, asyncio.Protocol)
            reading = await maker.adopt(from_engine, functools.partial(Passing, writing))
            engines.append(engine)
            clients.append(client)
            transports += [reading, writing]
        yield Streams(engines, clients)
        for transport in transports:
            transport.abort()
        await ends.turns()
    for opened in engines + clients:
        opened.close()


@pytest.mark.parametrize("name", ["loop", *CORES])
def test_pass_a_piece_on(benchmark: BenchmarkFixture, name: str) -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        made = streams(name)
        passing = runner.run(made.__aenter__())
        benchmark(lambda: runner.run(passing.pass_one()))
        runner.run(made.__aexit__(None, None, None))
