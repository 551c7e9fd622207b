"""What docs/fairness.md shows of the simulator: ``python -m tests.simulator.fairness_doc`` writes its tables and plots.

`test_fairness_doc` holds the page to it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

from kthena_fast.simulator import plots, policies, run, workloads
from kthena_fast.simulator.arrivals import MINUTE
from kthena_fast.simulator.measures import ClientResult, Result
from kthena_fast.simulator.tables import RUN_COLUMNS, run_cells

PAGE: Final = Path(__file__).parents[2] / "docs" / "fairness.md"
PLOTS: Final = PAGE.parent / "fairness"
SEED: Final = 42
DRAWN: Final = ("fcfs", "window", "vtc")

RESERVING: Final = ("window", "window-predict", "vtc", "vtc-predict")
GATEWAY: Final = run.Setup(concurrency=32)
"""As many permits as `auto` begins with, which is more than the model engine has room for."""

MODES: Final = {
    "what the engine has room for": run.Setup(),
    "`FAIRNESS_MAX_CONCURRENT=8`": run.Setup(concurrency=8),
    "`FAIRNESS_MAX_CONCURRENT=16`": run.Setup(concurrency=16),
    "`FAIRNESS_MAX_CONCURRENT=32`": run.Setup(concurrency=32),
    "`FAIRNESS_MAX_CONCURRENT=64`": run.Setup(concurrency=64),
    "`auto`, from 32": run.Setup(auto=32),
    "`FAIRNESS_MAX_QPS=100`": run.Setup(max_qps=100.0),
}

_PART: Final = re.compile(r"<!-- begin (?P<name>[\w-]+) -->\n(?P<text>.*?)<!-- end -->", re.DOTALL)


def results(workload: str, names: Sequence[str] = policies.EVERY, setup: run.Setup | None = None) -> list[Result]:
    played = workloads.synthetic(workload, SEED)
    return [run.simulate(played, policies.policy(name), setup or run.Setup()) for name in names]


def of_workload(found: Sequence[Result]) -> str:
    """The table of one workload under every policy."""
    clients = found[0].clients
    heads = [*RUN_COLUMNS, "served/s", "first token after s: mean (p99)"]
    rows = [[*run_cells(result), _by_client(result, _rate), _by_client(result, _wait)] for result in found]
    asked = ", ".join(f"{client.name} {client.requested_rate:,.0f}" for client in clients)
    weighted = any(client.share != 1 for client in clients)
    shares = f"; shares {':'.join(f'{client.share:g}' for client in clients)}" if weighted else ""
    return f"Asked for, a second: {asked}{shares}.\n\n{_table(heads, rows)}"


def of_reserving() -> str:
    """What reserving changes, when more is given to the engine than it has room for."""
    heads = ["workload", *(f"{name}: gap" for name in RESERVING), *(f"{name}: difference" for name in RESERVING)]
    rows = []
    for name in workloads.SYNTHETIC:
        found = results(name, RESERVING, GATEWAY)
        gaps = [f"{result.gap:,.0f}" for result in found]
        rows.append([name, *gaps, *(f"{result.difference.mean:,.1f}" for result in found)])
    return _table(heads, rows)


def of_permits() -> str:
    """What the number of permits does to a client under its share, and to the engine."""
    heads = ["permits", "at once", "c1: first token after s, mean (p99)", "tokens/s", "gap", "bound"]
    rows = []
    for name, setup in MODES.items():
        (result,) = results("on_off_less", ["vtc"], setup)
        gap, bound = run_cells(result)[1:3]
        rows.append(
            [name, str(result.most_permits), _wait(result.clients[0]), f"{result.tokens_per_second:.0f}", gap, bound]
        )
    return _table(heads, rows)


def of_windows() -> str:
    """What the width of the window forgives and forgets."""
    heads = ["window", "dist_shift: gap", "difference, mean (max)", "on_off_overload: gap", "difference, mean (max)"]
    rows = []
    for minutes in (1, 2, 5, 10, 30, 60):
        row = [f"{minutes}m"]
        for name in ("dist_shift", "on_off_overload"):
            (result,) = results(name, ["window"], run.Setup(window=minutes * MINUTE))
            row += [f"{result.gap:,.0f}", f"{result.difference.mean:.1f} ({result.difference.most:.0f})"]
        rows.append(row)
    return _table(heads, rows)


COMPARISONS: Final = {"reserving": of_reserving, "permits": of_permits, "windows": of_windows}


def part(name: str) -> str:
    """What belongs between ``<!-- begin name -->`` and ``<!-- end -->``."""
    return COMPARISONS[name]() if name in COMPARISONS else of_workload(results(name))


def parts(page: str) -> Iterator[tuple[str, str]]:
    """The generated parts of a page, by name, as they stand there."""
    for found in _PART.finditer(page):
        yield found["name"], found["text"]


def _by_client(result: Result, show: Callable[[ClientResult], str]) -> str:
    return " / ".join(show(client) for client in result.clients)


def _rate(client: ClientResult) -> str:
    return f"{client.rate:,.0f}"


def _wait(client: ClientResult) -> str:
    return "-" if client.wait is None else f"{client.wait.mean:.1f} ({client.wait.p99:.0f})"


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [heads, ["---"] + ["---:"] * (len(heads) - 1), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def write() -> None:
    page = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(
        _PART.sub(lambda found: f"<!-- begin {found['name']} -->\n{part(found['name'])}<!-- end -->", page),
        encoding="utf-8",
    )
    for name in workloads.SYNTHETIC:
        plots.draw(results(name, DRAWN), PLOTS / f"{name}.svg")


if __name__ == "__main__":
    write()
