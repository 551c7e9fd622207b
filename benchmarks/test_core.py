"""What ledger and heap cost with one user; `python -m benchmarks.core` measures them with many.

Run with `pytest benchmarks --benchmark-enable`. A figure is for ROUNDS calls.
"""

import importlib
from types import ModuleType

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

ROUNDS = 100
NOW = 1_700_000_000.0


@pytest.fixture
def ledgers(twin: str) -> ModuleType:
    return importlib.import_module(f"kthena_fast.core._ledger_{twin}")


@pytest.fixture
def heaps(twin: str) -> ModuleType:
    return importlib.import_module(f"kthena_fast.core._heap_{twin}")


def test_charge(benchmark: BenchmarkFixture, ledgers: ModuleType) -> None:
    ledger = ledgers.Ledger(300.0, 1_000, seed=42)
    row = ledger.pin("model", "ann", NOW)

    def run() -> None:
        for _ in range(ROUNDS):
            ledger.charge(row, 200, NOW)

    benchmark(run)


def test_enter_pop_and_finish(benchmark: BenchmarkFixture, ledgers: ModuleType, heaps: ModuleType) -> None:
    line = heaps.Heap(ledgers.Ledger(300.0, 1_000, seed=42), "model", most=1_000)
    tickets = [heaps.Ticket() for _ in range(ROUNDS)]

    def run() -> None:
        for ticket in tickets:
            line.enter(ticket, "ann", 100, NOW)
            line.pop(NOW).finish(300, NOW)

    benchmark(run)
