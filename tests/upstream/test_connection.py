"""A connection on a transport that only remembers."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any, cast

from kthena_fast.transport.sockets import Sockets
from kthena_fast.upstream import connection as connections
from kthena_fast.upstream.attempt import Outcome
from kthena_fast.upstream.relay import Relay
from tests.transport.ends import a_pair, turns, until
from tests.upstream.client import Client, an_exchange

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"


class Transport:
    def __init__(self) -> None:
        self.calls: list[Any] = []
        self.unsent = 0
        self.closing = False

    def write(self, data: bytes) -> None:
        self.calls.append(data)

    def writelines(self, pieces: Iterable[bytes]) -> None:
        self.calls.append(tuple(pieces))

    def get_write_buffer_size(self) -> int:
        return self.unsent

    def is_closing(self) -> bool:
        return self.closing

    def abort(self) -> None:
        self.closing = True
        self.calls.append("abort")

    def pause_reading(self) -> None:
        assert not self.closing
        self.calls.append("pause")

    def resume_reading(self) -> None:
        assert not self.closing
        self.calls.append("resume")


class Owner:
    def __init__(self) -> None:
        self.forgotten = 0

    def forget(self, connection: connections.Connection) -> None:
        self.forgotten += 1


class Line:
    """A connection that is open, with all its surroundings."""

    def __init__(self) -> None:
        self.transport = Transport()
        self.owner = Owner()
        self.connection = connections.Connection(self.owner)
        self.connection.connection_made(cast("asyncio.Transport", self.transport))

    def ask(self, body: bytes = b"", client: Client | None = None) -> Relay:
        loop = asyncio.get_running_loop()
        relay = Relay(loop, an_exchange(), client or Client(), self.connection, False, False, None, lambda _: None)
        self.connection.send(b"head", body, relay)
        return relay


async def test_a_small_request_is_one_write_and_a_large_one_is_not_copied() -> None:
    line = Line()
    line.ask(b"body")
    large = bytes(connections.ONE_BUFFER + 1)
    line.ask(large)
    assert line.transport.calls[0] == b"headbody"
    head, body = line.transport.calls[1]
    assert head == b"head"
    assert body is large


async def test_it_is_reusable_only_after_a_whole_answer_to_a_whole_request() -> None:
    line = Line()
    seen = [line.connection.is_reusable()]
    relay = line.ask()
    seen.append(line.connection.is_reusable())
    line.connection.data_received(OK)
    assert relay.outcome is Outcome.DONE
    seen.append(line.connection.is_reusable())
    line.transport.unsent = 1
    seen.append(line.connection.is_reusable())
    line.transport.unsent = 0
    line.transport.closing = True
    seen.append(line.connection.is_reusable())
    assert seen == [False, False, True, False, False]


async def test_bytes_between_the_end_and_the_giving_back_spend_it() -> None:
    line = Line()
    line.ask()
    line.connection.data_received(OK)
    line.connection.data_received(b"x")
    assert not line.connection.is_reusable()


async def test_a_slow_client_pauses_it_once_and_never_after_its_end() -> None:
    line = Line()
    line.connection.pause_reading()
    line.connection.pause_reading()
    line.connection.resume_reading()
    line.connection.resume_reading()
    assert line.transport.calls == ["pause", "resume"]
    line.connection.pause_reading()
    line.transport.closing = True
    line.connection.resume_reading()
    line.connection.pause_reading()
    line.connection.connection_lost(None)
    line.connection.pause_reading()
    line.connection.resume_reading()
    assert line.transport.calls == ["pause", "resume", "pause"]


async def test_its_owner_hears_of_its_end_once() -> None:
    for end in ("abort", "lost"):
        line = Line()
        line.ask()
        if end == "abort":
            line.connection.abort()
        line.connection.connection_lost(ConnectionResetError(104, "Connection reset by peer"))
        line.connection.abort()
        assert line.owner.forgotten == 1
        assert line.transport.calls.count("abort") == (end == "abort")


async def test_an_abort_in_the_middle_of_an_answer_ends_the_relay_and_not_the_client() -> None:
    line = Line()
    client = Client()
    relay = line.ask(client=client)
    line.connection.data_received(OK[:-1])
    line.connection.pause_reading()
    line.connection.abort()
    assert relay.is_over
    assert client.flow is None
    assert client.end == "open"


async def test_an_engine_that_closes_says_why_to_the_relay() -> None:
    for failure, why in (
        (None, "the engine closed the connection"),
        (ConnectionResetError(104, "Connection reset by peer"), "connection reset by peer"),
        (ValueError("secret"), "ValueError"),
    ):
        line = Line()
        relay = line.ask()
        line.connection.connection_lost(failure)
        assert (relay.outcome, relay.detail) == (Outcome.LOST, why)


async def test_waiting_for_the_engine_to_read_holds_nothing_back() -> None:
    line = Line()
    line.ask(bytes(1_000_000))
    line.connection.pause_writing()
    line.connection.resume_writing()
    line.connection.data_received(OK)
    assert line.connection.is_reusable()


async def test_the_end_of_an_idle_connection_is_no_event() -> None:
    line = Line()
    line.ask()
    line.connection.data_received(OK)
    line.connection.rest(1.0)
    line.connection.eof_received()
    line.connection.connection_lost(None)
    assert line.owner.forgotten == 1


async def test_only_a_stream_that_has_begun_may_wait() -> None:
    sockets = Sockets(asyncio.get_running_loop())
    ours, engine = a_pair()
    connection = connections.Connection(Owner())
    stream = sockets.adopt(ours, lambda: connection)
    relay = Relay(asyncio.get_running_loop(), an_exchange(), Client(), connection, False, False, None, lambda _: None)
    connection.send(b"head", b"", relay)
    engine.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n")
    await turns()
    seen = [stream.is_patient]
    engine.sendall(b"Transfer-Encoding: chunked\r\n\r\n8\r\ndata: 1\n\r\n")
    await until(lambda: stream.is_patient)
    engine.sendall(b"1\r\n\n\r\n0\r\n\r\n")
    await until(lambda: relay.is_over)
    connection.rest(0.0)
    seen.append(stream.is_patient)
    relay = Relay(asyncio.get_running_loop(), an_exchange(), Client(), connection, False, False, None, lambda _: None)
    connection.send(b"head", b"", relay)
    engine.sendall(OK[:-1])
    await turns()
    seen.append(stream.is_patient)
    assert seen == [False, False, False]
    connection.abort()
    await turns()
    sockets.close()
    engine.close()
