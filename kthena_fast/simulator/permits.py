"""How many requests the engine is given at once, or how often one.

1. `Room`, the default, knows what the engine has room for, as the papers' schedulers do: nobody waits inside the
   engine. No gateway can know that; it shows what the others should come near to.
2. The others are the gateway's modes: `Count` (FAIRNESS_MAX_CONCURRENT), `Auto` (`auto`, taught by a scrape a second)
   and `Pace` (FAIRNESS_MAX_QPS). What they give the engine beyond its room waits there, in the order of their giving.
"""

from __future__ import annotations

from typing import Final, Protocol

from kthena_fast.queueing import gates
from kthena_fast.routing.snapshot import Pod
from kthena_fast.simulator.arrivals import SECOND, Arrival
from kthena_fast.simulator.engine import Engine

SCRAPE_EVERY: Final = SECOND


class Permits(Protocol):
    next_moment: int | None
    """When something happens by itself: nanoseconds, None for never."""

    def has_room(self, arrival: Arrival, now: int) -> bool: ...

    def take(self, arrival: Arrival, now: int) -> None: ...

    def give_back(self, arrival: Arrival) -> None: ...

    def on_moment(self, now: int) -> None:
        """`next_moment` has come."""


class Room:
    """While the engine has room in its pool."""

    __slots__ = ("_engine", "_used", "next_moment")

    def __init__(self, engine: Engine) -> None:
        self.next_moment: int | None = None
        self._engine = engine
        self._used = 0

    def has_room(self, arrival: Arrival, now: int) -> bool:
        return self._used + self._engine.need(arrival) <= self._engine.pool

    def take(self, arrival: Arrival, now: int) -> None:
        self._used += self._engine.need(arrival)

    def give_back(self, arrival: Arrival) -> None:
        self._used -= self._engine.need(arrival)

    def on_moment(self, now: int) -> None:
        raise AssertionError("nothing happens by itself")


class Count:
    """So many at once."""

    __slots__ = ("_most", "_out", "next_moment")

    def __init__(self, most: int) -> None:
        self.next_moment: int | None = None
        self._most = most
        self._out = 0

    def has_room(self, arrival: Arrival, now: int) -> bool:
        return self._out < self._most

    def take(self, arrival: Arrival, now: int) -> None:
        self._out += 1

    def give_back(self, arrival: Arrival) -> None:
        self._out -= 1

    def on_moment(self, now: int) -> None:
        raise AssertionError("nothing happens by itself")


class Auto:
    """As many as the gateway's own adaptive limit allows, which asks the engine every second what waits in it."""

    __slots__ = ("_engine", "_limit", "_pod", "next_moment")

    def __init__(self, engine: Engine, start: int) -> None:
        self.next_moment: int | None = SCRAPE_EVERY
        self._engine = engine
        self._limit = gates.Adaptive(start)
        self._pod = Pod("engine", "", "engine", "engine", 0)

    def has_room(self, arrival: Arrival, now: int) -> bool:
        return self._pod.in_flight < self._limit.of_pod(self._pod, now / SECOND)

    def take(self, arrival: Arrival, now: int) -> None:
        self._pod.in_flight += 1

    def give_back(self, arrival: Arrival) -> None:
        self._pod.in_flight -= 1

    def on_moment(self, now: int) -> None:
        self._limit.on_scrape(self._pod, len(self._engine.line), now / SECOND)
        self.next_moment = now + SCRAPE_EVERY


class Pace:
    """So many a second, never two for having idled."""

    __slots__ = ("_gate", "next_moment")

    def __init__(self, per_second: float) -> None:
        self.next_moment: int | None = None
        self._gate = gates.ModelGate("", 1 / per_second)

    def has_room(self, arrival: Arrival, now: int) -> bool:
        return self.next_moment is None

    def take(self, arrival: Arrival, now: int) -> None:
        self._gate.take(now / SECOND)
        self.next_moment = round(self._gate.ready_at * SECOND)

    def give_back(self, arrival: Arrival) -> None:
        self._gate.give_back()

    def on_moment(self, now: int) -> None:
        self.next_moment = None
