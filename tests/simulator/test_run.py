"""What the paper shows must show here, with the real ledger and heap; and the model's own rules."""

import dataclasses
import random
from functools import cache

import pytest

from kthena_fast.queueing.tariff import Tariff
from kthena_fast.simulator import policies, run, workloads
from kthena_fast.simulator.arrivals import MINUTE, SECOND, Client, Workload
from kthena_fast.simulator.measures import Result, Wait
from tests.simulator.given import arrival, workload

BOUNDED = ("vtc", "vtc-predict", "vtc-oracle")
FAIR = ("lcf", "window", "window-predict", *BOUNDED)
ONE_SIZE = [name for name in workloads.SYNTHETIC if not name.startswith("poisson")]


@cache
def played(workload_name: str, policy: str) -> Result:
    return run.simulate(workloads.synthetic(workload_name, 42), policies.policy(policy), run.Setup())


def wait(result: Result, client: int) -> Wait:
    found = result.clients[client].wait
    assert found is not None
    return found


# What the paper shows


def test_overload_is_split_as_it_is_asked_for_by_fcfs_and_equally_by_every_fair_policy() -> None:
    first, second = played("overload", "fcfs").clients
    assert second.rate / first.rate == pytest.approx(2, rel=0.01)
    for policy in FAIR:
        first, second = played("overload", policy).clients
        assert second.rate / first.rate == pytest.approx(1, rel=0.03), policy


@pytest.mark.parametrize(("name", "client"), [("on_off_less", 0), ("proportional", 0), ("proportional", 1)])
def test_a_client_under_its_share_waits_seconds_where_fcfs_makes_it_wait_a_minute(name: str, client: int) -> None:
    assert wait(played(name, "fcfs"), client).mean > 60
    for policy in FAIR:
        assert wait(played(name, policy), client).p99 < 5, policy
        assert played(name, policy).clients[client].finished >= 0.95 * played(name, policy).clients[client].requests


def test_a_client_that_rises_past_its_share_waits_alone() -> None:
    assert wait(played("increase", "fcfs"), 0).p99 > 15
    assert wait(played("increase", "vtc"), 0).p99 < 1


@pytest.mark.parametrize("name", ONE_SIZE)
def test_throughput_is_within_a_hundredth_of_that_of_fcfs(name: str) -> None:
    for policy in FAIR:
        assert played(name, policy).tokens_per_second == pytest.approx(played(name, "fcfs").tokens_per_second, rel=0.01)


@pytest.mark.parametrize("name", ["poisson_short_long", "poisson_short_long_2"])
def test_where_sizes_differ_the_engine_is_as_busy_as_under_fcfs(name: str) -> None:
    # Tokens a second depend on whose requests are served: 64/64 gives more of them than 256/256.
    for policy in FAIR:
        assert played(name, policy).pool_use == pytest.approx(played(name, "fcfs").pool_use, rel=0.02)


@pytest.mark.parametrize("name", workloads.SYNTHETIC)
def test_the_gap_stays_within_the_bound(name: str) -> None:
    for policy in BOUNDED:
        result = played(name, policy)
        assert result.is_bounded
        assert 0 < result.gap <= result.bound <= result.safe_bound


def test_the_gap_of_fcfs_grows_far_beyond_the_bound() -> None:
    assert played("overload", "fcfs").gap > 5 * played("overload", "fcfs").bound


@pytest.mark.parametrize("name", ["overload-weighted", "overload-weighted_2"])
def test_shares_divide_the_engine_whatever_is_asked_for(name: str) -> None:
    for policy in FAIR:
        clients = played(name, policy).clients
        total = sum(client.rate for client in clients)
        assert [client.rate / total for client in clients] == pytest.approx([0.1, 0.2, 0.3, 0.4], rel=0.05), policy


def test_eight_clients_get_an_eighth_each() -> None:
    assert played("overload-multi", "fcfs").jain_service < 0.97
    for policy in FAIR:
        assert played("overload-multi", policy).jain_service > 0.999


