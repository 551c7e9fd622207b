"""A connection on loopback: one end is a transport with a protocol that writes down what it is told, the other a plain
socket in the hands of the test."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import socket
import struct
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, Protocol

import pytest

from kthena_fast.transport import _stream_py

PATIENCE = 10.0

Factory = Callable[[], Any]


class Maker(Protocol):
    """Whose transports are tried."""

    async def adopt(self, opened: socket.socket, factory: Factory) -> Any: ...


class Loops:
    """Those of the loop, by which ours are judged."""

    async def adopt(self, opened: socket.socket, factory: Factory) -> Any:
        transport, _ = await asyncio.get_running_loop().connect_accepted_socket(factory, opened)
        return transport


class Ours:
    """Those of one twin."""

    def __init__(self, sockets: Any) -> None:
        self.sockets = sockets

    async def adopt(self, opened: socket.socket, factory: Factory) -> Any:
        return self.sockets.adopt(opened, factory)


@contextlib.contextmanager
def twin(core: str) -> Iterator[Any]:
    """Its `sockets`, with its own kind of streams: the source asks the chooser."""
    suffix = {"compiled": "c", "pure": "py"}[core]
    module = importlib.import_module(f"kthena_fast.transport._sockets_{suffix}")
    with pytest.MonkeyPatch.context() as patch:
        if core == "pure":
            patch.setattr(module, "Stream", _stream_py.Stream)
            patch.setattr(module, "Outbox", _stream_py.Outbox)
        yield module


@contextlib.asynccontextmanager
async def ours(core: str) -> AsyncIterator[Ours]:
    """Of the twin of that name; in the end nothing is watched."""
    with twin(core) as module:
        sockets = module.Sockets(asyncio.get_running_loop())
        yield Ours(sockets)
        left = len(sockets)
        sockets.close()
        assert left == 0


@contextlib.asynccontextmanager
async def maker(name: str) -> AsyncIterator[Maker]:
    """`loop`, or the name of a twin."""
    if name == "loop":
        yield Loops()
        return
    async with ours(name) as made:
        yield made


class Told(asyncio.Protocol):
    """Writes down each call."""

    def __init__(self, *, stays_open: bool = False) -> None:
        self.stays_open = stays_open
        self.transport: Any = None
        self.data = b""
        self.calls: list[str] = []
        self.failure: Exception | None = None
        self.lost = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.calls.append("made")

    def data_received(self, data: bytes) -> None:
        self.data += data
        self.calls.append("data")

    def eof_received(self) -> bool:
        self.calls.append("eof")
        return self.stays_open

    def pause_writing(self) -> None:
        self.calls.append("pause")

    def resume_writing(self) -> None:
        self.calls.append("resume")

    def connection_lost(self, failure: Exception | None) -> None:
        self.calls.append("lost")
        self.failure = failure
        self.lost.set_result(None)

    async def until_called(self) -> None:
        """Once more than until now."""
        count = len(self.calls)
        await until(lambda: len(self.calls) > count)

    def has(self, data: bytes) -> bool:
        """Whether this is all that it was told."""
        return self.data == data

    async def until_lost(self) -> None:
        async with asyncio.timeout(PATIENCE):
            await self.lost


class Peer:
    """The other end."""

    def __init__(self, opened: socket.socket) -> None:
        self.socket = opened
        opened.setblocking(False)

    async def send(self, data: bytes) -> None:
        async with asyncio.timeout(PATIENCE):
            await asyncio.get_running_loop().sock_sendall(self.socket, data)

    async def read(self, most: int = 1 << 16) -> bytes:
        async with asyncio.timeout(PATIENCE):
            return await asyncio.get_running_loop().sock_recv(self.socket, most)

    async def read_exactly(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            data += await self.read(size - len(data)) or _at_the_end(data)
        return data

    async def read_all(self) -> bytes:
        data = b""
        while piece := await self.read():
            data += piece
        return data

    def shut(self) -> None:
        self.socket.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        """Close so that the other end gets a RST."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()


def _at_the_end(data: bytes) -> bytes:
    raise AssertionError(f"the connection ended after {len(data)} bytes")


def a_pair(*, buffer: int = 0) -> tuple[socket.socket, socket.socket]:
    """Two ends of a TCP connection; `buffer`: bytes that the kernel holds on the way, about."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        if buffer:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        ours = socket.socket()
        if buffer:
            ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, buffer)
        ours.connect(listening.getsockname())
        theirs, _ = listening.accept()
        ours.setblocking(False)
        return ours, theirs


@contextlib.asynccontextmanager
async def connected(
    maker: Maker, told: Told | None = None, *, buffer: int = 0
) -> AsyncIterator[tuple[Told, Any, Peer]]:
    """The protocol, its transport and the peer; in the end nothing is open."""
    ours, theirs = a_pair(buffer=buffer)
    protocol = told or Told()
    transport = await maker.adopt(ours, lambda: protocol)
    try:
        yield protocol, transport, Peer(theirs)
    finally:
        theirs.close()
        transport.abort()
        await protocol.until_lost()


class Many:
    """Connections of one keeper, whose peers are in the hands of the test."""

    def __init__(self, sockets: Any) -> None:
        self.sockets = sockets
        self.told: list[Any] = []
        self.peers: list[socket.socket] = []

    async def open_each(self, count: int, make: Callable[[], Told]) -> list[Any]:
        """So many more; their transports."""
        opened = []
        for _ in range(count):
            ours, theirs = a_pair()
            told = make()
            opened.append(self.sockets.adopt(ours, lambda told=told: told))
            self.told.append(told)
            self.peers.append(theirs)
        # What comes with a new connection is its first edge.
        await turns()
        return opened

    async def close(self) -> None:
        self.sockets.close()
        await turns()
        for peer in self.peers:
            peer.close()


async def turns(count: int = 5) -> None:
    """Let the loop turn."""
    for _ in range(count):
        await asyncio.sleep(0)


async def until(holds: Callable[[], bool]) -> None:
    """Let the loop turn until it is so."""
    async with asyncio.timeout(PATIENCE):
        while not holds():  # noqa: ASYNC110 - an event would have to be set by the code under test
            await asyncio.sleep(0)
