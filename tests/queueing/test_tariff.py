"""Tokens into units and back, with weights that are exact."""

import math

import pytest

from kthena_fast.queueing.tariff import MOST, Tariff


def test_units_are_tokens_times_weights_in_thousandths() -> None:
    tariff = Tariff.of(1.0, 2.5, 0.001)
    assert tariff.input_units(10) == 10_000
    assert tariff.output_units(10) == 25_000
    assert tariff.request_weight == 1
    assert tariff.service(25_000) == 25.0


def test_a_weight_of_nothing_costs_nothing() -> None:
    tariff = Tariff.of(0.0, 1.0)
    assert tariff.input_units(1_000_000) == 0
    assert tariff.request_weight == 0


def test_a_weight_above_nothing_never_rounds_to_nothing() -> None:
    assert Tariff.of(1e-9, 1.0).input_weight == 1


@pytest.mark.parametrize("weight", [-0.001, MOST + 1.0, math.nan, math.inf])
def test_a_weight_that_is_none_is_refused(weight: float) -> None:
    with pytest.raises(ValueError, match="a weight must be from 0 to 1000000"):
        Tariff.of(1.0, weight)


def test_weights_of_which_none_counts_are_refused() -> None:
    with pytest.raises(ValueError, match="a weight must be above 0"):
        Tariff.of(0.0, 0.0)


def test_service_that_was_charged_under_other_weights_stays_what_it_was() -> None:
    before, after = Tariff.of(1.0, 2.0), Tariff.of(3.0, 7.0)
    assert after.service(before.output_units(5)) == 10.0
