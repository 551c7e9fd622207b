"""How many may go at once: a fixed number, one that engines teach, one per interval."""

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kthena_fast.queueing import gates
from kthena_fast.routing.snapshot import Pod, Server


def pod(name: str = "p") -> Pod:
    return Pod(f"default/s {name}", "default", name, "10.0.0.1", 8000)


def server(*pods: Pod) -> Server:
    return Server("default/s", engine="vLLM", model=None, pods=pods, timeout=None, retry_attempts=1, retry_interval=0.0)


def test_a_fixed_limit_is_the_same_for_one_pod_and_for_many() -> None:
    gate = gates.ServerGate("default/s", gates.Fixed(3))
    gate.serve(server(pod("a")))
    assert gate.limit(0.0) == 3
    gate.serve(server(pod("a"), pod("b")))
    assert gate.limit(0.0) == 3


@pytest.mark.parametrize("limit", [gates.Fixed(3), gates.Adaptive(3)])
def test_a_server_without_pods_has_no_room(limit: gates.Limit) -> None:
    gate = gates.ServerGate("default/s", limit)
    assert not gate.has_room(0.0)
    gate.serve(server())
    assert not gate.has_room(0.0)
    gate.serve(server(pod()))
    assert gate.has_room(0.0)
    gate.serve(None)
    assert not gate.has_room(0.0)


def test_permits_are_counted() -> None:
    gate = gates.ServerGate("default/s", gates.Fixed(1))
    gate.serve(server(pod()))
    gate.take(0.0)
    assert not gate.has_room(0.0)
    gate.give_back()
    assert gate.has_room(0.0)


def test_where_nothing_was_learned_each_pod_has_what_it_starts_with() -> None:
    gate = gates.ServerGate("default/s", gates.Adaptive(32))
    gate.serve(server(pod("a"), pod("b"), pod("c")))
    assert gate.limit(0.0) == 96


@pytest.mark.parametrize(
    ("in_flight", "waiting", "becomes"),
    [
        # Requests wait in the engine: what is in flight less those.
        (32, 4.0, 28),
        (32, 31.0, 1),
        # Others' requests wait there too: never less than one.
        (2, 50.0, 1),
        (0, 1.0, 1),
        # None wait, and all that is allowed is used: an eighth more.
        (32, 0.0, 36),
        (40, 0.0, 36),
        # None wait, but there was room anyway: nothing was learned.
        (31, 0.0, 32),
        (0, 0.0, 32),
    ],
)
def test_a_scrape_moves_the_limit_of_a_pod(in_flight: int, waiting: float, becomes: int) -> None:
    limit, asked = gates.Adaptive(32), pod()
    asked.in_flight = in_flight
    limit.on_scrape(asked, waiting, 100.0)
    assert limit.of_pod(asked, 100.0) == becomes


def test_a_small_limit_grows_by_one() -> None:
    limit, asked = gates.Adaptive(1), pod()
    grown = []
    for _ in range(9):
        asked.in_flight = limit.of_pod(asked, 100.0)
        limit.on_scrape(asked, 0.0, 100.0)
        grown.append(limit.of_pod(asked, 100.0))
    assert grown == [2, 3, 4, 5, 6, 7, 8, 9, 10]


def test_metrics_older_than_five_seconds_say_nothing() -> None:
    limit, asked = gates.Adaptive(32), pod()
    asked.in_flight = 32
    limit.on_scrape(asked, 30.0, 100.0)
    assert limit.of_pod(asked, 105.0) == 2
    assert limit.of_pod(asked, 105.001) == 32
    # And what comes then starts from there.
    limit.on_scrape(asked, 0.0, 200.0)
    assert limit.of_pod(asked, 200.0) == 36


def test_the_limit_that_a_gate_keeps_ends_with_the_metrics_it_was_made_of() -> None:
    limit, first, second = gates.Adaptive(32), pod("a"), pod("b")
    gate = gates.ServerGate("default/s", limit)
    gate.serve(server(first, second))
    assert gate.limit(100.0) == 64
    first.in_flight = 32
    limit.on_scrape(first, 31.0, 100.0)
    gate.relearn()
    assert gate.limit(100.0) == 33
    assert gate.limit(105.0) == 33
    assert gate.limit(105.1) == 64