def test_only_lcf_and_window_hold_against_a_client_what_he_took_while_nobody_waited() -> None:
    # In the second phase both ask for more than half; the second client took more before, from nobody.
    def second_client(policy: str) -> float:
        rates = played("dist_shift", policy).course.rates[10:17]
        return sum(tick[1] for tick in rates) / len(rates)

    assert second_client("vtc") == pytest.approx(669, rel=0.03)
    for policy in ("lcf", "window"):
        assert second_client(policy) < 0.9 * 669


def test_rpm_wastes_the_engine_while_it_refuses() -> None:
    limited = played("overload", "rpm:30")
    assert limited.tokens_per_second < 0.6 * played("overload", "fcfs").tokens_per_second
    assert [(client.requests, client.rejected) for client in limited.clients] == [(540, 360), (1080, 900)]


def test_reserving_narrows_the_gap_where_more_is_given_to_the_engine_than_it_has_room_for() -> None:
    for name in ("overload", "overload-multi", "overload-weighted"):
        for policy, reserving in (("window", "window-predict"), ("vtc", "vtc-predict")):
            plain, reserved = (
                run.simulate(workloads.synthetic(name, 42), policies.policy(one), run.Setup(concurrency=32))
                for one in (policy, reserving)
            )
            assert reserved.gap < plain.gap / 2


# The bound, sought


def hostile(seed: int) -> tuple[Workload, run.Setup]:
    """Any sizes, rates, bursts, shares, weights and permits."""
    draw = random.Random(seed)
    clients = [Client(f"c{number}", draw.choice([1.0, 1.0, 2.0, 3.0])) for number in range(draw.randint(2, 5))]
    longest_in, longest_out = draw.choice([1, 16, 256, 2048]), draw.choice([1, 8, 64, 256])
    ends = draw.randint(20, 60)
    arrivals = []
    for client in range(len(clients)):
        rate = draw.choice([20, 200, 600])
        at = 0.0
        while (at := at + draw.expovariate(rate / 60)) < ends:
            tokens_in, tokens_out = draw.randint(1, longest_in), draw.randint(1, longest_out)
            count = 1 if draw.random() < 0.95 else draw.randint(1, 40)
            arrivals += [arrival(at, client, tokens_in, tokens_out)] * count
    weights = draw.choice([(1, 2, 0), (1, 1, 0), (2, 1, 0), (0, 1, 0), (1, 0, 0), (1, 2, 50)])
    setup = run.Setup(tariff=Tariff.of(*weights), window=MINUTE, concurrency=draw.choice([None, 1, 2, 5, 32]))
    return workload(arrivals, clients, ends * SECOND), setup


@pytest.mark.parametrize("policy", BOUNDED)
def test_nothing_exceeds_the_safe_bound(policy: str) -> None:
    for seed in range(40):
        given, setup = hostile(seed)
        result = run.simulate(given, policies.policy(policy), setup)
        assert result.gap <= result.safe_bound * (1 + 1e-9), seed


def test_with_one_permit_two_clients_differ_by_a_request_each_way_which_is_more_than_the_bound() -> None:
    # One is ahead by the input and the output of a request, and then the other: 2 x (w_in L + w_out O), where the
    # bound has the larger of the two instead of the sum.
    draw = random.Random(5)
    arrivals = [arrival(0.001 * number, draw.randrange(2), 256, draw.randint(100, 128)) for number in range(100)]
    given = workload(arrivals, ends=5 * MINUTE)
    result = run.simulate(given, policies.policy("vtc"), run.Setup(concurrency=1))
    assert result.most_permits == 1
    assert result.bound == 2 * 256
    assert 1.9 * 512 < result.gap <= result.safe_bound
    assert result.safe_bound == 2 * 512


# The rules of a run


