"""What is written while several connections are served is sent when all are; `sockets`, rule 4."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from kthena_fast.transport import _stream_py
from tests.conftest import CORES
from tests.transport.ends import Many, Told, twin


class Answering(Told):
    """Does what the test wants with each piece."""

    def __init__(self, answer: Callable[[Any, bytes], object]) -> None:
        super().__init__()
        self.answer = answer

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self.answer(self.transport, data)


class Served(Many):
    """Connections that answer, and what their peers have by now."""

    def __init__(self, module: Any) -> None:
        super().__init__(module.Sockets(asyncio.get_running_loop()))
        self.answer: Callable[[Any, bytes], object] = lambda transport, data: transport.write(data)
        self.arrived: list[list[bytes]] = []
        """What the peers had before each answer."""

    async def open(self, count: int) -> None:
        await self.open_each(count, lambda: Answering(self._on_piece))
        for peer in self.peers:
            peer.setblocking(False)

    def _on_piece(self, transport: Any, data: bytes) -> None:
        self.arrived.append(self.read())
        self.answer(transport, data)

    def read(self) -> list[bytes]:
        return [_waiting(peer) for peer in self.peers]

    def ask(self, data: bytes = b"x") -> None:
        """Have all of them answer, in one look."""
        for peer in self.peers:
            peer.send(data)
        self.sockets._on_ready()


def _waiting(peer: socket.socket) -> bytes:
    try:
        return peer.recv(1 << 20)
    except BlockingIOError:
        return b""


@pytest.fixture(params=CORES)
async def served(request: pytest.FixtureRequest) -> AsyncIterator[Served]:
    with twin(request.param) as module:
        made = Served(module)
        yield made
        await made.close()


async def test_they_are_sent_together_when_all_were_served(served: Served) -> None:
    await served.open(3)
    served.ask()
    assert served.arrived == [[b"", b"", b""]] * 3
    assert served.read() == [b"x", b"x", b"x"]


async def test_what_is_served_alone_is_sent_at_once(served: Served) -> None:
    await served.open(1)

    def answer(transport: Any, data: bytes) -> None:
        transport.write(data)
        assert transport.get_write_buffer_size() == 0

    served.answer = answer
    served.ask()
    assert served.read() == [b"x"]


async def test_what_is_written_between_looks_is_sent_at_once(served: Served) -> None:
    await served.open(2)
    served.ask()
    served.read()
    served.told[0].transport.write(b"later")
    assert served.read() == [b"later", b""]


async def test_no_more_than_so_many_wait_for_each_other(served: Served) -> None:
    most = _stream_py.MOST_GATHERED
    await served.open(most + 2)
    served.ask()
    sent = [sum(map(len, had)) for had in served.arrived]
    assert sent == [0] * most + [most, 0]
    assert sum(map(len, served.read())) == 2


async def test_large_pieces_are_sent_at_once(served: Served) -> None:
    await served.open(2)
    large = bytes(_stream_py.SMALL + 1)
    served.answer = lambda transport, _: transport.write(large)
    served.ask()
    assert [sum(map(len, had)) for had in served.arrived] == [0, len(large)]


async def test_nothing_waits_for_one_that_brings_much(served: Served) -> None:
    await served.open(3)
    served.answer = lambda transport, data: transport.write(data[:1])
    much = bytes(100_000)
    # Once it was seen to, also what was written before its turn goes first.
    for expected in ([0, 0, 2], [0, 1, 1]):
        served.arrived.clear()
        for peer, data in zip(served.peers, (b"x", much, b"x"), strict=True):
            peer.send(data)
        served.sockets._on_ready()
        arrived = [sum(map(len, had)) for had in served.arrived]
        assert [arrived[0], arrived[1], arrived[-1]] == expected
        served.read()


async def test_pieces_of_one_connection_stay_in_order(served: Served) -> None:
    await served.open(2)
    large = b"-" * (_stream_py.SMALL + 1)

    def answer(transport: Any, _: bytes) -> None:
        transport.write(b"one")
        transport.write(large)
        transport.write(b"two")
        assert transport.get_write_buffer_size() == len(large) + 6

    served.answer = answer
    served.ask()
    assert served.read() == [b"one" + large + b"two"] * 2
    assert [told.transport.get_write_buffer_size() for told in served.told] == [0, 0]


async def test_what_was_written_before_closing_arrives(served: Served) -> None:
    await served.open(2)

    def answer(transport: Any, _: bytes) -> None:
        transport.write(b"bye")
        transport.close()

    served.answer = answer
    served.ask()
    assert served.read() == [b"bye", b"bye"]
    for told in served.told:
        await told.until_lost()
        assert told.failure is None
    assert [peer.recv(1) for peer in served.peers] == [b"", b""]


async def test_what_was_written_before_the_end_of_writing_arrives_before_it(served: Served) -> None:
    await served.open(2)

    def answer(transport: Any, _: bytes) -> None:
        transport.write(b"last")
        transport.write_eof()

    served.answer = answer
    served.ask()
    assert served.read() == [b"last", b"last"]
    assert [peer.recv(1) for peer in served.peers] == [b"", b""]


async def test_aborting_loses_what_waits(served: Served) -> None:
    await served.open(2)

    def answer(transport: Any, _: bytes) -> None:
        transport.write(b"never")
        transport.abort()

    served.answer = answer
    served.ask()
    for told in served.told:
        await told.until_lost()
    assert served.read() == [b"", b""]


async def test_one_that_is_written_to_by_another_is_sent_once(served: Served) -> None:
    await served.open(3)
    served.answer = lambda _, data: served.told[0].transport.write(data)
    served.ask()
    assert served.read() == [b"xxx", b"", b""]


async def test_a_peer_that_has_gone_is_no_other_ones_affair(served: Served) -> None:
    await served.open(3)

    def answer(transport: Any, data: bytes) -> None:
        transport.write(data)
        if transport is served.told[0].transport:
            transport.get_extra_info("socket").shutdown(socket.SHUT_WR)

    served.answer = answer
    served.ask()
    assert served.read() == [b"", b"x", b"x"]
    await served.told[0].until_lost()
    assert isinstance(served.told[0].failure, BrokenPipeError)


async def test_a_fault_leaves_nothing_unsent(served: Served) -> None:
    await served.open(3)
    asyncio.get_running_loop().set_exception_handler(lambda *_: None)

    def answer(transport: Any, data: bytes) -> None:
        if transport is served.told[1].transport:
            raise ZeroDivisionError
        transport.write(data)

    served.answer = answer
    served.ask()
    assert served.read() == [b"x", b"", b"x"]


async def test_leaving_in_the_midst_of_a_look_leaves_nothing_unsent(served: Served) -> None:
    await served.open(3)

    def answer(transport: Any, data: bytes) -> None:
        transport.write(data)
        if transport is served.told[1].transport:
            raise KeyboardInterrupt

    served.answer = answer
    with pytest.raises(KeyboardInterrupt):
        served.ask()
    assert served.read()[:2] == [b"x", b"x"]
    served.told[0].transport.write(b"y")
    assert served.read()[0] == b"y"


async def test_leaving_in_the_midst_of_sending_leaves_the_others_to_be_sent(served: Served) -> None:
    await served.open(3)

    def leave() -> None:
        raise SystemExit

    for told in served.told:
        told.transport.set_write_buffer_limits(0)
    served.told[0].resume_writing = leave
    with pytest.raises(SystemExit):
        served.ask()
    assert served.read() == [b"x", b"", b""]
    served.told[0].resume_writing = lambda: None
    served.ask(b"y")
    assert served.read() == [b"y", b"xy", b"xy"]


async def test_a_protocol_that_wants_nothing_to_wait_is_told_of_it(served: Served) -> None:
    await served.open(2)
    for told in served.told:
        told.transport.set_write_buffer_limits(0)
    served.ask()
    assert [told.calls[-3:] for told in served.told] == [["data", "pause", "resume"]] * 2
