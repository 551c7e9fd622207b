"""Who asks for what, when: a workload, and the spacings of its requests in time."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

SECOND: Final = 1_000_000_000
MINUTE: Final = 60 * SECOND

Spacing = Callable[[random.Random], Iterator[float]]
"""Times in seconds, ascending; the generator of random numbers is the client's own."""


class Arrival(NamedTuple):
    """A request that comes. The order of its fields is the order in time."""

    at: int
    """Nanoseconds since the workload began."""
    client: int
    """Its place among the workload's clients."""
    input: int
    output: int
    """Tokens that it will have been given at the end, which no policy but an oracle knows."""
    limit: int
    """Tokens that it may be given at most (`max_tokens`): what the engine keeps room for."""


@dataclass(frozen=True, slots=True)
class Client:
    name: str
    share: float = 1.0
    rank: int = 0
    """The class; the lower is served strictly first."""


@dataclass(frozen=True, slots=True)
class Workload:
    name: str
    clients: tuple[Client, ...]
    arrivals: tuple[Arrival, ...]
    """In the order of time."""
    ends: int
    """Nanoseconds after which nothing is looked at; who still waits then, waits."""


def even(rate: float, begin: float, end: float) -> Spacing:
    """``rate`` a minute, equally far from each other, the first after a random part of the distance."""

    def times(draw: random.Random) -> Iterator[float]:
        phase = draw.random()
        count = 0
        while (at := begin + (count + phase) * 60 / rate) < end:
            yield at
            count += 1

    return times


def poisson(rate: float, begin: float, end: float) -> Spacing:
    """``rate`` a minute on average, each independent of all others."""

    def times(draw: random.Random) -> Iterator[float]:
        at = begin + draw.expovariate(rate / 60)
        while at < end:
            yield at
            at += draw.expovariate(rate / 60)

    return times


def rising(first: float, last: float, begin: float, end: float) -> Spacing:
    """From ``first`` a minute at the begin linearly to ``last`` a minute at the end."""

    def times(draw: random.Random) -> Iterator[float]:
        phase = draw.random()
        start = first / 60
        slope = (last - first) / 60 / (end - begin)
        count = 0
        while True:
            # Until t there come start * t + slope / 2 * t^2; solved for t.
            at = (-start + (start * start + 2 * slope * (count + phase)) ** 0.5) / slope
            if begin + at >= end:
                return
            yield begin + at
            count += 1

    return times


def on_off(spacing: Spacing, period: float, begin: float = 0.0) -> Spacing:
    """Only what comes in the first, third, ... period."""

    def times(draw: random.Random) -> Iterator[float]:
        return (at for at in spacing(draw) if int((at - begin) / period) % 2 == 0)

    return times


def in_turn(*spacings: Spacing) -> Spacing:
    """One after the other."""

    def times(draw: random.Random) -> Iterator[float]:
        for spacing in spacings:
            yield from spacing(draw)

    return times


def arrivals_of(client: int, spacing: Spacing, tokens_in: int, tokens_out: int, draw: random.Random) -> list[Arrival]:
    """Requests of one size, by a spacing."""
    return [Arrival(int(at * SECOND), client, tokens_in, tokens_out, tokens_out) for at in spacing(draw)]
