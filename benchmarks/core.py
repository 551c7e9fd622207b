"""What the ledger and the heap cost: ``python -m benchmarks.core [--json]``, for both twins, each in its own process.

A figure means little without the machine, so ``calibration`` says what ``heapq.heapreplace`` costs on it; `RATIOS` are
multiples of that. Exit status: 2 when the compiled core is not the one that the package loads, 1 when the compiled
core misses a target, else 0.
"""

import argparse
import gc
import heapq
import importlib
import json
import multiprocessing
import random
import sys
import time
from collections.abc import Callable
from types import ModuleType
from typing import Any, Final

import psutil
from rich.console import Console
from rich.table import Table

from kthena_fast.core import heap

ROUNDS: Final = 100
TURNS: Final = 5
WINDOW: Final = 300.0
MILLION: Final = 1_000_000
SUFFIXES: Final = {"compiled": "c", "pure": "py"}

# Compiled: key -> multiple of heapreplace_1k_ns, or the figure itself.
RATIOS: Final = {"fair_cycle_1k_ns": 1.0, "fair_cycle_100k_ns": 4.0, "ledger_charge_ns": 0.1}
LIMITS: Final = {"ledger_turn_1m_ms": 10.0, "ledger_turn_1m_piece_ms": 1.0, "ledger_bytes_per_row": 480.0}


def name_of(number: int) -> str:
    """36 characters, as long as a UUID, and a new object at each call."""
    return f"user-{number:031d}"


def twin(kind: str) -> tuple[ModuleType, ModuleType]:
    suffix = SUFFIXES[kind]
    return tuple(importlib.import_module(f"kthena_fast.core._{name}_{suffix}") for name in ("ledger", "heap"))  # type: ignore[return-value]


def nothing() -> None:
    """What a measurement prepares when it needs nothing."""


