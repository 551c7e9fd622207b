"""How the CPU time of a request grows with what the gateway holds: each series at its beginning and at its end.

All gateways of all series are started once and measured in turns, the beginning of a series always beside its end, and
halted in between: asking a thousand engines how busy they are takes its part of the core. Beginning and end are asked
from lists of the same length: a load that sends the same bytes again and again leaves its own cache to the gateway.

1. Pods: 1 and 1,000 of one ModelServer, each at an address of its own.
2. Routes: 1 and 10,000, for as many models of one ModelServer; requests ask for all of them in turn.
3. Ledger rows: 1 and 1,000,000 users of one model; requests are of 20,000 of them in turn.
4. Queued requests: 0 and 100,000, each of a user of his own in a later class than those who ask. There are 8 permits
   and 64 who ask, so each of them waits among the others, and is called before them. Beginning and end are alike but
   for those who wait.
"""

from __future__ import annotations

import contextlib
import statistics
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.load import bodies, contestants, gateway, installing, loads, processes
from benchmarks.load.contestants import Contestant, Serving
from benchmarks.load.course import FAILURES, first_line
from benchmarks.load.report import DIGITS

ASKING = 20_000
"""Users that ask, of those who have rows."""
PERMITS = 8
CALLED_FIRST = 1_000
"""Users in the first class."""
SECONDS = 1
"""Of one measurement."""
FIRST_SECONDS = 3
"""In which everything is asked for the first time."""


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
            *(_asked(count=sizes.routes), _asked(model=f"{bodies.MODEL}@", count=sizes.routes)),
        ),
        Series(
            *("rows", 1, sizes.rows, small, _gateway("rows", "--rows", str(sizes.rows))),
            *(_asked(count=asking), _asked(user=f"{bodies.USER}@", count=asking, stride=sizes.rows // asking)),
        ),
        Series(
            *("queued", 0, sizes.queued, _gateway("queue", **waits)),
            _gateway("queued", "--queued", str(sizes.queued), **waits),
            *(waiting, waiting),
        ),
    ]


class Growth:
    """The series of one run."""

    def __init__(self, engine: int, load: loads.Load, folder: Path, sizes: Sizes = SIZES) -> None:
        self._engine = engine
        self._load = load
        self._folder = folder
        self._series = every(folder, sizes)
        self.notes: list[str] = []
        """What a reader of the figures must know."""

    def measure(self, names: Sequence[str], rounds: int) -> dict[str, Any]:
        """The series of these names, each as `summary` has it, but for those that failed."""
        chosen = [series for series in self._series if series.name in names]
        samples: dict[str, list[tuple[float, float]]] = {series.name: [] for series in chosen}
        with ExitStack() as stack:
            running: dict[str, Serving] = {}
            for series in chosen:
                with self._noted(series, "before the first round"):
                    self._start(stack, running, series)
            for number in range(rounds):
                for series in chosen:
                    if series.begin.name not in running or series.end.name not in running:
                        continue
                    with self._noted(series, f"in round {number + 1}"):
                        first = _cost(self._load, running[series.begin.name], series.begin_asked)
                        last = _cost(self._load, running[series.end.name], series.end_asked)
                        samples[series.name].append((first, last))
                installing.say(f"round {number + 1} of {rounds}: growth")
        return {
            series.name: summary(series.first, series.last, samples[series.name])
            for series in chosen
            if samples[series.name]
        }

    def _start(self, stack: ExitStack, running: dict[str, Serving], series: Series) -> None:
        """Start what does not run yet, and have it asked everything for the first time, which may take longer."""
        for contestant, asked in ((series.begin, series.begin_asked), (series.end, series.end_asked)):
            if contestant.name not in running:
                installing.say(f"starting {contestant.name}")
                log = self._folder / f"{contestant.name}.log"
                serving = contestants.serving(contestant, self._engine, log, said=gateway.PRELOADED.encode())
                running[contestant.name] = stack.enter_context(serving)
                stack.enter_context(processes.halted(running[contestant.name].process))
            with processes.resumed(running[contestant.name].process):
                self._load.closed_loop(running[contestant.name].port, asked, FIRST_SECONDS if asked.count > 1 else 1)

    @contextlib.contextmanager
    def _noted(self, series: Series, when: str) -> Iterator[None]:
        """Have a failure be a note, and the other series go on."""
        try:
            yield
        except FAILURES as failure:
            installing.say(str(failure))
            self.notes.append(f"growth with {series.name} failed {when}: {first_line(failure)}")


def _cost(load: loads.Load, serving: Serving, asked: bodies.Variety) -> float:
    """Microseconds of CPU time per request."""
    with processes.resumed(serving.process):
        before = processes.cpu_seconds(serving.process)
        done = load.closed_loop(serving.port, asked, SECONDS)
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
