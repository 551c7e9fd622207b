"""The compiled halves of the load harness, each against a real peer: the paced engine and the client on a timetable."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from benchmarks.load import bodies, engines, installing, loads, processes
from tests.gateway.processes import until

PATIENCE = 20.0

Answer = Callable[[socket.socket], None]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("load")


@pytest.fixture
def paced(folder: Path) -> Iterator[engines.Paced]:
    with engines.paced(folder) as running:
        yield running


async def connect(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    async with asyncio.timeout(PATIENCE):
        return await asyncio.open_connection("127.0.0.1", port)


async def read_head(reader: asyncio.StreamReader) -> bytes:
    async with asyncio.timeout(PATIENCE):
        return await reader.readuntil(b"\r\n\r\n")


async def read_chunk(reader: asyncio.StreamReader) -> bytes:
    async with asyncio.timeout(PATIENCE):
        size = int(await reader.readline(), 16)
        return (await reader.readexactly(size + 2))[:-2]


async def read_whole(reader: asyncio.StreamReader) -> bytes:
    head = await read_head(reader)
    length = re.search(rb"content-length: (\d+)", head, re.IGNORECASE)
    assert length is not None, head
    async with asyncio.timeout(PATIENCE):
        return await reader.readexactly(int(length[1]))


async def stats(paced: engines.Paced) -> dict[str, int]:
    return await asyncio.to_thread(paced.stats)


async def nothing_is_open(paced: engines.Paced) -> bool:
    return (await stats(paced))["open"] == 0


# The engine


def test_an_answer_and_an_event_have_the_size_they_are_said_to_have() -> None:
    assert len(bodies.answer()) == bodies.ANSWER_BYTES
    assert len(bodies.event()) == bodies.EVENT_BYTES
    assert json.loads(bodies.event().removeprefix("data: "))["choices"][0]["delta"]["content"]
    assert json.loads(bodies.answer())["usage"]["total_tokens"] == 46


async def test_each_event_is_a_chunk_of_its_own_and_none_comes_early(paced: engines.Paced) -> None:
    reader, writer = await connect(paced.port)
    began = time.monotonic()
    writer.write(bodies.as_bytes(bodies.streamed_chat()))
    assert b"text/event-stream" in await read_head(reader)
    for number in range(bodies.EVENTS):
        assert (await read_chunk(reader)).decode() == bodies.event()
        # The first one may come at once.
        assert time.monotonic() - began >= number * bodies.PACE_MS / 1000
    assert (await read_chunk(reader)).decode() == bodies.tail()
    assert await read_chunk(reader) == b""
    assert (await stats(paced))["events"] == bodies.EVENTS
    writer.close()


async def test_a_connection_serves_one_request_after_the_other(paced: engines.Paced) -> None:
    reader, writer = await connect(paced.port)
    for _ in range(3):
        writer.write(bodies.as_bytes(bodies.chat()))
        assert (await read_whole(reader)).decode() == bodies.answer()
    writer.close()


async def test_a_long_prompt_is_read_to_its_end_before_the_answer(paced: engines.Paced) -> None:
    reader, writer = await connect(paced.port)
    request = bodies.as_bytes(bodies.prompt_of(1_000_000))
    writer.write(request[:-1])
    async with asyncio.timeout(PATIENCE):
        await writer.drain()
    # It has nothing to say yet, and asking it something else shows that it has had time to.
    await stats(paced)
    writer.write(request[-1:])
    assert (await read_whole(reader)).decode() == bodies.answer()
    writer.close()


async def test_the_wish_to_stream_is_seen_wherever_the_body_is_cut(paced: engines.Paced) -> None:
    request = bodies.as_bytes(bodies.chat(stream=True))
    place = request.index(b'"stream"')
    for cut in range(place - 1, place + 15):
        reader, writer = await connect(paced.port)
        writer.write(request[:cut])
        # By its answer the engine has read what was sent before.
        await stats(paced)
        writer.write(request[cut:])
        assert b"text/event-stream" in await read_head(reader)
        writer.close()


async def test_a_client_that_leaves_ends_its_stream(paced: engines.Paced) -> None:
    reader, writer = await connect(paced.port)
    writer.write(bodies.as_bytes(bodies.streamed_chat()))
    await read_chunk_after_head(reader)
    writer.close()
    await until(lambda: nothing_is_open(paced))


async def read_chunk_after_head(reader: asyncio.StreamReader) -> None:
    await read_head(reader)
    await read_chunk(reader)


def test_a_reader_that_does_not_read_is_cut_off_and_the_others_are_served(folder: Path) -> None:
    with (
        engines.paced(folder, events=1_000_000) as endless,
        socket.create_connection(("127.0.0.1", endless.port)) as lazy,
    ):
        with endless.slower(0):
            lazy.sendall(bodies.as_bytes(bodies.streamed_chat()))
            # Asked once more only when the one before was answered.
            assert lazy.recv(1)
            assert endless.stats()["open"] == 0
        assert 0 < endless.stats()["events"] < 1_000_000


async def test_a_second_request_before_the_answer_to_the_first_ends_the_connection(paced: engines.Paced) -> None:
    reader, writer = await connect(paced.port)
    writer.write(2 * bodies.as_bytes(bodies.streamed_chat()))
    async with asyncio.timeout(PATIENCE):
        with contextlib.suppress(ConnectionError):
            await reader.read()
    assert await nothing_is_open(paced)
    writer.close()


# The client


@contextlib.contextmanager
def answering(answer: Answer) -> Iterator[int]:
    """The port of a server that has each request answered, every connection in a thread of its own."""
    connections: list[socket.socket] = []
    threads: list[threading.Thread] = []

    def serve(connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            while connection.recv(len(REQUEST), socket.MSG_WAITALL) == REQUEST:
                answer(connection)

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                connections.append(listener.accept()[0])
                threads.append(threading.Thread(target=serve, args=connections[-1:]))
                threads[-1].start()

    with socket.create_server(("127.0.0.1", 0), backlog=128) as listener:
        accepting = threading.Thread(target=accept)
        accepting.start()
        try:
            yield listener.getsockname()[1]
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            accepting.join()
            for connection in connections:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
            for thread in threads:
                thread.join()


REQUEST = bodies.as_bytes(bodies.chat())
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;a=b\r\n{}\r\n0\r\nTrailer: x\r\n\r\n"


def open_loop(folder: Path, port: int, rate: float, seconds: float) -> loads.Latency:
    return loads.Load(folder).open_loop(port, bodies.chat(), rate, 0.0, seconds)


@pytest.mark.parametrize("answer", [OK, CHUNKED], ids=["length", "chunked"])
def test_every_request_is_answered_whatever_the_framing(folder: Path, answer: bytes) -> None:
    asked: list[socket.socket] = []

    def at_once(connection: socket.socket) -> None:
        asked.append(connection)
        connection.sendall(answer)

    with answering(at_once) as port:
        latency = open_loop(folder, port, 500, 0.4)
    assert len(asked) == 200
    assert 0 < latency.p50 <= latency.p99


def test_an_answer_that_comes_byte_by_byte_is_understood(folder: Path) -> None:
    def slowly(connection: socket.socket) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in CHUNKED:
            connection.sendall(bytes([byte]))

    with answering(slowly) as port:
        assert open_loop(folder, port, 50, 0.2).p50 > 0


def test_a_stall_is_charged_for_every_request_that_was_due_meanwhile(folder: Path) -> None:
    """A closed loop would have sent 64 requests, and called 64 of 800 slow (no coordinated omission)."""
    is_open = threading.Event()
    opening = threading.Timer(0.5, is_open.set)
    begun = threading.Lock()

    def stalled(connection: socket.socket) -> None:
        if begun.acquire(blocking=False):
            opening.start()
        is_open.wait()
        connection.sendall(OK)

    with answering(stalled) as port:
        latency = open_loop(folder, port, 1_000, 0.8)
    # Half of what was due in the first 0.5 s, 250 of 800 requests, was due more than 0.25 s before the first answer.
    assert latency.p99 >= 250_000
    assert not latency.is_sustained


def test_a_server_that_never_answers_is_not_waited_for_and_not_called_fast(folder: Path) -> None:
    with answering(lambda _: None) as port:
        assert not open_loop(folder, port, 100, 0.1).is_sustained


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
        OK + b"more",
    ],
    ids=["another_status", "no_framing", "no_size", "more_than_was_asked"],
)
def test_what_is_no_good_answer_fails(folder: Path, answer: bytes) -> None:
    with (
        answering(lambda connection: connection.sendall(answer)) as port,
        pytest.raises(loads.LoadFailed, match="failed"),
    ):
        open_loop(folder, port, 100, 0.1)


def test_a_connection_that_ends_within_an_answer_fails(folder: Path) -> None:
    def halfway(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n{}")
        connection.shutdown(socket.SHUT_RDWR)

    with answering(halfway) as port, pytest.raises(loads.LoadFailed, match="failed"):
        open_loop(folder, port, 100, 0.1)


def test_streams_are_counted_by_events_and_by_reads(folder: Path, paced: engines.Paced) -> None:
    load = loads.Load(folder)
    lasts = 2 * bodies.STREAM_SECONDS
    with load.streams(paced.port, 5, 0.1, lasts) as client:
        seen = loads.read_streams(client)
    assert 0 < seen.reads <= seen.events
    # All that were sent arrived, but for what was on its way when the client left; the tail holds two.
    assert 5 * bodies.EVENTS <= seen.events <= paced.stats()["events"] * 2


def test_a_program_that_is_not_given_what_it_needs_says_what_that_is(folder: Path) -> None:
    client = installing.compiled("client", folder)
    with pytest.raises(loads.LoadFailed, match="usage: client rate PORT"):
        loads.Load(folder).run([client, "rate"])


def test_what_runs_is_gone_behind_its_block_with_all_it_started(folder: Path) -> None:
    log = folder / "shell.log"
    command = ["sh", "-c", "sleep 1000 & echo started; wait"]
    with contextlib.suppress(KeyboardInterrupt), processes.running(command, processes.LOAD_CORE, log) as process:
        processes.wait_until_said(b"started", process, log)
        everyone = [process, *process.children(recursive=True)]
        raise KeyboardInterrupt
    assert len(everyone) > 1
    _, left = psutil.wait_procs(everyone, PATIENCE)
    assert left == []