def nanoseconds(run: Callable[[], None], prepare: Callable[[], None], repeats: int) -> float:
    """The lowest decile of ``repeats`` runs of 100 rounds, for one round.

    What disturbs a run only ever adds to it, but the very least is a run whose comparisons happened to fall well.
    """
    spent: list[int] = []
    for _ in range(repeats):
        prepare()
        began = time.perf_counter_ns()
        run()
        spent.append(time.perf_counter_ns() - began)
    return sorted(spent)[repeats // 10] / ROUNDS


def heapreplace_1k_ns(_: str) -> float:
    rng = random.Random(42)
    entries = [(rng.random(), number) for number in range(1000)]
    heapq.heapify(entries)
    numbers = range(ROUNDS)

    def run() -> None:
        replace = heapq.heapreplace
        draw = rng.random
        for number in numbers:
            # Tuple and float are made here, as in any queue: 50 ns. Nothing but the least is ever taken out, so the
            # new entry is mostly the least again, and sinks to the bottom.
            replace(entries, (draw(), number))

    return nanoseconds(run, nothing, 3000)


def fair_cycle_ns(kind: str, queued: int) -> float:
    """``queued`` users wait with one request each; the hundred called last come again, one a cycle."""
    ledgers, heaps = twin(kind)
    rng = random.Random(42)
    line = heaps.Heap(ledgers.Ledger(WINDOW, 2 * queued, seed=42), "model", most=2 * queued)

    class Record(heaps.Ticket):  # type: ignore[misc, name-defined]
        """The request's record, which exists before the cycle begins."""

        __slots__ = ("called", "name", "tokens")

        def __init__(self, name: str, tokens: int) -> None:
            super().__init__()
            self.name = name
            self.tokens = tokens

    everybody = [Record(name_of(number), rng.randrange(1, 1_000_000)) for number in range(queued + ROUNDS)]
    for record in everybody:
        # Everybody has been served before, differently.
        line.enter(record, record.name, 0, time.time())
        line.pop(time.time()).finish(record.tokens, time.time())
    for record in everybody[ROUNDS:]:
        line.enter(record, record.name, 0, time.time())
    records = everybody[:ROUNDS]
    for record in records:
        record.called = record

    def prepare() -> None:
        records[:] = [record.called for record in records]
        for record in records:
            # Joined anew, so that no string carries a cached hash from the last time.
            record.name = "".join((record.name[:5], record.name[5:]))
            record.tokens = rng.randrange(1, 2000)

    def run() -> None:
        clock = time.time
        enter = line.enter
        pop = line.pop
        for record in records:
            now = clock()
            enter(record, record.name, record.tokens, now)
            # The pop charges the input.
            record.called = ticket = pop(now)
            ticket.finish(3000, clock())

    gc.collect()
    gc.freeze()
    return nanoseconds(run, prepare, 3000 if kind == "compiled" else 100)


def fair_cycle_1k_ns(kind: str) -> float:
    return fair_cycle_ns(kind, 1_000)


def fair_cycle_100k_ns(kind: str) -> float:
    return fair_cycle_ns(kind, 100_000)


def ledger_charge_ns(kind: str) -> float:
    """A charge to a warm row, without the loop around it."""
    ledgers, _ = twin(kind)
    ledger = ledgers.Ledger(WINDOW, 1_000, seed=42)
    rounds = [None] * ROUNDS
    now = time.time()
    row = ledger.pin("model", name_of(1), now)

    def run() -> None:
        charge = ledger.charge
        for _ in rounds:
            charge(row, 200, now)

    def empty() -> None:
        for _ in rounds:
            pass

    repeats = 3000 if kind == "compiled" else 300
    return nanoseconds(run, nothing, repeats) - nanoseconds(empty, nothing, repeats)


def ledger_million(kind: str) -> dict[str, float]:
    """A million users, every slot of each charged, each with a request waiting; they leave; then the ring turns."""
    ledgers, heaps = twin(kind)
    process = psutil.Process()
    # The requests' own records exist before; the names come with the requests, and stay while they wait.
    tickets = [heaps.Ticket() for _ in range(MILLION)]
    gc.collect()
    before = process.memory_info().rss
    ledger = ledgers.Ledger(WINDOW, MILLION, seed=42)
    width: float = ledger.width
    now = time.time()
    rows = range(MILLION)
    line = heaps.Heap(ledger, "model", most=MILLION)
    for number, ticket in enumerate(tickets):
        line.enter(ticket, name_of(number), 0, now)
    # 64 rows fill no page, so a charge to one in 64 touches as much memory, and the pure twin is done this year.
    charged = rows if kind == "compiled" else rows[::64]
    for _ in range(65):
        now += width
        for row in charged:
            ledger.charge(row, 1 + row % 7, now)
    for row in rows:
        ledger.charge(row, 1, now)
    grown = process.memory_info().rss - before
    for ticket in tickets:
        ticket.leave()
    while ledger.sweep(now) > 0:
        pass
    turns: list[tuple[float, float]] = []
    # Turns that take a slot from everybody, then the one in which everybody goes.
    for ahead in (1, 2, 3, 4, 80):
        now += ahead * width
        pieces: list[int] = []
        left = 1
        while left > 0:
            # Of this thread alone: a piece is how long the loop is held, not how busy the machine is.
            began = time.thread_time_ns()
            left = ledger.sweep(now)
            pieces.append(time.thread_time_ns() - began)
        turns.append((sum(pieces) / 1e6, max(pieces) / 1e6))
    if len(ledger) != 0:
        raise RuntimeError(f"{len(ledger)} rows outlived their window")
    return {
        "ledger_turn_1m_ms": sorted(turns[:-1])[1][0],
        "ledger_turn_1m_piece_ms": sorted(piece for _, piece in turns[:-1])[1],
        "ledger_forget_1m_ms": turns[-1][0],
        "ledger_forget_1m_piece_ms": turns[-1][1],
        "ledger_bytes_per_row": grown / MILLION,
    }


def _apart(task: tuple[str, str]) -> Any:
    function, kind = task
    return globals()[function](kind)


def measure(function: str, kind: str) -> Any:
    """In a process of its own: memory that was freed before would hide what a ledger takes."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.map(_apart, [(function, kind)])[0]


def measured() -> dict[str, dict[str, float]]:
    """Everything, in turns, so that a busy minute of the machine falls on all alike; the best of the turns."""
    report: dict[str, dict[str, float]] = {"compiled": {}, "pure": {}, "calibration": {}}

    def keep(kind: str, key: str, figure: float) -> None:
        report[kind][key] = min(report[kind].get(key, figure), figure)

    for _ in range(TURNS):
        # As often as each of the others: the least of more turns would be less.
        keep("calibration", "heapreplace_1k_ns", measure("heapreplace_1k_ns", ""))
        for kind in SUFFIXES:
            for function in RATIOS:
                keep(kind, function, measure(function, kind))
    for kind in SUFFIXES:
        report[kind] |= measure("ledger_million", kind)
    return report


def misses(report: dict[str, dict[str, float]]) -> list[str]:
    """The targets that the compiled core misses, as sentences."""
    unit = report["calibration"]["heapreplace_1k_ns"]
    figures = report["compiled"]
    found = [
        f"{key} is {figures[key] / unit:.2f} times the calibration, more than {most}"
        for key, most in RATIOS.items()
        if figures[key] > most * unit
    ]
    for key, limit in LIMITS.items():
        if figures[key] > limit:
            found.append(f"{key} is {figures[key]:.2f}, more than {limit}")
    return found


def show(report: dict[str, dict[str, float]]) -> None:
    unit = report["calibration"]["heapreplace_1k_ns"]
    table = Table(title=f"heapreplace_1k_ns = {unit:.0f}")
    for column in ("", "compiled", "of calibration", "target", "pure", "of calibration"):
        table.add_column(column, justify="left" if not column else "right")
    for key in report["compiled"]:
        cells = [key]
        for kind in ("compiled", "pure"):
            figure = report[kind][key]
            cells += [f"{figure:,.1f}", f"{figure / unit:.2f}" if key.endswith("_ns") else ""]
            if kind == "compiled":
                target = RATIOS.get(key) or LIMITS.get(key)
                cells.append("" if target is None else f"{target:g}")
        table.add_row(*cells)
    Console().print(table)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON object and nothing else")
    arguments = parser.parse_args()
    if not heap.Heap.__module__.endswith("_heap_c"):
        print("the compiled core is not loaded: make build", file=sys.stderr)
        return 2
    report = measured()
    if arguments.json:
        print(json.dumps(report))
    else:
        show(report)
    missed = misses(report)
    for sentence in missed:
        print(sentence, file=sys.stderr)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
