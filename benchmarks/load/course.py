"""The course of a run: who is started when, what is measured of him, and for how long."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from benchmarks.load import bodies, contestants, engines, installing, loads, processes
from benchmarks.load.contestants import Contestant, Serving

RATE_OF = "vllm_router"
"""Half of what it can do is the rate of the open loop; where it is not there, half of what the first one can."""

NOT_QUICK = {"litellm", "kthena_fast_unfair", "kthena_fast_uvloop"}
"""Left out of a quick run."""

CALM_PACE_MS = 100
RAMP = 0.7
"""Seconds in which the streams begin whose memory is looked at."""

FAILURES = (loads.LoadFailed, processes.DoesNotServe, psutil.Error, OSError)
"""After which the run goes on with what is next."""

Figures = dict[str, list[float]]
"""One value a round, by figure."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is measured; times are seconds, of wrk whole ones."""

    rounds: int = 5
    warm_up: float = 1
    requests: float = 2
    prompts: float = 1
    latency: float = 2
    streams: float = 2
    growth_rounds: int = 5


FULL = Plan()
QUICK = Plan(rounds=2, requests=1, latency=1, streams=1, growth_rounds=1)

LATENCIES = ("p50_added_ms", "p99_added_ms")


class Course:
    """One run: engines that stay, and contestants that come in turns."""

    def __init__(self, plan: Plan, folder: Path, load: loads.Load, canned: int, paced: engines.Paced) -> None:
        self._plan = plan
        self._folder = folder
        self._canned = canned
        self._paced = paced
        self._load = load
        self._began = time.monotonic()
        self.rate: float | None = None
        """Requests a second of the open loop."""
        self.notes: list[str] = []
        """What a reader of the figures must know."""
        self._overtaken: set[str] = set()
        """Who did not keep up with the open loop in some round."""
        self.engine_rps = 0.0
        """Requests a second straight to the engine: what comes near it was held back by the load."""

    @property
    def seconds(self) -> float:
        """Since it was made."""
        return time.monotonic() - self._began

    def calibrate(self, chosen: Sequence[Contestant]) -> None:
        """Find the rate of the open loop."""
        measure, *_ = [each for each in chosen if each.name == RATE_OF] or chosen
        installing.say(f"half of what {measure.name} can do is the rate of the open loop")
        self.engine_rps = self._rps(self._canned, measure.connections)
        with contestants.serving(measure, self._canned, self._log(measure)) as serving:
            self.rate = float(round(self._rps(serving.port, measure.connections) / 2))

    def run(self, chosen: Sequence[Contestant]) -> dict[str, Figures]:
        """Every round of every contestant."""
        found: dict[str, Figures] = {contestant.name: {} for contestant in chosen}
        with contextlib.ExitStack() as stack:
            staying = {each.name: stack.enter_context(self._staying(each)) for each in chosen if each.stays}
            for number in range(self._plan.rounds):
                straight = self._latency(self._canned)
                for contestant in chosen:
                    began = time.monotonic()
                    stays = staying.get(contestant.name)
                    if stays is not None and not processes.runs(stays.process):
                        self._note(f"{contestant.name} ended by itself; its figures are of the rounds before")
                        continue
                    turn = (
                        self._turn(contestant, straight) if stays is None else self._part(contestant, stays, straight)
                    )
                    try:
                        for figure, value in turn:
                            found[contestant.name].setdefault(figure, []).append(value)
                    except FAILURES as failure:
                        # What the others showed is worth having; what is missing is seen and said.
                        installing.say(str(failure))
                        self._note(f"round {number + 1} of {contestant.name} ended early: {first_line(failure)}")
                    took = time.monotonic() - began
                    installing.say(f"round {number + 1} of {self._plan.rounds}: {contestant.name}, {took:.0f} s")
        for name in self._overtaken:
            # Also where it kept up in another round: a median of those says what none of its clients saw.
            for figure in LATENCIES:
                found[name].pop(figure, None)
        return found

    def _turn(self, contestant: Contestant, straight: loads.Latency | None) -> Iterator[tuple[str, float]]:
        """The figures of one contestant in one round."""
        log = self._log(contestant)
        with contestants.serving(contestant, self._canned, log) as whole:
            yield "rss_mb", processes.resident_megabytes(whole.process)
            yield from self._requests(contestant, whole)
            yield from self._added(contestant, whole, straight)
        with contestants.serving(contestant, self._paced.port, log) as streaming:
            yield from self._chunks(contestant, streaming)
            if contestant.most_streams:
                yield "rss_streams_mb", self._memory_of_streams(contestant, streaming)
            for name, size in bodies.PROMPT_BYTES.items() if contestant.has_prompts else ():
                yield f"us_per_{name}_prompt", self._prompts(contestant, streaming, bodies.prompt_of(size))

    @contextlib.contextmanager
    def _staying(self, contestant: Contestant) -> Iterator[Serving]:
        """A contestant that runs through all rounds, halted until its turn comes."""
        installing.say(f"starting {contestant.name}")
        with (
            contestants.serving(contestant, self._canned, self._log(contestant), paced=self._paced.port) as serving,
            processes.halted(serving.process),
        ):
            yield serving

    def _part(
        self, contestant: Contestant, serving: Serving, straight: loads.Latency | None
    ) -> Iterator[tuple[str, float]]:
        """The figures of one that stays, in one round."""
        with processes.resumed(serving.process):
            yield "rss_mb", processes.resident_megabytes(serving.process)
            yield from self._requests(contestant, serving)
            yield from self._added(contestant, serving, straight)
            yield from self._chunks(contestant, serving, bodies.STREAM_MODEL)

    def _requests(self, contestant: Contestant, serving: Serving) -> Iterator[tuple[str, float]]:
        asked = bodies.Variety(bodies.chat())
        self._load.closed_loop(serving.port, asked, self._plan.warm_up, contestant.connections)
        before = processes.cpu_seconds(serving.process)
        done = self._load.closed_loop(serving.port, asked, self._plan.requests, contestant.connections)
        spent = processes.cpu_seconds(serving.process) - before
        yield "us_per_request", spent / done.requests * 1e6
        yield "rps", done.requests / done.seconds

    def _prompts(self, contestant: Contestant, serving: Serving, body: str) -> float:
        connections = min(16, contestant.connections)
        before = processes.cpu_seconds(serving.process)
        done = self._load.closed_loop(serving.port, bodies.Variety(body), self._plan.prompts, connections)
        return (processes.cpu_seconds(serving.process) - before) / done.requests * 1e6

    def _added(
        self, contestant: Contestant, serving: Serving, straight: loads.Latency | None
    ) -> Iterator[tuple[str, float]]:
        through = self._latency(serving.port) if straight is not None else None
        if through is None or straight is None:
            return
        if not through.is_sustained:
            self._overtaken.add(contestant.name)
            self._note(f"{contestant.name} does not keep up with {self.rate:.0f} requests/s, so it has no latency")
            return
        yield from zip(
            LATENCIES, ((through.p50 - straight.p50) / 1000, (through.p99 - straight.p99) / 1000), strict=True
        )

    def _latency(self, port: int) -> loads.Latency | None:
        if self.rate is None:
            return None
        return self._load.open_loop(port, bodies.chat(), self.rate, 0.3, self._plan.latency)

    def _chunks(
        self, contestant: Contestant, serving: Serving, model: str = bodies.MODEL
    ) -> Iterator[tuple[str, float]]:
        warm_up = bodies.STREAM_SECONDS + 0.3
        lasts = warm_up + self._plan.streams
        with self._load.streams(serving.port, contestant.streams, bodies.STREAM_SECONDS, lasts, model) as client:
            time.sleep(warm_up)
            before, spent = self._paced.stats(), processes.cpu_seconds(serving.process)
            time.sleep(self._plan.streams - 0.1)
            after, spent = self._paced.stats(), processes.cpu_seconds(serving.process) - spent
            seen = loads.read_streams(client)
        sent = after["events"] - before["events"]
        if not sent:
            raise loads.LoadFailed(
                f"the engine sent nothing through {contestant.name}:\n{processes.tail(self._log(contestant))}"
            )
        late = after["late"] - before["late"]
        if late > sent / 100:
            self._note(f"the engine sent {late / sent:.1%} of {contestant.name}'s events late: the load core was busy")
        yield "us_per_chunk", spent / sent * 1e6
        yield "events_per_read", seen.events / seen.reads

    def _memory_of_streams(self, contestant: Contestant, serving: Serving) -> float:
        """Resident megabytes when all streams are open. At a pace that leaves time: a backlog would count as memory."""
        most = contestant.most_streams
        with self._paced.slower(CALM_PACE_MS), self._load.streams(serving.port, most, RAMP, 60):
            until = time.monotonic() + 5
            time.sleep(RAMP)
            while (held := self._paced.stats()["open"]) < most and time.monotonic() < until:
                time.sleep(0.05)
            if held < most:
                self._note(f"{contestant.name} held {held} of {most} streams")
            # Until every stream has had some of its events.
            time.sleep(3 * CALM_PACE_MS / 1000)
            return processes.resident_megabytes(serving.process)

    def _rps(self, port: int, connections: int) -> float:
        asked = bodies.Variety(bodies.chat())
        self._load.closed_loop(port, asked, self._plan.warm_up, connections)
        done = self._load.closed_loop(port, asked, self._plan.requests, connections)
        return done.requests / done.seconds

    def _note(self, note: str) -> None:
        if note not in self.notes:
            installing.say(note)
            self.notes.append(note)

    def _log(self, contestant: Contestant) -> Path:
        return self._folder / f"{contestant.name}.log"


def first_line(failure: BaseException) -> str:
    """What a note says of a failure; all of it is on stderr."""
    return (str(failure) or repr(failure)).splitlines()[0]
