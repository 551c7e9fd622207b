"""Spacings, and the table of workloads."""

import random
from itertools import pairwise

import pytest

from kthena_fast.simulator import arrivals, workloads
from kthena_fast.simulator.arrivals import MINUTE, SECOND, Spacing

SPACINGS: dict[str, Spacing] = {
    "even": arrivals.even(90, 30, 90),
    "poisson": arrivals.poisson(90, 30, 90),
    "rising": arrivals.rising(12, 120, 30, 90),
    "on_off": arrivals.on_off(arrivals.even(90, 30, 90), 10, 30),
    "in_turn": arrivals.in_turn(arrivals.even(60, 30, 60), arrivals.even(90, 60, 90)),
}


@pytest.mark.parametrize("name", SPACINGS)
def test_times_ascend_between_begin_and_end(name: str) -> None:
    times = list(SPACINGS[name](random.Random(1)))
    assert times == sorted(times)
    assert times[0] >= 30
    assert times[-1] < 90


def test_even_requests_are_equally_far_from_each_other_after_a_random_phase() -> None:
    phases = set()
    for seed in range(5):
        times = list(arrivals.even(30, 0, 60)(random.Random(seed)))
        assert len(times) == 30
        assert all(later - earlier == pytest.approx(2) for earlier, later in pairwise(times))
        phases.add(times[0])
    assert len(phases) == 5


def test_poisson_requests_come_as_often_as_said_and_vary() -> None:
    times = list(arrivals.poisson(60, 0, 10_000)(random.Random(1)))
    distances = [later - earlier for earlier, later in pairwise(times)]
    assert len(times) == pytest.approx(10_000, rel=0.03)
    # An exponential distribution's deviation is its mean.
    mean = sum(distances) / len(distances)
    assert sum((distance - mean) ** 2 for distance in distances) / len(distances) == pytest.approx(mean**2, rel=0.1)


def test_a_rising_rate_begins_and_ends_as_said() -> None:
    times = list(arrivals.rising(12, 120, 0, 600)(random.Random(1)))
    assert len(times) == pytest.approx((12 + 120) / 2 * 10, abs=1)
    assert sum(at < 60 for at in times) == pytest.approx(12 + 5.4, abs=1)
    assert sum(at >= 540 for at in times) == pytest.approx(120 - 5.4, abs=1)


def test_on_and_off_alternate_from_on() -> None:
    times = list(arrivals.on_off(arrivals.even(600, 0, 600), 60)(random.Random(1)))
    assert {int(at / 60) for at in times} == {0, 2, 4, 6, 8}


@pytest.mark.parametrize(
    ("name", "minutes", "per_client"),
    [
        ("overload", 6, [540, 1080]),
        ("proportional", 10, [150, 300, 900]),
        ("on_off_less", 10, [150, 1200]),
        ("on_off_overload", 10, [600, 1800]),
        ("increase", 10, [300, 660]),
        ("dist_shift", 15, [90 + 300 + 150, 600 + 300 + 450]),
        ("overload-multi", 6, [144] * 3 + [216] * 5),
        ("overload-weighted", 6, [144, 288, 432, 576]),
        ("overload-weighted_2", 6, [288, 288, 432, 576]),
    ],
)
def test_a_workload_has_the_rates_of_the_papers_artifact(name: str, minutes: int, per_client: list[int]) -> None:
    made = workloads.synthetic(name, 42)
    counts = [sum(one.client == client for one in made.arrivals) for client in range(len(made.clients))]
    assert counts == pytest.approx(per_client, abs=1)
    assert made.ends == minutes * MINUTE
    assert {(one.input, one.output, one.limit) for one in made.arrivals} == {(256, 256, 256)}
    assert all(earlier.at <= later.at < made.ends for earlier, later in pairwise(made.arrivals))


@pytest.mark.parametrize(
    ("name", "sizes"),
    [("poisson_short_long", [(64, 64), (256, 256)]), ("poisson_short_long_2", [(512, 32), (32, 512)])],
)
def test_a_poisson_workload_has_its_sizes_and_rates(name: str, sizes: list[tuple[int, int]]) -> None:
    made = workloads.synthetic(name, 42)
    for client, (rate, size) in enumerate(zip((480, 90), sizes, strict=True)):
        own = [one for one in made.arrivals if one.client == client]
        assert {(one.input, one.output) for one in own} == {size}
        assert len(own) == pytest.approx(rate * 10, rel=0.1)


def test_dist_shift_changes_every_five_minutes() -> None:
    made = workloads.synthetic("dist_shift", 42)
    per_phase = [
        [sum(one.client == client and one.at // (300 * SECOND) == phase for one in made.arrivals) for client in (0, 1)]
        for phase in range(3)
    ]
    assert per_phase == [pytest.approx(pair, abs=1) for pair in ([90, 600], [300, 300], [150, 450])]


def test_shares_are_those_of_the_weighted_workloads() -> None:
    for name in ("overload-weighted", "overload-weighted_2"):
        assert [client.share for client in workloads.synthetic(name, 42).clients] == [1, 2, 3, 4]


def test_the_same_seed_gives_the_same_requests_and_another_gives_others() -> None:
    for name in workloads.SYNTHETIC:
        assert workloads.synthetic(name, 42) == workloads.synthetic(name, 42)
        assert workloads.synthetic(name, 42).arrivals != workloads.synthetic(name, 43).arrivals
