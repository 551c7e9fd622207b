from __future__ import annotations

import asyncio
import contextlib
import gc
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kthena_fast.transport import _sockets_py, _stream_py
from kthena_fast.transport._calls import MOST_READ
from tests.transport.ends import Ours, Peer, Told, a_pair, connected, turns, until


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


async def listening(answer: bytes = b"") -> asyncio.Server:
    async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(answer)
        writer.close()

    return await asyncio.start_server(serve, "127.0.0.1", 0)


# Connecting


async def test_it_connects_to_a_name(ours: Ours) -> None:
    server = await listening(b"hello")
    told = Told()
    transport = await ours.sockets.connect(lambda: told, "localhost", server.sockets[0].getsockname()[1])
    assert told.transport is transport
    await told.until_lost()
    assert told.data == b"hello"
    server.close()


@pytest.mark.parametrize(("host", "problem"), [("127.0.0.1", ConnectionRefusedError), ("nobody.invalid", OSError)])
async def test_a_connection_that_is_not_to_be_had_is_an_os_error(
    ours: Ours, host: str, problem: type[Exception]
) -> None:
    with pytest.raises(problem):
        await ours.sockets.connect(Told, host, 1)


@contextlib.contextmanager
def silent() -> Iterator[tuple[str, int]]:
    """An address that answers nobody: its backlog is full."""
    with contextlib.ExitStack() as stack:
        full = stack.enter_context(socket.socket())
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for _ in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(full.getsockname())
        yield full.getsockname()


async def test_giving_up_while_it_connects_leaves_nothing_open(ours: Ours) -> None:
    with silent() as address:
        before = descriptors()
        connecting = asyncio.create_task(ours.sockets.connect(Told, *address))
        await until(lambda: descriptors() > before)
        await turns()
        connecting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await connecting
        # The loop gives a descriptor back when it has turned.
        await until(lambda: descriptors() == before)