@pytest.mark.parametrize("policy", policies.EVERY)
def test_taking_steps_together_changes_nothing(policy: str) -> None:
    given = workloads.synthetic("on_off_overload", 7)
    shortened = dataclasses.replace(given, ends=90 * SECOND)
    setup = run.Setup(window=MINUTE)
    one_by_one = run.simulate(shortened, policies.policy(policy), dataclasses.replace(setup, most_steps=1))
    assert run.simulate(shortened, policies.policy(policy), setup) == one_by_one


def test_the_same_seed_gives_the_same_result() -> None:
    again = run.simulate(workloads.synthetic("poisson_short_long_2", 42), policies.policy("vtc"), run.Setup())
    assert again == played("poisson_short_long_2", "vtc")


def test_a_lower_class_is_served_strictly_first() -> None:
    arrivals = [arrival(0.01 * number, number % 2, 256, 256) for number in range(200)]
    clients = [Client("batch", rank=1), Client("interactive", rank=0)]
    result = run.simulate(workload(arrivals, clients), policies.policy("vtc"), run.Setup())
    assert result.clients[1].answered == 100
    assert result.clients[0].answered < 50
    # The bound holds within a class, and nobody else is in theirs.
    assert result.gap == 0


def test_requests_beyond_the_limit_of_any_minute_are_refused() -> None:
    arrivals = [arrival(at, tokens_out=1) for at in (0, 1, 2, 59.9, 60, 60.5, 61)]
    (client,) = run.simulate(workload(arrivals, ends=2 * MINUTE), policies.policy("rpm:2"), run.Setup()).clients
    # 0 and 1 are taken; 60 is a minute after 0, and 61 after 1.
    assert (client.rejected, client.finished) == (3, 4)


def test_an_oracle_knows_and_a_prediction_learns() -> None:
    assert played("overload", "vtc-oracle").bound == played("overload", "vtc").bound
    # The first answers are predicted as nothing: an error of 256 tokens for each of 19 permits.
    assert played("overload", "vtc-predict").bound == played("overload", "vtc").bound + 19 * 2 * 256


@pytest.mark.parametrize("setup", [run.Setup(concurrency=8), run.Setup(max_qps=1.0), run.Setup(auto=2)])
def test_every_mode_of_permits_serves_all_in_the_end(setup: run.Setup) -> None:
    arrivals = [arrival(number / 10, number % 3, 10, 10) for number in range(30)]
    result = run.simulate(workload(arrivals), policies.policy("vtc"), setup)
    assert sum(client.finished for client in result.clients) == 30


def test_no_more_go_at_once_than_there_are_permits_and_the_engine_is_the_emptier_for_it() -> None:
    few = run.simulate(workloads.synthetic("overload", 42), policies.policy("vtc"), run.Setup(concurrency=8))
    assert few.most_permits == 8
    assert few.tokens_per_second < 0.6 * played("overload", "vtc").tokens_per_second


def test_the_adaptive_limit_comes_near_to_what_the_engine_has_room_for() -> None:
    given = workloads.synthetic("on_off_less", 42)
    adaptive = run.simulate(given, policies.policy("vtc"), run.Setup(auto=32))
    assert adaptive.tokens_per_second == pytest.approx(played("on_off_less", "vtc").tokens_per_second, rel=0.01)
    assert wait(adaptive, 0).mean < 2
    blind = run.simulate(given, policies.policy("vtc"), run.Setup(max_qps=100))
    assert wait(blind, 0).mean > 60


def test_a_pace_lets_one_go_per_interval_and_never_two_for_having_idled() -> None:
    arrivals = [arrival(10, tokens_out=1) for _ in range(5)]
    (client,) = run.simulate(workload(arrivals), policies.policy("fcfs"), run.Setup(max_qps=0.5)).clients
    assert client.wait is not None
    assert client.wait.most == pytest.approx(8, abs=0.1)


def test_a_policy_that_is_none_is_refused_with_the_names_there_are() -> None:
    for name in ("best", "rpm", "rpm:0", "rpm:1.5", "rpm:-1", ""):
        with pytest.raises(ValueError, match=r"is not a policy; there are fcfs, .* and rpm:N"):
            policies.policy(name)
