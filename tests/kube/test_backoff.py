from __future__ import annotations

import random

import pytest

from kthena_fast.kube.backoff import Backoff


def test_each_wait_is_twice_the_one_before_up_to_the_most() -> None:
    backoff = Backoff(0.2, 10.0, lambda: 1.0)
    assert [backoff.fail() for _ in range(8)] == pytest.approx([0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10.0, 10.0])
    assert backoff.failed == 8


def test_the_least_drawn_waits_half() -> None:
    backoff = Backoff(1.0, 10.0, lambda: 0.0)
    assert [backoff.fail() for _ in range(6)] == [0.5, 1.0, 2.0, 4.0, 5.0, 5.0]


def test_what_is_drawn_is_spread_over_that_half_and_is_another_each_time() -> None:
    backoff = Backoff(8.0, 8.0, random.Random(1).random)
    waits = [backoff.fail() for _ in range(1000)]
    assert 4.0 <= min(waits) < 4.1
    assert 7.9 < max(waits) <= 8.0
    assert len(set(waits)) == 1000
    assert sum(waits) / 1000 == pytest.approx(6.0, abs=0.2)


def test_after_a_success_it_begins_anew() -> None:
    backoff = Backoff(1.0, 60.0, lambda: 1.0)
    assert [backoff.fail(), backoff.fail(), backoff.fail()] == [1.0, 2.0, 4.0]
    backoff.succeed()
    assert backoff.failed == 0
    assert backoff.fail() == 1.0


def test_it_may_fail_for_years() -> None:
    backoff = Backoff(0.2, 10.0, lambda: 1.0)
    assert [backoff.fail() for _ in range(5000)][-1] == 10.0
