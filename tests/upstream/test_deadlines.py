from __future__ import annotations

from typing import cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kthena_fast.upstream import deadlines
from tests.upstream.clock import Clock


@pytest.fixture
async def clock() -> Clock:
    return Clock()


def on(clock: Clock) -> deadlines.Deadlines:
    import asyncio

    return deadlines.Deadlines(cast("asyncio.AbstractEventLoop", clock))


async def test_a_deadline_passes_once_never_early_and_at_most_a_tenth_late(clock: Clock) -> None:
    passed: list[float] = []
    timers = on(clock)
    timers.add(1.0, lambda: passed.append(clock.now))
    clock.advance(1.0)
    assert passed == []
    clock.advance(deadlines.GRANULARITY + 0.001)
    clock.advance(10.0)
    assert len(passed) == 1
    assert 1001.0 <= passed[0] <= 1001.0 + deadlines.GRANULARITY + 1e-6
    assert len(timers) == 0


async def test_thousands_share_one_timer_and_cancelled_ones_hold_nothing(clock: Clock) -> None:
    timers = on(clock)
    handles = [timers.add(number % 60, lambda: None) for number in range(6000)]
    assert (len(timers), clock.timers) == (6000, 1)
    for handle in handles:
        timers.cancel(handle)
    assert len(timers) == 0


async def test_an_earlier_deadline_is_not_kept_waiting_by_a_later_one(clock: Clock) -> None:
    passed: list[str] = []
    timers = on(clock)
    timers.add(60.0, lambda: passed.append("late"))
    timers.add(1.0, lambda: passed.append("early"))
    clock.advance(2.0)
    assert passed == ["early"]
    clock.advance(60.0)
    assert passed == ["early", "late"]
    assert clock.timers == 0


async def test_a_cancelled_deadline_does_not_pass_and_may_be_cancelled_again(clock: Clock) -> None:
    passed: list[str] = []
    timers = on(clock)
    first = timers.add(1.0, lambda: passed.append("first"))
    second = timers.add(1.0, lambda: passed.append("second"))
    timers.cancel(first)
    clock.advance(2.0)
    timers.cancel(first)
    timers.cancel(second)
    assert passed == ["second"]


async def test_a_deadline_may_cancel_and_set_others_as_it_passes(clock: Clock) -> None:
    passed: list[str] = []
    timers = on(clock)

    def again() -> None:
        passed.append("again")
        timers.add(1.0, lambda: passed.append("at last"))

    timers.add(1.0, again)
    clock.advance(3.0)
    assert passed == ["again", "at last"]


async def test_a_deadline_set_as_another_passes_waits_its_time_and_lets_those_before_it_pass_in_theirs(
    clock: Clock,
) -> None:
    passed: list[tuple[str, int]] = []
    timers = on(clock)

    def again() -> None:
        passed.append(("again", round(clock.now - 1000.0)))
        timers.add(30.0, lambda: passed.append(("at last", round(clock.now - 1000.0))))

    timers.add(10.0, lambda: passed.append(("between", round(clock.now - 1000.0))))
    timers.add(1.0, again)
    clock.advance(60.0)
    assert passed == [("again", 1), ("between", 10), ("at last", 31)]


async def test_a_callback_that_fails_is_reported_and_takes_no_other_with_it(clock: Clock) -> None:
    passed: list[str] = []
    timers = on(clock)

    def fail() -> None:
        raise ValueError("no")

    for _ in range(3):
        timers.add(1.0, fail)
        timers.add(1.0, lambda: passed.append("yes"))
    clock.advance(2.0)
    assert passed == ["yes"] * 3
    assert [str(failure) for failure in clock.failures] == ["no"] * 3


async def test_closed_ones_do_not_pass(clock: Clock) -> None:
    passed: list[str] = []
    timers = on(clock)
    timers.add(1.0, lambda: passed.append("passed"))
    timers.close()
    clock.advance(10.0)
    assert (passed, len(timers), clock.timers) == ([], 0, 0)
    timers.close()


@settings(max_examples=50, deadline=None)
@given(delays=st.lists(st.floats(0.0, 100.0), max_size=30), steps=st.lists(st.floats(0.0, 20.0), max_size=20))
async def test_each_deadline_passes_in_its_time_however_the_clock_moves(
    delays: list[float], steps: list[float]
) -> None:
    clock = Clock()
    timers = on(clock)
    passed: dict[int, float] = {}

    def note(number: int) -> None:
        assert number not in passed
        passed[number] = clock.now

    for number, delay in enumerate(delays):
        timers.add(delay, lambda number=number: note(number))  # type: ignore[misc]
    for step in steps:
        clock.advance(step)
    for number, delay in enumerate(delays):
        due = 1000.0 + delay
        if number in passed:
            assert due <= passed[number] + 1e-6
            assert passed[number] <= due + deadlines.GRANULARITY + 1e-6
        else:
            assert clock.now <= due + deadlines.GRANULARITY + 1e-6
