"""The figures, by hand."""

import numpy as np
import pytest

from kthena_fast.queueing.tariff import Tariff
from kthena_fast.simulator import measures, policies, run
from kthena_fast.simulator.arrivals import SECOND, Client
from kthena_fast.simulator.engine import BASE, EACH
from tests.simulator.given import arrival, workload


def test_jains_index_is_one_for_equals_and_one_by_n_if_one_has_all() -> None:
    assert measures.jain([3.0, 3.0, 3.0]) == pytest.approx(1)
    assert measures.jain([5.0, 0.0, 0.0, 0.0]) == pytest.approx(0.25)
    assert measures.jain([1.0, 2.0]) == pytest.approx(0.9)
    assert measures.jain([]) == measures.jain([0.0, 0.0]) == 1


def test_a_percentile_is_the_least_wait_that_so_many_do_not_exceed() -> None:
    waits = measures.wait([float(number) for number in range(100, 0, -1)])
    assert waits == measures.Wait(mean=50.5, p50=50, p99=99, most=100)
    assert measures.wait([7.0]) == measures.Wait(7, 7, 7, 7)


def test_of_no_waits_there_is_no_percentile() -> None:
    assert measures.wait([]) is None


def test_the_service_difference_counts_who_is_behind_only_as_far_as_he_asked_for_more() -> None:
    served = np.array([[10.0, 4.0, 6.0], [5.0, 5.0, 5.0]])
    requested = np.array([[12.0, 20.0, 7.0], [9.0, 9.0, 9.0]])
    # First tick: 0 for the one ahead, 6 behind (asked for 16 more), 1 (asked for 1 more, 4 behind). Second: nobody.
    assert measures.service_difference(served, requested) == measures.Difference(most=7, mean=3.5, variance=12.25)
    assert measures.service_difference(np.zeros((0, 2)), np.zeros((0, 2))) == measures.Difference(0, 0, 0)


def test_the_bounds_follow_the_longest_request_the_most_permits_the_worst_estimate_and_the_least_share() -> None:
    given = workload(
        [arrival(0, 0, 10, 200), arrival(1, 1, 3000, 5)], [Client("c1", share=0.5), Client("c2", share=4.0)]
    )
    records = measures.Records(given, Tariff.of(1, 2, 50))
    records.most_out = 4
    records.worst_estimate = 30
    bound, safe_bound = measures.bounds(given, Tariff.of(1, 2, 50), records)
    once, outputs, error = 3050, 4 * 400, 4 * 60
    assert bound == (2 * max(once, outputs) + error) / 0.5 * 1000
    assert safe_bound == (2 * (once + outputs) + error) / 0.5 * 1000


def test_one_request_is_measured_to_the_nanosecond() -> None:
    given = workload([arrival(10, tokens_in=300, tokens_out=60)])
    result = run.simulate(given, policies.policy("vtc"), run.Setup())
    (client,) = result.clients
    assert (client.requests, client.rejected, client.answered, client.finished) == (1, 0, 1, 1)
    assert client.rate == client.requested_rate == (300 + 2 * 60) / 60
    assert client.wait is not None
    assert client.wait.most == (BASE + EACH) / SECOND
    assert result.tokens_per_second == 360 / 60
    assert result.pool_use == pytest.approx(360 * 60 * (BASE + EACH) / 1e9 / (10_000 * 60))
    assert result.most_permits == 1
    assert result.gap == 0


def test_who_still_waits_at_the_end_has_no_wait_and_was_not_answered() -> None:
    given = workload([arrival(0, tokens_out=9_000), arrival(0.001, tokens_out=9_000)])
    (client,) = run.simulate(given, policies.policy("fcfs"), run.Setup()).clients
    assert (client.requests, client.answered, client.finished) == (2, 1, 0)


def test_rates_are_over_the_minute_around_each_half_minute() -> None:
    given = workload([arrival(45, tokens_in=600, tokens_out=0)], ends=180 * SECOND)
    result = run.simulate(given, policies.policy("vtc"), run.Setup())
    # Ticks at 30, 60, ... 150 s: the request is in the minutes around 30 and 60.
    assert [rate for (rate,) in result.course.rates] == [10, 10, 0, 0, 0]
    assert [waits[0] is not None for waits in result.course.waits] == [False, True, False, False, False, False, False]


def test_no_request_at_all_is_measured_too() -> None:
    result = run.simulate(workload([]), policies.policy("vtc"), run.Setup())
    assert (result.gap, result.bound, result.tokens_per_second, result.jain_service) == (0, 0, 0, 1)