async def test_an_address_that_answers_nobody_holds_up_no_other(ours: Ours, monkeypatch: pytest.MonkeyPatch) -> None:
    server = await listening(b"hello")
    with silent() as address:
        loop = asyncio.get_running_loop()
        found = [address, server.sockets[0].getsockname()]

        async def resolve(host: str, port: int, **_: object) -> list[Any]:
            # The loop asks this for each address, too.
            addresses = found if host == "two.example" else [(host, port)]
            return [(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", one) for one in addresses]

        monkeypatch.setattr(loop, "getaddrinfo", resolve)
        told = Told()
        await ours.sockets.connect(lambda: told, "two.example", 80)
        await told.until_lost()
        assert told.data == b"hello"
    server.close()


async def test_a_factory_that_fails_leaves_nothing_open(ours: Ours) -> None:
    opened, theirs = a_pair()
    with pytest.raises(ZeroDivisionError):
        ours.sockets.adopt(opened, lambda: 1 // 0)
    assert opened.fileno() < 0
    assert len(ours.sockets) == 0
    theirs.close()


# Many at once


async def test_so_many_are_served_in_one_turn_and_no_more(ours: Ours) -> None:
    most = _sockets_py.MOST_EVENTS
    told = [Told() for _ in range(most + 40)]
    peers = []
    for one in told:
        opened, theirs = a_pair()
        ours.sockets.adopt(opened, lambda one=one: one)
        peers.append(Peer(theirs))
    await turns()
    for peer in peers:
        peer.socket.send(b"x")
    served: list[int] = []
    while len(served) < 20 and sum(served) < len(told):
        before = sum(bool(one.data) for one in told)
        await asyncio.sleep(0)
        served.append(sum(bool(one.data) for one in told) - before)
    assert max(served) <= most
    assert sum(served) == len(told)
    for peer in peers:
        peer.socket.close()
    for one in told:
        await one.until_lost()


async def test_so_many_that_wait_in_line_are_served_in_one_turn_and_no_more(ours: Ours) -> None:
    most = _sockets_py.MOST_EVENTS
    told = [Told() for _ in range(2 * most + 40)]
    peers = []
    for one in told:
        opened, theirs = a_pair()
        ours.sockets.adopt(opened, lambda one=one: one).pause_reading()
        theirs.send(b"x")
        peers.append(theirs)
    await turns(10)
    for one in told:
        one.transport.resume_reading()
    served: list[int] = []
    while len(served) < 20 and sum(served) < len(told):
        before = sum(bool(one.data) for one in told)
        await asyncio.sleep(0)
        served.append(sum(bool(one.data) for one in told) - before)
    assert [count for count in served if count] == [most, most, 40]
    for theirs in peers:
        theirs.close()
    for one in told:
        await one.until_lost()


async def test_one_that_floods_lets_others_have_their_turn(ours: Ours) -> None:
    flood = bytes(4 * _stream_py.READS_AT_ONCE * MOST_READ)
    async with connected(ours) as (flooded, transport, peer), connected(ours) as (told, _, other):
        transport.pause_reading()
        peer.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, len(flood))
        sent = 0
        for _ in range(50):
            try:
                sent += peer.socket.send(flood)
            except BlockingIOError:
                break
        other.socket.send(b"me, too")
        transport.resume_reading()
        largest = 0
        while len(flooded.data) < sent:
            before = len(flooded.data)
            await asyncio.sleep(0)
            largest = max(largest, len(flooded.data) - before)
        # Of its own turn and of an edge that came meanwhile.
        assert 0 < largest <= 2 * _stream_py.READS_AT_ONCE * MOST_READ
        assert told.data == b"me, too"


async def test_one_that_is_paused_and_resumed_again_and_again_has_no_more_turns(ours: Ours) -> None:
    flood = bytes(4 * _stream_py.READS_AT_ONCE * MOST_READ)
    async with connected(ours) as (flooded, transport, peer):
        transport.pause_reading()
        peer.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, len(flood))
        sent = peer.socket.send(flood)
        await turns()
        for _ in range(50):
            transport.resume_reading()
            transport.pause_reading()
        transport.resume_reading()
        largest = 0
        while len(flooded.data) < sent:
            before = len(flooded.data)
            await asyncio.sleep(0)
            largest = max(largest, len(flooded.data) - before)
        assert 0 < largest <= 2 * _stream_py.READS_AT_ONCE * MOST_READ


async def test_one_that_another_one_ends_is_told_nothing_more(ours: Ours) -> None:
    async with connected(ours) as (first, _, one), connected(ours) as (second, _, two):
        calls = []

        def end_the_other(me: Told, other: Told) -> Any:
            def receive(_: bytes) -> None:
                calls.append(me)
                other.transport.abort()

            return receive

        for me, other in ((first, second), (second, first)):
            me.data_received = end_the_other(me, other)  # type: ignore[method-assign]
            me.transport.set_protocol(me)
        await turns()
        one.socket.send(b"x")
        two.socket.send(b"x")
        await turns()
        assert len(calls) == 1
        calls[0].transport.abort()


async def test_the_number_of_one_that_ends_is_nobodys_before_it_was_told(ours: Ours) -> None:
    async with connected(ours) as (told, transport, _):
        number = transport.get_extra_info("socket").fileno()
        transport.abort()
        with socket.socket() as another:
            assert another.fileno() != number
        await told.until_lost()


# The end


async def test_closing_cuts_off_what_is_open(ours: Ours) -> None:
    opened, theirs = a_pair()
    told = Told()
    transport = ours.sockets.adopt(opened, lambda: told)
    ours.sockets.close()
    ours.sockets.close()
    await told.until_lost()
    assert told.failure is None
    assert transport.is_closing()
    assert theirs.recv(1) == b""
    theirs.close()


async def test_what_ended_is_held_by_nothing(ours: Ours) -> None:
    async def connect_and_end() -> None:
        async with connected(ours) as (told, _, peer):
            await peer.send(b"x")
            await told.until_called()

    before = descriptors()
    for _ in range(3):
        await connect_and_end()
    assert descriptors() == before
    await turns()
    gc.collect()
    assert not [one for one in gc.get_objects() if type(one).__name__ == "Stream"]
