"""Values and histograms: what moves them, what is refused, and the agreement of the twins."""

import math
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kthena_fast.core import _choice
from kthena_fast.telemetry import _values_py, values

BOUNDS = (0.1, 1.0, 10.0)

Twin = Callable[[str, str], ModuleType]


@pytest.fixture
def room(twin: Twin) -> Any:
    return twin("telemetry", "values")


def test_the_compiled_twin_is_the_one_in_use() -> None:
    name = "_values_py" if _choice.NO_EXTENSIONS else "_values_c"
    assert values.Value.__module__ == values.Histogram.__module__ == f"kthena_fast.telemetry.{name}"


def test_a_value_is_added_to_and_set(room: Any) -> None:
    value = room.Value()
    assert value.number == 0.0
    value.add(2)
    value.add(0.5)
    value.number += 1.0
    assert value.number == 3.5
    value.set(-1)
    assert value.number == -1.0


def test_an_observation_counts_in_the_first_bucket_that_is_not_below_it(room: Any) -> None:
    histogram = room.Histogram(room.bounds_of(BOUNDS))
    for amount in (-1.0, 0.1, 0.10001, 1.0, 9.0, 10.0, 10.5, 1e9):
        histogram.observe(amount)
    assert histogram.counts == [2, 2, 2, 2]
    assert histogram.sum == pytest.approx(1e9 + 29.70001)


def test_histograms_share_their_bounds_and_nothing_else(room: Any) -> None:
    bounds = room.bounds_of((1.0,))
    one, other = room.Histogram(bounds), room.Histogram(bounds)
    one.observe(0.5)
    other.observe(2.0)
    assert (one.counts, one.sum) == ([1, 0], 0.5)
    assert (other.counts, other.sum) == ([0, 1], 2.0)


@pytest.mark.parametrize("amount", [math.nan, math.inf, -math.inf])
def test_a_number_that_is_not_finite_is_refused_and_changes_nothing(room: Any, amount: float) -> None:
    value, histogram = room.Value(), room.Histogram(room.bounds_of(BOUNDS))
    for call in (value.add, value.set, histogram.observe):
        with pytest.raises(ValueError, match="finite"):
            call(amount)
    assert (value.number, histogram.counts, histogram.sum) == (0.0, [0, 0, 0, 0], 0.0)


@pytest.mark.parametrize("bounds", [(), (1.0, 1.0), (2.0, 1.0), (1.0, math.inf), (math.nan,)])
def test_bounds_that_do_not_rise_are_refused(room: Any, bounds: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match=r"bound"):
        room.bounds_of(bounds)


AMOUNTS = st.one_of(
    st.floats(), st.integers(), st.sampled_from([0, -0.0, 1e308, 10**400, -(10**400), "1", None, b"2", True, [1]])
)
CALLS = st.lists(st.tuples(st.sampled_from(["add", "set", "observe"]), AMOUNTS), max_size=60)


def _outcome(value: Any, histogram: Any, name: str, amount: Any) -> Any:
    try:
        getattr(histogram if name == "observe" else value, name)(amount)
    except (TypeError, ValueError, OverflowError) as error:
        return type(error)
    return value.number, histogram.counts, histogram.sum


# Without extensions there is one twin, and nothing for it to agree with.
if not _choice.NO_EXTENSIONS:

    @given(calls=CALLS, bounds=st.lists(st.floats(-1e9, 1e9), min_size=1, max_size=5, unique=True).map(sorted))
    def test_the_twins_agree(calls: list[tuple[str, Any]], bounds: list[float]) -> None:
        made = [(room.Value(), room.Histogram(room.bounds_of(tuple(bounds)))) for room in (_values_py, values)]
        for call in calls:
            pure, compiled = (_outcome(*each, *call) for each in made)
            assert repr(pure) == repr(compiled), call
