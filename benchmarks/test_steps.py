"""What the small steps of a request cost: its head, whom it is of, where it goes, how long it may take.

Twins are compared; run with `pytest benchmarks --benchmark-enable`. A figure is for ROUNDS calls.
"""

import asyncio
import importlib
from collections.abc import Callable
from types import ModuleType

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.instructions import operations
from benchmarks.test_wire import EVENT, SMALL
from kthena_fast.wire import peek
from tests.routing import given
from tests.upstream.client import an_exchange

ROUNDS = 100

REQUEST_HEAD = operations.REQUEST.partition(b"\r\n\r\n")[0] + b"\r\n\r\n"
ANSWER_HEAD = operations.ANSWER.partition(b"\r\n\r\n")[0] + b"\r\n\r\n"


@pytest.fixture
def twin_of(twin: str) -> Callable[[str], ModuleType]:
    """`twin_of("wire/heads")`: the module of this twin."""

    def module(name: str) -> ModuleType:
        room, _, name = name.partition("/")
        return importlib.import_module(f"kthena_fast.{room}._{name}_{twin}")

    return module


def times(benchmark: BenchmarkFixture, call: Callable[[], object]) -> None:
    def run() -> None:
        for _ in range(ROUNDS):
            call()

    benchmark(run)


def test_read_the_head_of_a_request(benchmark: BenchmarkFixture, twin_of: Callable[[str], ModuleType]) -> None:
    heads = twin_of("wire/heads")
    assert heads.request(REQUEST_HEAD) is not None
    times(benchmark, lambda: heads.request(REQUEST_HEAD))


def test_read_the_head_of_an_answer(benchmark: BenchmarkFixture, twin_of: Callable[[str], ModuleType]) -> None:
    heads = twin_of("wire/heads")
    assert heads.response(ANSWER_HEAD) is not None
    times(benchmark, lambda: heads.response(ANSWER_HEAD))


def test_judge_a_target_and_a_host(benchmark: BenchmarkFixture, twin_of: Callable[[str], ModuleType]) -> None:
    targets = twin_of("wire/targets")

    def judge() -> None:
        assert not targets.problem(b"/v1/chat/completions", "/v1/chat/completions")
        assert targets.valid_host(b"gateway.example:8080")

    times(benchmark, judge)


def test_walk_a_body(benchmark: BenchmarkFixture, twin_of: Callable[[str], ModuleType]) -> None:
    walk = twin_of("wire/peek_walk")
    assert walk.walk(walk.Peek(), SMALL)
    times(benchmark, lambda: walk.walk(walk.Peek(), SMALL))


def test_pass_a_whole_event(benchmark: BenchmarkFixture, twin_of: Callable[[str], ModuleType]) -> None:
    scanner = twin_of("wire/sse").Scanner(False)
    assert scanner.passes(EVENT, 0, len(EVENT))
    times(benchmark, lambda: scanner.passes(EVENT, 0, len(EVENT)))


def test_whom_a_request_is_of(benchmark: BenchmarkFixture, twin_of: Callable[[str], ModuleType]) -> None:
    identifier = twin_of("auth/identity").Identifier(("header:x-user", "body:user", "anonymous"))
    exchange = an_exchange()
    exchange.peek = peek.peek(SMALL)
    assert identifier.of(exchange) == "ann"
    times(benchmark, lambda: identifier.of(exchange))


@pytest.mark.parametrize("routes", [1, 10_000])
def test_match_a_model(benchmark: BenchmarkFixture, twin_of: Callable[[str], ModuleType], routes: int) -> None:
    made = given.snapshot(
        *(given.route(f"r{number}", given.to("s"), model=f"m{number}") for number in range(routes)),
        given.server("s", "10.0.0.1:8000"),
    )
    snapshot = twin_of("routing/snapshot").Snapshot(
        objects=made.objects,
        table=made.table,
        servers=made.servers,
        pods=made.pods,
        rejected=made.rejected,
        unsupported=made.unsupported,
    )
    model = f"m{routes - 1}"
    assert snapshot.match(model, "/v1/chat/completions", []) is not None
    times(benchmark, lambda: snapshot.match(model, "/v1/chat/completions", []))


def test_set_a_deadline_and_give_it_up(benchmark: BenchmarkFixture, twin_of: Callable[[str], ModuleType]) -> None:
    with asyncio.Runner() as runner:
        deadlines = twin_of("upstream/deadlines").Deadlines(runner.get_loop())
        times(benchmark, lambda: deadlines.cancel(deadlines.add(30.0, ROUNDS.bit_length)))
        deadlines.close()


def test_count_a_body_against_the_budget(benchmark: BenchmarkFixture, twin_of: Callable[[str], ModuleType]) -> None:
    budget = twin_of("gateway/bodies").Budget(1_000_000)

    def count() -> None:
        budget.hold(312)
        budget.release(312)

    times(benchmark, count)
