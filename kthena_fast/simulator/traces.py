"""A workload from a CSV file: `client,time,input,output` in each line, and if wanted `limit`.

Times are seconds from any beginning, in any order; `limit` is `max_tokens`, and the output where it is left out. A
first line of names is skipped.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

from kthena_fast.queueing.shares import EQUAL, Shares
from kthena_fast.simulator.arrivals import MINUTE, SECOND, Arrival, Client, Workload

MOST_TOKENS: Final = 100_000_000
LATEST: Final = 9_000_000_000.0


class BadFile(Exception):
    """A file that cannot be played; the text says where and why."""


class Call(NamedTuple):
    """A request as a file tells of it."""

    client: str
    at: float
    input: int
    output: int
    limit: int


def read(path: Path, shares: Shares = EQUAL) -> Workload:
    """The workload in a file; BadFile where there is none."""
    try:
        with path.open(encoding="utf-8", newline="") as lines:
            return workload("trace", _calls(path, csv.reader(lines)), shares, path)
    except (OSError, UnicodeDecodeError, csv.Error) as problem:
        raise BadFile(f"{path}: {problem}") from problem


def workload(name: str, calls: Iterable[Call], shares: Shares, path: Path) -> Workload:
    """The calls as a workload that begins with the first of them and ends a minute after the last."""
    ordered = sorted(calls, key=lambda call: call.at)
    if not ordered:
        raise BadFile(f"{path}: there is no request in it")
    # By first appearance, so that who comes first is c1 in every table.
    numbers: dict[str, int] = {}
    for call in ordered:
        numbers.setdefault(call.client, len(numbers))
    begin = ordered[0].at
    arrivals = [
        Arrival(round((call.at - begin) * SECOND), numbers[call.client], call.input, call.output, call.limit)
        for call in ordered
    ]
    clients = tuple(Client(client, *shares.of(client)) for client in numbers)
    return Workload(name, clients, tuple(sorted(arrivals)), arrivals[-1].at + MINUTE)


def _calls(path: Path, rows: Iterator[list[str]]) -> Iterator[Call]:
    for number, row in enumerate(rows, 1):
        if not row or (number == 1 and [cell.strip().lower() for cell in row[:2]] == ["client", "time"]):
            continue
        try:
            yield _call(row)
        except ValueError as problem:
            raise BadFile(f"{path}, line {number}: {problem}") from problem


def _call(row: list[str]) -> Call:
    if len(row) not in {4, 5}:
        raise ValueError(f"a line has client,time,input,output and perhaps limit, not {len(row)} values")
    at = float(row[1])
    if not (math.isfinite(at) and 0 <= at <= LATEST):
        raise ValueError(f"a time must be from 0 to {LATEST:.0f} seconds, not {row[1]}")
    tokens_in, tokens_out = (_tokens(cell) for cell in row[2:4])
    limit = _tokens(row[4]) if len(row) == 5 and row[4].strip() else tokens_out
    return Call(row[0].strip(), at, tokens_in, tokens_out, max(limit, tokens_out))


def _tokens(cell: str) -> int:
    tokens = int(cell)
    if not 0 <= tokens <= MOST_TOKENS:
        raise ValueError(f"tokens must be from 0 to {MOST_TOKENS}, not {cell}")
    return tokens
