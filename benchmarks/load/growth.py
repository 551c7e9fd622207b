"""How the CPU time of a request grows with what the gateway holds: each series at its beginning and at its end.

All gateways of all series run at once and are measured in turns, the beginning of a series always beside its end. One
that nobody asks does nothing but ask its engines how busy they are, once a second.

1. Pods: 1 and 1,000 of one ModelServer, each at an address of its own.
2. Routes: 1 and 10,000, for as many models of one ModelServer; requests ask for all of them in turn.
3. Ledger rows: 1 and 1,000,000 users of one model; requests are of 20,000 of them in turn.
4. Queued requests: 0 and 100,000, each of a user of his own in a later class than those who ask. There are 8 permits
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
from benchmarks.load.report import DIGITS

ASKING = 20_000
"""Users that ask, of those who have rows."""
PERMITS = 8
CALLED_FIRST = 1_000
"""Users in the first class."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much there is at the end of each series."""

    pods: int = 1_000
    routes: int = 10_000
    rows: int = 1_000_000
    queued: int = 100_000


SIZES = Sizes()


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
    own = {"FAIRNESS_MAX_USERS": str(SIZES.rows + ASKING), **variables}
    return Contestant(f"kthena_fast_{name}", contestants.launched(*words), contestants.environment() | own)


def _asked(model: str = bodies.MODEL, user: str = f"{bodies.USER}0", count: int = 1, stride: int = 1) -> bodies.Variety:
    return bodies.Variety(bodies.chat(model=model, user=user), count, stride)


def every(folder: Path, sizes: Sizes = SIZES) -> list[Series]:
    """All series; `folder` gets the file of shares."""
    shares = folder / "shares.yaml"
    first = ["anonymous", *(f"{bodies.USER}{number}" for number in range(CALLED_FIRST))]
    shares.write_text(f"default: {{class: 1}}\ngroups:\n  first: {{class: 0, users: [{', '.join(first)}]}}\n")
    waits = {
        "FAIRNESS_MAX_CONCURRENT": str(PERMITS),
        "FAIRNESS_MAX_QUEUE": str(2 * sizes.queued),
        "FAIRNESS_QUEUE_TIMEOUT": "1h",
        "FAIRNESS_SHARES_FILE": str(shares),
    }
    small = _gateway("small", "--rows", "1")
    one = _asked()
    asking = min(ASKING, sizes.rows)
    waiting = _asked(user=f"{bodies.USER}@", count=CALLED_FIRST)
    return [
        Series(
            *("pods", 1, sizes.pods, small, _gateway("pods", "--rows", "1", "--pods", str(sizes.pods))),
            *(one, one),
        ),
        Series(
            *("routes", 1, sizes.routes, small, _gateway("routes", "--rows", "1", "--routes", str(sizes.routes))),
            *(one, _asked(model=f"{bodies.MODEL}@", count=sizes.routes)),
        ),
        Series(
            *("rows", 1, sizes.rows, small, _gateway("rows", "--rows", str(sizes.rows))),
            *(one, _asked(user=f"{bodies.USER}@", count=asking, stride=sizes.rows // asking)),
        ),
        Series(
            *("queued", 0, sizes.queued, _gateway("queue", **waits)),
            _gateway("queued", "--queued", str(sizes.queued), **waits),
            *(waiting, waiting),
        ),
    ]


def measure(
    engine: int, load: loads.Load, folder: Path, rounds: int, names: Sequence[str], sizes: Sizes = SIZES
) -> dict[str, Any]:
    """The series of these names: `from`, `to`, median microseconds per request at both, the median of the ratios."""
    chosen = [series for series in every(folder, sizes) if series.name in names]
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
        "us_per_request": [round(statistics.median(pair[at] for pair in samples), DIGITS) for at in (0, 1)],
        "ratio": round(statistics.median(end / begin for begin, end in samples), DIGITS),
        "samples": [[round(value, DIGITS) for value in pair] for pair in samples],
    }
