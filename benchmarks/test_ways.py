"""What the ways in and upstream cost, without sockets: the lane reads a request, the relay passes an answer on.

Run with `pytest benchmarks --benchmark-enable`. A figure is for ROUNDS requests, chunks or answers.
"""

import asyncio
import importlib
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.instructions import operations
from kthena_fast.exchange.downstream import Downstream, Flow, Framing
from kthena_fast.exchange.record import Exchange
from tests.lane.fakes import Noting, Stage
from tests.upstream.attempts import DONE, Tally
from tests.upstream.client import an_exchange

ROUNDS = 100


@pytest.fixture
def lanes(twin: str) -> ModuleType:
    return importlib.import_module(f"kthena_fast.gateway._lane_{twin}")


@pytest.fixture
def relays(twin: str) -> ModuleType:
    return importlib.import_module(f"kthena_fast.upstream._relay_{twin}")


class _Hearing(Noting):
    """Answers next to nothing."""

    def serve_at_once(self, exchange: Exchange, downstream: Downstream, done: Callable[[Exchange], object]) -> None:
        downstream.start(204, b"", Framing.LENGTH)
        downstream.finish()
        done(exchange)

    def begin(self, exchange: Exchange, downstream: Downstream, done: Callable[[Exchange], object]) -> Any:
        return _Begun(lambda: self.serve_at_once(exchange, downstream, done))


class _Begun:
    """Answers once the body is there."""

    def __init__(self, answer: Callable[[], None]) -> None:
        self._answer = answer

    def on_body(self, _: bytes) -> None:
        self._answer()


class _Taking:
    """A client that takes what it gets."""

    accepts_chunked = wants_body = True
    started = False

    def end_connection(self) -> None: ...

    def start(self, status: int, lines: bytes, framing: Framing, first: bytes = b"") -> None: ...

    def write(self, data: bytes) -> None: ...

    def attach(self, flow: Flow | None) -> None: ...

    def finish(self) -> None: ...

    def abort(self) -> None: ...

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...

    def on_stream(self) -> None: ...


def _lane(benchmark: BenchmarkFixture, lanes: ModuleType, *pieces: bytes) -> None:
    async def made() -> Stage:
        return Stage(lanes, _Hearing())

    async def rounds(stage: Stage) -> None:
        for _ in range(ROUNDS):
            stage.transport.written = b""
            for piece in pieces:
                stage.lane.data_received(piece)
            await asyncio.sleep(0)
        assert stage.transport.written.startswith(b"HTTP/1.1 204")

    with asyncio.Runner() as runner:
        stage = runner.run(made())
        benchmark(lambda: runner.run(rounds(stage)))
        stage.leave()


def test_parse_a_request(benchmark: BenchmarkFixture, lanes: ModuleType) -> None:
    _lane(benchmark, lanes, operations.REQUEST)


def test_parse_a_request_whose_body_comes_behind_its_head(benchmark: BenchmarkFixture, lanes: ModuleType) -> None:
    end = operations.REQUEST.index(b"\r\n\r\n") + 4
    _lane(benchmark, lanes, operations.REQUEST[:end], operations.REQUEST[end:])


def test_relay_a_chunk(benchmark: BenchmarkFixture, relays: ModuleType) -> None:
    with asyncio.Runner() as runner:
        client = _Taking()
        relay = relays.Relay(runner.get_loop(), an_exchange(), client, client, False, False, Tally(), lambda _: None)
        relay.receive(operations.STREAM_HEAD)

        def run() -> None:
            for _ in range(ROUNDS):
                relay.receive(operations.CHUNK)

        benchmark(run)
        assert not relay.is_over


def test_relay_an_answer(benchmark: BenchmarkFixture, relays: ModuleType) -> None:
    with asyncio.Runner() as runner:
        loop = runner.get_loop()
        client = _Taking()

        def run() -> None:
            for _ in range(ROUNDS):
                relay = relays.Relay(loop, an_exchange(), client, client, False, False, Tally(), lambda _: None)
                relay.receive(operations.ANSWER)
                assert relay.is_over

        benchmark(run)


def test_relay_the_end_of_a_stream(benchmark: BenchmarkFixture, relays: ModuleType) -> None:
    end = operations.STREAM_HEAD + operations.CHUNK + b"%x\r\n%b\r\n0\r\n\r\n" % (len(DONE), DONE)
    with asyncio.Runner() as runner:
        loop = runner.get_loop()
        client = _Taking()

        def run() -> None:
            for _ in range(ROUNDS):
                relay = relays.Relay(loop, an_exchange(), client, client, False, False, Tally(), lambda _: None)
                relay.receive(end)
                assert relay.is_over

        benchmark(run)
