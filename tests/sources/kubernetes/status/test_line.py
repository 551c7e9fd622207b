from __future__ import annotations

from kthena_fast.routing.findings import Identity
from kthena_fast.sources.kubernetes.status.line import BURST, EVERY, Allowances, Line
from kthena_fast.sources.kubernetes.status.update import Prepared

A, B = (Identity("ModelRoute", f"ns/{name}") for name in "ab")
CHANGE = Prepared("1", {})


def test_the_one_that_waits_longest_is_first_and_keeps_its_place() -> None:
    line = Line()
    line.add(A)
    line.add(B)
    line.add(A, CHANGE)
    assert line.first(0.0) == A
    assert line.remove(A) == CHANGE
    assert (line.first(0.0), line.waiting, len(line)) == (B, 1, 1)
    assert line.remove(A) is None


def test_one_that_is_held_comes_again_in_its_time_and_once() -> None:
    line = Line()
    line.add(A, CHANGE)
    line.hold(A, 10.0)
    line.hold(A, 11.0)
    assert (line.first(9.9), line.waiting, len(line)) == (None, 0, 1)
    line.add(A)
    assert line.first(9.9) == A
    line.remove(A)
    assert line.first(10.0) == A
    # What was to be written is old by now.
    assert line.remove(A) is None
    assert (line.first(20.0), len(line)) == (None, 0)


def test_a_generation_may_be_written_a_few_times_and_then_now_and_then() -> None:
    allowances = Allowances()
    assert [allowances.take(A, 1, 0.0) for _ in range(BURST)] == [0.0] * BURST
    assert allowances.take(A, 1, 0.0) == EVERY
    # None does not tell which generation it is, so it may be the same.
    assert allowances.take(A, None, 30.0) == EVERY - 30.0
    assert allowances.take(B, 1, 30.0) == 0.0
    assert allowances.take(A, 2, 30.0) == 0.0


def test_who_was_not_written_for_a_while_is_forgotten() -> None:
    allowances = Allowances()
    allowances.take(A, 1, 0.0)
    allowances.take(B, None, EVERY - 1)
    allowances.forget_unused(EVERY + 1)
    assert list(allowances._buckets) == [B]
    assert not allowances._generations
