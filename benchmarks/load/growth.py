"""How the CPU time of a request grows with what the gateway holds: each series at its beginning and at its end.

All gateways of all series run at once and are measured in turns, the beginning of a series always beside its end. One
that nobody asks does nothing but ask its engines how busy they are, once a second.

1. Pods: 1 and 1,000 of one ModelServer, each at an address of its own.
2. Routes: 1 and 10,000, for as many models of one ModelServer; requests ask for all of them in turn.
3. Ledger rows: 1 and 1,000,000 users of one model; requests are of 20,000 of them in turn.
4. Queued requests: 0 and 100,000, each of a user of his own in a later class than those who ask. There are 32 permits
   and 64 who ask, so each of them waits among the others, and is called before them. Beginning and end are alike but
   for those who wait.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.load import bodies, contestants, gateway, installing, loads, processes
from benchmarks.load.contestants import Contestant, Serving

PODS, ROUTES, ROWS, QUEUED = 1_000, 10_000, 1_000_000, 100_000
ASKING = 20_000
"""Users that ask, of those who have rows."""
PERMITS = 32
CALLED_FIRST = 1_000
"""Users in the first class."""


@dataclass(frozen=True, slots=True)
class Series:
    """Two gateways and what each is asked."""

    name: str
    first: int
    last: int
    begin: Contestant
    end: Contestant
    begin_asked: bodies.Variety
    end_asked: bodies.Variety


def _gateway(name: str, *words: str, **variables: str) -> Contestant:
    own = {"FAIRNESS_MAX_USERS": str(ROWS + ASKING), **variables}
    return Contestant(f"kthena_fast_{name}", contestants.launched(*words), contestants.environment() | own)


def _asked(model: str = bodies.MODEL, user: str = f"{bodies.USER}0", count: int = 1, stride: int = 1) -> bodies.Variety:
    return bodies.Variety(bodies.chat(model=model, user=user), count, stride)


def every(folder: Path) -> list[Series]:
    """All series; `folder` gets the file of shares."""
    shares = folder / "shares.yaml"
    first = ["anonymous", *(f"{bodies.USER}{number}" for number in range(CALLED_FIRST))]
    shares.write_text(f"default: {{class: 1}}\ngroups:\n  first: {{class: 0, users: [{', '.join(first)}]}}\n")
    waits = {
        "FAIRNESS_MAX_CONCURRENT": str(PERMITS),
        "FAIRNESS_MAX_QUEUE": str(2 * QUEUED),
        "FAIRNESS_QUEUE_TIMEOUT": "1h",
        "FAIRNESS_SHARES_FILE": str(shares),
    }
    small = _gateway("small", "--rows", "1")
    one = _asked()
    asking = _asked(user=f"{bodies.USER}@", count=CALLED_FIRST)
    return [
        Series("pods", 1, PODS, small, _gateway("pods", "--rows", "1", "--pods", str(PODS)), one, one),
        Series(
            *("routes", 1, ROUTES, small, _gateway("routes", "--rows", "1", "--routes", str(ROUTES))),
            *(one, _asked(model=f"{bodies.MODEL}@", count=ROUTES)),
        ),
        Series(
            *("rows", 1, ROWS, small, _gateway("rows", "--rows", str(ROWS))),
            *(one, _asked(user=f"{bodies.USER}@", count=ASKING, stride=ROWS // ASKING)),
        ),
        Series(
            *("queued", 0, QUEUED, _gateway("queue", **waits), _gateway("queued", "--queued", str(QUEUED), **waits)),
            *(asking, asking),
        ),
    ]


def measure(
    engine: int, load: loads.Load, folder: Path, rounds: int, only: Sequence[str] | None = None
) -> dict[str, Any]:
    """Every series by name: `from`, `to`, median microseconds per request at both, and the median of their ratios."""
    chosen = [series for series in every(folder) if only is None or series.name in only]
    samples: dict[str, list[tuple[float, float]]] = {series.name: [] for series in chosen}
    with ExitStack() as stack:
        running = _start(stack, chosen, engine, folder)
        for series in chosen:
            for contestant, asked in ((series.begin, series.begin_asked), (series.end, series.end_asked)):
                _cost(load, running[contestant.name], asked)
        for number in range(rounds):
            for series in chosen:
                first = _cost(load, running[series.begin.name], series.begin_asked)
                last = _cost(load, running[series.end.name], series.end_asked)
                samples[series.name].append((first, last))
            installing.say(f"round {number + 1} of {rounds}: growth")
    return {series.name: summary(series.first, series.last, samples[series.name]) for series in chosen}


def _start(stack: ExitStack, chosen: Sequence[Series], engine: int, folder: Path) -> Mapping[str, Serving]:
    running: dict[str, Serving] = {}
    for series in chosen:
        for contestant in (series.begin, series.end):
            if contestant.name not in running:
                installing.say(f"starting {contestant.name}")
                log = folder / f"{contestant.name}.log"
                serving = contestants.serving(contestant, engine, log, said=gateway.PRELOADED.encode())
                running[contestant.name] = stack.enter_context(serving)
    return running


def _cost(load: loads.Load, serving: Serving, asked: bodies.Variety) -> float:
    """Microseconds of CPU time per request."""
    before = processes.cpu_seconds(serving.process)
    done = load.closed_loop(serving.port, asked, 1)
    return (processes.cpu_seconds(serving.process) - before) / done.requests * 1e6


def summary(first: int, last: int, samples: Sequence[tuple[float, float]]) -> dict[str, Any]:
    """A series from the costs at its beginning and end, one pair a round."""
    return {
        "from": first,
        "to": last,
        "us_per_request": [statistics.median(pair[at] for pair in samples) for at in (0, 1)],
        "ratio": statistics.median(end / begin for begin, end in samples),
        "samples": [list(pair) for pair in samples],
    }
