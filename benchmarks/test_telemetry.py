"""What it costs to watch a request: values, the metrics of one request, its line in the log.

Twins are compared where there are two; run with `pytest benchmarks --benchmark-enable`.
"""

import importlib
from collections.abc import Iterator
from types import ModuleType

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from kthena_fast.exchange.record import Exchange
from kthena_fast.telemetry import access_line, metrics
from kthena_fast.telemetry.registry import Registry
from kthena_fast.telemetry.requests import RequestMetrics
from kthena_fast.telemetry.writer import Writer
from tests.telemetry.records import BEGAN, exchange

ROUNDS = 100


@pytest.fixture
def values(twin: str) -> ModuleType:
    return importlib.import_module(f"kthena_fast.telemetry._values_{twin}")


@pytest.fixture
def served() -> Exchange:
    return exchange(streaming=True, user="ann")


def test_add(benchmark: BenchmarkFixture, values: ModuleType) -> None:
    value = values.Value()

    def run() -> None:
        for _ in range(ROUNDS):
            value.add(1.0)

    benchmark(run)


def test_observe(benchmark: BenchmarkFixture, values: ModuleType) -> None:
    histogram = values.Histogram(values.bounds_of(metrics.REQUEST_BUCKETS))

    def run() -> None:
        for _ in range(ROUNDS):
            histogram.observe(0.3)

    benchmark(run)


def test_the_metrics_of_one_request(benchmark: BenchmarkFixture, served: Exchange) -> None:
    requests = RequestMetrics(Registry(), str)
    requests.retain({"chat"}, {"prod/chat"}, {"prod/chat-7b"})

    def run() -> None:
        for _ in range(ROUNDS):
            meter = requests.begin(served)
            meter.parsed()
            meter.attempt_began()
            meter.attempt_ended()
            meter.settle(BEGAN + 1)

    benchmark(run)


def test_a_line_of_text(benchmark: BenchmarkFixture, served: Exchange) -> None:
    def run() -> None:
        for _ in range(ROUNDS):
            access_line.text(served, 0.0)

    benchmark(run)


def test_a_line_of_json(benchmark: BenchmarkFixture, served: Exchange) -> None:
    def run() -> None:
        for _ in range(ROUNDS):
            access_line.as_json(served, 0.0)

    benchmark(run)


@pytest.fixture
def log() -> Iterator[Writer]:
    writer = Writer("/dev/null")
    yield writer
    writer.close()


def test_handing_a_line_to_the_writer(benchmark: BenchmarkFixture, served: Exchange, log: Writer) -> None:
    line = access_line.text(served, 0.0)

    def run() -> None:
        for _ in range(ROUNDS):
            log.write(line)

    benchmark(run)


def test_a_scrape_of_a_thousand_models(benchmark: BenchmarkFixture) -> None:
    registry = Registry()
    models = [f"model-{number}" for number in range(1000)]
    requests = RequestMetrics(registry, str)
    requests.retain(models, {"prod/chat"}, {"prod/chat-7b"})
    for model in models:
        requests.observe_end(exchange(model=model), 0.0)
    benchmark(registry.render)
