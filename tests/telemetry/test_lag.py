"""The lag of the loop, with a loop whose clock the test moves."""

import asyncio
from collections.abc import Callable
from typing import Any, cast

from kthena_fast.telemetry import metrics
from kthena_fast.telemetry.lag import LoopLag
from kthena_fast.telemetry.registry import Registry


class Timer:
    def __init__(self, due: float, callback: Callable[[], None]) -> None:
        self.due = due
        self.callback = callback
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


class Loop:
    """Its time goes on when a test says so."""

    def __init__(self) -> None:
        self.now = 0.0
        self.timers: list[Timer] = []

    def time(self) -> float:
        return self.now

    def call_later(self, delay: float, callback: Callable[[], None]) -> Timer:
        self.timers.append(Timer(self.now + delay, callback))
        return self.timers[-1]

    def run(self, late: float) -> None:
        timer = self.timers.pop()
        self.now = timer.due + late
        timer.callback()


def observed(registry: Registry) -> list[float]:
    child = registry.histogram(metrics.LOOP_LAG)
    return [*child.counts, child.sum]


def lag_of(loop: Loop, registry: Registry) -> LoopLag:
    return LoopLag(cast("asyncio.AbstractEventLoop", loop), registry, interval=0.25)


def test_each_sample_is_how_late_the_timer_ran() -> None:
    loop, registry = Loop(), Registry()
    lag_of(loop, registry).start()
    for late in (0.0, -0.0004, 0.25, 3.0):
        loop.run(late)
    numbers = observed(registry)
    assert numbers[0] == 2
    assert numbers[metrics.LAG_BUCKETS.index(0.25)] == 1
    assert numbers[-2] == 1
    assert numbers[-1] == 3.25


def test_one_timer_at_a_time_and_none_after_stop() -> None:
    loop, registry = Loop(), Registry()
    lag = lag_of(loop, registry)
    lag.start()
    lag.start()
    assert len(loop.timers) == 1
    (timer,) = loop.timers
    lag.stop()
    lag.stop()
    assert timer.cancelled


async def test_a_real_loop_serves_it() -> None:
    registry = Registry()
    loop = asyncio.get_running_loop()
    sampled: asyncio.Future[None] = loop.create_future()
    lag = LoopLag(loop, registry, interval=0.001)
    observe: Any = lag._on_timer

    def on_timer() -> None:
        observe()
        if not sampled.done():
            sampled.set_result(None)

    lag._on_timer = on_timer  # type: ignore[method-assign]
    lag.start()
    await sampled
    lag.stop()
    assert sum(observed(registry)[:-1]) >= 1
