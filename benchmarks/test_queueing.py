"""What fairness costs a request that does not have to wait: its turn, from when it enters to its end.

As the journey calls it, with the defaults of the settings: output is reserved, and the engine says what it did. Run
with `pytest benchmarks --benchmark-enable`.
"""

import importlib
import random
import time
from collections.abc import Iterator
from typing import Any

import orjson
import pytest
import uvloop
from pytest_benchmark.fixture import BenchmarkFixture

from kthena_fast.core.ledger import Ledger
from kthena_fast.exchange.record import Exchange
from kthena_fast.queueing import gates
from kthena_fast.queueing.estimates import RecentAnswers
from kthena_fast.queueing.report import Report
from kthena_fast.queueing.tariff import Tariff
from kthena_fast.queueing.turns import Turns
from kthena_fast.routing.snapshot import Match
from kthena_fast.telemetry.registry import Registry
from kthena_fast.upstream.deadlines import Deadlines
from kthena_fast.wire import peek
from kthena_fast.wire.usage import Usage
from tests.routing import given
from tests.telemetry import records

ROUNDS = 100

SNAPSHOT = given.snapshot(given.route("r", given.to("s")), given.server("s", "10.0.0.1:8000"))


@pytest.fixture
def turns() -> Iterator[Turns]:
    loop = uvloop.new_event_loop()
    made = Turns(
        loop=loop,
        wall=time.time,
        draw=random.random,
        timers=Deadlines(loop),
        ledger=Ledger(300.0, 1000),
        window=300.0,
        policy="window",
        tariff=Tariff.of(1.0, 2.0),
        limit=gates.Adaptive(32),
        max_qps=None,
        queue_timeout=60.0,
        max_queue=10_000,
        max_queue_per_user=1_000,
        image_tokens=1_000,
        answers=RecentAnswers(10_000),
        report=Report(Registry(), 10),
    )
    made.on_snapshot(SNAPSHOT, ())
    yield made
    loop.close()


def answered(**facts: Any) -> Exchange:
    """A chat completion that was matched and, since turns do not look before they end, already answered."""
    exchange = records.exchange(model="m", user="ann", sent=True, input_tokens=100, **facts)
    exchange.body = orjson.dumps({"model": "m", "messages": [{"role": "user", "content": "a" * 400}]})
    exchange.peek = peek.peek(exchange.body)
    return exchange


def found(exchange: Exchange) -> Match:
    match = SNAPSHOT.match(exchange.model, exchange.path, exchange.headers)
    assert match is not None
    return match


def test_an_unqueued_turn_from_beginning_to_end(benchmark: BenchmarkFixture, turns: Turns) -> None:
    exchange = answered()
    match = found(exchange)
    usage = Usage(100, 34)
    now = time.monotonic()

    def rounds() -> None:
        for _ in range(ROUNDS):
            turn = turns.enter(exchange, match, now)
            turn.on_usage(usage)
            turn.end()

    benchmark(rounds)


def test_an_unqueued_turn_of_a_stream_with_ten_events(benchmark: BenchmarkFixture, turns: Turns) -> None:
    exchange = answered(streaming=True, events=10)
    match = found(exchange)
    usage = Usage(100, 34)
    now = time.monotonic()

    def rounds() -> None:
        for _ in range(ROUNDS):
            turn = turns.enter(exchange, match, now)
            for _ in range(10):
                turn.on_events(1)
            turn.on_usage(usage)
            turn.end()

    benchmark(rounds)


def test_learn_from_an_answer(benchmark: BenchmarkFixture, twin: str) -> None:
    ratios = importlib.import_module(f"kthena_fast.queueing._estimates_{twin}").Ratios()
    exchange = answered()
    exchange.output_tokens = 34

    def run() -> None:
        for _ in range(ROUNDS):
            ratios.learn(exchange)

    benchmark(run)


def test_estimate_a_prompt(benchmark: BenchmarkFixture, twin: str) -> None:
    ratios = importlib.import_module(f"kthena_fast.queueing._estimates_{twin}").Ratios()
    exchange = answered()

    def run() -> None:
        for _ in range(ROUNDS):
            ratios.input_tokens(exchange, 1_000)

    benchmark(run)