def test_pods_that_left_are_forgotten() -> None:
    limit, asked = gates.Adaptive(32), pod()
    asked.in_flight = 32
    limit.on_scrape(asked, 31.0, 100.0)
    limit.forget([asked])
    assert limit.of_pod(asked, 100.0) == 32


class Naive:
    """`Adaptive` without a sum that is kept."""

    def __init__(self, start: int) -> None:
        self.start = start
        self.learned: dict[str, tuple[int, float]] = {}

    def of_pod(self, asked: Pod, now: float) -> int:
        limit, at = self.learned.get(asked.key, (self.start, -math.inf))
        return limit if now - at <= gates.FRESH_SECONDS else self.start

    def of(self, served: Server, now: float) -> tuple[int, float]:
        ages = [self.learned[each.key][1] for each in served.pods if each.key in self.learned]
        fresh = [at + gates.FRESH_SECONDS for at in ages if now - at <= gates.FRESH_SECONDS]
        return sum(self.of_pod(each, now) for each in served.pods), min(fresh, default=math.inf)

    def on_scrape(self, asked: Pod, waiting: float, now: float) -> None:
        limit = self.of_pod(asked, now)
        if waiting > 0:
            limit = max(1, asked.in_flight - int(waiting))
        elif asked.in_flight >= limit:
            limit += max(1, limit // 8)
        self.learned[asked.key] = (limit, now)


PODS = [pod(name) for name in "abcde"]
SCRAPES = st.tuples(st.sampled_from(PODS), st.integers(0, 60), st.sampled_from([0.0, 0.0, 1.0, 30.0]))
CHANGES = st.lists(st.sampled_from(PODS), unique=True)


@given(calls=st.lists(st.tuples(st.sampled_from([0.0, 0.5, 1.0, 4.0, 5.0, 5.5]), SCRAPES | CHANGES), max_size=40))
def test_the_sum_that_is_kept_is_the_sum(calls: list[tuple[float, Any]]) -> None:
    limit, naive, now = gates.Adaptive(32), Naive(32), 0.0
    served = server(*PODS)
    for passed, call in calls:
        now += passed
        if isinstance(call, tuple):
            asked, asked.in_flight, waiting = call
            limit.on_scrape(asked, waiting, now)
            naive.on_scrape(asked, waiting, now)
        else:
            served = server(*call)
            if len(call) % 2:
                # Those that are gone may be forgotten before or after the server is known to be without them.
                limit.of(served, now)
            limit.forget([each for each in PODS if each not in call])
            for key in naive.learned.keys() - {each.key for each in call}:
                del naive.learned[key]
        total, until = limit.of(served, now)
        expected, holds = naive.of(served, now)
        assert total == expected
        # It may be asked for again before it must, never after.
        assert until <= holds
        assert until >= now
        for each in PODS:
            assert limit.of_pod(each, now) == naive.of_pod(each, now)


def test_a_model_has_one_turn_per_interval() -> None:
    gate = gates.ModelGate("m", 0.01)
    assert gate.has_room(100.0)
    gate.take(100.0)
    assert not gate.has_room(100.009)
    assert gate.has_room(100.01)


def test_two_never_go_at_once_for_having_idled() -> None:
    """Upstream's ticker keeps one spare tick, so two requests pass at once after idling."""
    gate = gates.ModelGate("m", 0.01)
    gate.take(100.0)
    gate.take(500.0)
    assert not gate.has_room(500.009)


def test_the_lateness_of_a_timer_does_not_slow_those_who_wait() -> None:
    gate = gates.ModelGate("m", 0.01)
    gate.take(100.0)
    gate.is_awaited = True
    gate.take(100.012)
    assert gate.has_room(100.021)


def test_a_loop_that_stood_still_lets_no_crowd_through() -> None:
    gate = gates.ModelGate("m", 0.01)
    gate.take(100.0)
    gate.is_awaited = True
    went = 0
    while gate.has_room(105.0):
        gate.take(105.0)
        went += 1
    assert went <= 2
