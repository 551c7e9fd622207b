"""One engine that is asked for its page again and again, over a connection that is kept, broken, refused or abused."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import trustme

from kthena_fast.routing.snapshot import Pod
from kthena_fast.scheduling import asking
from kthena_fast.scheduling.asking import Asking

PATIENCE = 10.0

PAGE = b"vllm:num_requests_waiting 1\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(PAGE), PAGE)
CHUNKED = (
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nvllm:\r\n17\r\nnum_requests_waiting 1\n\r\n0\r\n\r\n"
)
MISSING = b"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno"
CLOSES = OK.replace(b"OK\r\n", b"OK\r\nConnection: close\r\n")
UNTIL_CLOSED = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n" + PAGE


class Timers:
    """Timers that pass when they are told to."""

    def __init__(self) -> None:
        self.set: dict[int, Callable[[], object]] = {}
        self._next = 0

    def add(self, seconds: float, callback: Callable[[], object]) -> int:
        assert seconds == asking.TIMEOUT_SECONDS
        self._next += 1
        self.set[self._next] = callback
        return self._next

    def cancel(self, deadline: Any) -> None:
        self.set.pop(deadline, None)

    def pass_(self) -> None:
        for callback in list(self.set.values()):
            callback()


class Engine:
    """Says on each connection what it was given for it, an entry for each request; `HANG_UP` closes instead."""

    HANG_UP = b""

    def __init__(self, *connections: list[bytes], piece: int = 1 << 20, lingers: bool = True) -> None:
        self._connections = list(connections)
        self._piece = piece
        self._lingers = lingers
        self.heads: list[bytes] = []
        self.accepted = 0
        self.writers: list[asyncio.StreamWriter] = []
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        self.writers.append(writer)
        answers = self._connections.pop(0) if self._connections else []
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            for answer in answers:
                self.heads.append(await reader.readuntil(b"\r\n\r\n"))
                if answer == self.HANG_UP:
                    break
                for at in range(0, len(answer), self._piece):
                    writer.write(answer[at : at + self._piece])
                    await writer.drain()
            else:
                if self._lingers:
                    await reader.read()
        writer.close()

    @contextlib.asynccontextmanager
    async def running(self, tls: ssl.SSLContext | None = None) -> AsyncIterator[Engine]:
        listening = await asyncio.start_server(self.serve, "127.0.0.1", 0, ssl=tls)
        self.port = listening.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            listening.close()
            for writer in self.writers:
                writer.close()


class Asked:
    """An `Asking` and what it told."""

    def __init__(self, engine: Engine, tls: ssl.SSLContext | None = None, server_name: str = "") -> None:
        self.timers = Timers()
        self._told: asyncio.Queue[bytes | None] = asyncio.Queue()
        pod = Pod(
            *("default/s p", "default", "p", "127.0.0.1", engine.port),
            tls=tls is not None,
            prefix=b"/engine",
            server_name=server_name,
        )
        self.asking = Asking(
            pod, tls or ssl.create_default_context(), self.timers, lambda _, page: self._told.put_nowait(page)
        )

    async def page(self) -> bytes | None:
        """Ask, and what comes of it."""
        self.asking.ask()
        return await self.told()

    async def told(self) -> bytes | None:
        async with asyncio.timeout(PATIENCE):
            page = await self._told.get()
        assert not self.asking.is_asked
        assert not self.timers.set
        assert self._told.empty()
        return page

    @property
    def has_told(self) -> bool:
        return not self._told.empty()


@contextlib.asynccontextmanager
async def asked(
    *connections: list[bytes], piece: int = 1 << 20, lingers: bool = True
) -> AsyncIterator[tuple[Asked, Engine]]:
    async with Engine(*connections, piece=piece, lingers=lingers).running() as engine:
        asks = Asked(engine)
        try:
            yield asks, engine
        finally:
            asks.asking.close()
            await asks.asking.closed()


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not holds():  # noqa: ASYNC110 - the peer of a socket sets no event here
            await asyncio.sleep(0)


async def test_one_connection_serves_page_after_page() -> None:
    async with asked([OK, CHUNKED, OK]) as (asks, engine):
        assert [await asks.page() for _ in range(3)] == [PAGE] * 3
        assert engine.accepted == 1
        assert set(engine.heads) == {
            b"GET /engine/metrics HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nAccept: */*\r\n\r\n" % engine.port
        }


@pytest.mark.parametrize("answer", [OK, CHUNKED, UNTIL_CLOSED, CLOSES])
async def test_a_page_may_come_a_byte_at_a_time(answer: bytes) -> None:
    async with asked([answer], piece=1, lingers=False) as (asks, _):
        assert await asks.page() == PAGE


async def test_an_engine_without_the_page_keeps_its_connection() -> None:
    async with asked([MISSING, OK]) as (asks, engine):
        assert [await asks.page(), await asks.page()] == [None, PAGE]
        assert engine.accepted == 1


@pytest.mark.parametrize("answer", [CLOSES, UNTIL_CLOSED])
async def test_a_connection_that_the_engine_does_not_keep_is_followed_by_another(answer: bytes) -> None:
    async with asked([answer], [answer], lingers=False) as (asks, engine):
        assert [await asks.page(), await asks.page()] == [PAGE, PAGE]
        assert engine.accepted == 2


async def test_a_connection_that_was_closed_in_between_is_opened_anew() -> None:
    async with asked([OK], [OK], lingers=False) as (asks, engine):
        assert await asks.page() == PAGE
        await until(lambda: asks.asking._connection is None)
        assert await asks.page() == PAGE
        assert engine.accepted == 2


async def test_a_connection_that_is_closed_as_it_is_used_again_is_nobodys_failure() -> None:
    async with asked([OK, Engine.HANG_UP], [OK]) as (asks, engine):
        assert [await asks.page(), await asks.page()] == [PAGE, PAGE]
        assert engine.accepted == 2
        assert len(engine.heads) == 3


async def test_a_new_connection_that_is_closed_without_an_answer_is_a_failure() -> None:
    async with asked([OK, Engine.HANG_UP], [Engine.HANG_UP], [OK]) as (asks, engine):
        assert [await asks.page() for _ in range(3)] == [PAGE, None, PAGE]
        assert engine.accepted == 3


@pytest.mark.parametrize(
    "answer",
    [
        OK[:-1],
        OK[:30],
        CHUNKED[:-5],
        b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n" + OK,
        b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
        b"\x00",
    ],
)
@pytest.mark.parametrize("piece", [1, 1 << 20])
async def test_what_is_no_whole_answer_is_told_as_nothing_and_the_next_one_is_read(answer: bytes, piece: int) -> None:
    async with asked([answer], [OK], piece=piece, lingers=False) as (asks, _):
        assert [await asks.page(), await asks.page()] == [None, PAGE]


@pytest.mark.parametrize("more", [OK, MISSING, b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n"])
async def test_a_second_answer_to_one_ask_is_nobodys(more: bytes) -> None:
    async with asked([OK + more], [CHUNKED]) as (asks, engine):
        assert [await asks.page(), await asks.page()] == [PAGE, PAGE]
        assert engine.accepted == 2


async def test_an_answer_that_nobody_asked_for_closes_the_connection() -> None:
    async with asked([OK], [OK]) as (asks, engine):
        assert await asks.page() == PAGE
        engine.writers[0].write(MISSING)
        await until(lambda: asks.asking._connection is None)
        assert not asks.has_told
        assert await asks.page() == PAGE
        assert engine.accepted == 2


async def test_an_engine_that_never_answers_is_given_up_when_the_time_is_over() -> None:
    async with asked([], [OK]) as (asks, engine):
        asks.asking.ask()
        await until(lambda: engine.accepted == 1 and asks.asking._connection is not None)
        asks.timers.pass_()
        assert await asks.told() is None
        assert await asks.page() == PAGE


async def test_an_engine_that_nobody_reaches_is_given_up_when_the_time_is_over() -> None:
    asks = Asked(Engine())
    # The first step of connecting was not taken yet.
    asks.asking.ask()
    asks.timers.pass_()
    assert await asks.told() is None
    await asks.asking.closed()


@pytest.mark.parametrize("steps", range(6))
async def test_who_is_asked_again_at_once_is_answered_once(steps: int) -> None:
    """Connecting that was given up may end when the next one is under way."""
    async with asked([OK], [OK]) as (asks, _):
        asks.asking.ask()
        for _ in range(steps):
            await asyncio.sleep(0)
        if not asks.has_told:
            asks.timers.pass_()
        first = await asks.told()
        assert first in {None, PAGE}
        assert await asks.page() == PAGE
        assert not asks.has_told


@pytest.mark.parametrize("steps", range(6))
async def test_whoever_is_closed_while_it_asks_tells_nothing(steps: int) -> None:
    before = asyncio.all_tasks()
    async with asked([OK], lingers=False) as (asks, engine):
        asks.asking.ask()
        for _ in range(steps):
            await asyncio.sleep(0)
        told = asks.has_told
        asks.asking.close()
        await asks.asking.closed()
        await until(lambda: all(writer.is_closing() for writer in engine.writers))
        assert asks.has_told == told
        assert not asks.timers.set
        assert asks.asking._connection is None
    await until(lambda: asyncio.all_tasks() == before)


async def test_the_certificate_of_an_engine_that_speaks_tls_is_held_to_its_name() -> None:
    authority = trustme.CA()
    served = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("engine.example").configure_cert(served)
    trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority.configure_trust(trusting)
    async with Engine([OK, OK], [OK]).running(served) as engine:
        for name, expected in (("engine.example", PAGE), ("other.example", None)):
            asks = Asked(engine, trusting, name)
            assert await asks.page() == expected
            asks.asking.close()
            await asks.asking.closed()
