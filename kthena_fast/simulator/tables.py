"""Results as people and programs read them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from itertools import groupby
from typing import Any

import orjson
from rich import box
from rich.console import Console
from rich.table import Table

from kthena_fast.simulator.measures import ClientResult, Result

RUN_COLUMNS = (
    "policy", "gap", "bound", "difference max", "mean", "variance", "tokens/s", "pool", "Jain service", "waits",
)  # fmt: skip
CLIENT_COLUMNS = (
    "policy", "client", "share", "requests", "rejected", "answered",
    "asked/s", "served/s", "wait mean", "p50", "p99", "max",
)  # fmt: skip

WIDTH = 200
"""Of lines that no terminal shows."""

LEAST_WIDTH = 118
"""Of a terminal: a line that is wrapped can be read, and a number without its end cannot."""

MOST_CLIENTS = 20
"""Of one run in a table."""


def as_json(results: Sequence[Result], seed: int) -> bytes:
    """One object; rounded to a millionth, so that the last bit of a platform's logarithm does not show."""
    document = {"seed": seed, "runs": [_rounded(asdict(result)) for result in results]}
    return orjson.dumps(document, option=orjson.OPT_INDENT_2) + b"\n"


def show(results: Iterable[Result], console: Console) -> None:
    """For each workload two tables: the policies, and under each policy its clients."""
    for name, group in groupby(results, lambda result: result.workload):
        of_workload = list(group)
        permits = sorted({result.most_permits for result in of_workload})
        most = "-".join(str(count) for count in dict.fromkeys((permits[0], permits[-1])))
        console.print(f"{name}: {of_workload[0].seconds / 60:.4g} minutes, at most {most} permits at once")
        runs = _table(RUN_COLUMNS, 1, console)
        for result in of_workload:
            runs.add_row(*run_cells(result))
        console.print(runs)
        clients = _table(CLIENT_COLUMNS, 2, console)
        for result in of_workload:
            for number, client in enumerate(_heaviest(result)):
                clients.add_row(result.policy if number == 0 else "", *client_cells(client))
        console.print(clients)
        if len(of_workload[0].clients) > MOST_CLIENTS:
            console.print(
                f"The {MOST_CLIENTS} of {len(of_workload[0].clients)} clients who asked for most; --json has all."
            )
        console.print()
    console.print(
        "Gap and bound are weighted tokens per share, the difference is those a second, as are the rates, which no "
        "share divides; waits are seconds to the first token. A bound in parentheses is not promised by the policy."
    )


def _heaviest(result: Result) -> list[ClientResult]:
    """Those who asked for most, in the order of the workload."""
    numbers = range(len(result.clients))
    heaviest = sorted(numbers, key=lambda number: -result.clients[number].requested_rate)[:MOST_CLIENTS]
    return [result.clients[number] for number in sorted(heaviest)]


def run_cells(result: Result) -> tuple[str, ...]:
    """One run, by `RUN_COLUMNS`."""
    difference = result.difference
    return (
        result.policy,
        f"{result.gap:,.0f}",
        f"{result.bound:,.0f}" if result.is_bounded else f"({result.bound:,.0f})",
        f"{difference.most:,.1f}",
        f"{difference.mean:,.1f}",
        f"{difference.variance:,.0f}",
        f"{result.tokens_per_second:,.1f}",
        f"{result.pool_use:.1%}",
        f"{result.jain_service:.3f}",
        f"{result.jain_waits:.3f}",
    )


def client_cells(client: ClientResult) -> tuple[str, ...]:
    """One client of a run, by `CLIENT_COLUMNS` but the policy."""
    wait = client.wait
    waits = ("-",) * 4 if wait is None else tuple(f"{part:,.1f}" for part in (wait.mean, wait.p50, wait.p99, wait.most))
    return (
        client.name,
        f"{client.share:g}",
        str(client.requests),
        str(client.rejected),
        str(client.answered),
        f"{client.requested_rate:,.1f}",
        f"{client.rate:,.1f}",
        *waits,
    )


def console() -> Console:
    """Of standard output; plain where it is no terminal."""
    terminal = Console()
    if terminal.is_terminal:
        return Console(width=max(terminal.width, LEAST_WIDTH), highlight=False)
    return Console(width=WIDTH, no_color=True, highlight=False)


def _table(columns: Sequence[str], names: int, console: Console) -> Table:
    table = Table(box=box.ROUNDED if console.is_terminal else box.ASCII2)
    for number, column in enumerate(columns):
        table.add_column(column, justify="left" if number < names else "right")
    return table


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, 6)
    if isinstance(value, dict):
        return {key: _rounded(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_rounded(part) for part in value]
    return value
