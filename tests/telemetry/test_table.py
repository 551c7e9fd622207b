"""The table of values: slots, growth, release, and the agreement of its twins."""

import math
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kthena_fast.core import _choice
from kthena_fast.telemetry import _table_py, table

BOUNDS = (0.1, 1.0, 10.0)

Twin = Callable[[str, str], ModuleType]


@pytest.fixture
def values(twin: Twin) -> Any:
    return twin("telemetry", "table").Table()


def test_the_compiled_twin_is_the_one_in_use() -> None:
    name = "_table_py" if _choice.NO_EXTENSIONS else "_table_c"
    assert table.Table.__module__ == f"kthena_fast.telemetry.{name}"


def test_a_value_is_added_to_and_set(values: Any) -> None:
    slot = values.value()
    values.add(slot, 2)
    values.add(slot, 0.5)
    assert values.read(slot) == 2.5
    values.set(slot, -1)
    assert values.read(slot) == -1.0


def test_an_observation_counts_in_the_first_bucket_that_is_not_below_it(values: Any) -> None:
    slot = values.histogram(BOUNDS)
    for amount in (-1.0, 0.1, 0.10001, 1.0, 9.0, 10.0, 10.5, 1e9):
        values.observe(slot, amount)
    assert values.read_histogram(slot)[:-1] == [2, 2, 2, 2]
    assert values.read_histogram(slot)[-1] == pytest.approx(1e9 + 29.70001)
    assert values.read(slot) == 8


def test_histograms_of_different_buckets_live_side_by_side(values: Any) -> None:
    one, two, again = values.histogram((1.0,)), values.histogram(BOUNDS), values.histogram((1.0,))
    values.observe(one, 0.5)
    values.observe(two, 5.0)
    values.observe(again, 2.0)
    assert values.read_histogram(one) == [1, 0, 0.5]
    assert values.read_histogram(two) == [0, 0, 1, 0, 5.0]
    assert values.read_histogram(again) == [0, 1, 2.0]


def test_values_survive_growth(values: Any) -> None:
    slots = []
    for number in range(500):
        slot = values.value() if number % 3 else values.histogram(BOUNDS)
        (values.add if number % 3 else values.observe)(slot, number)
        slots.append(slot)
    for number, slot in enumerate(slots):
        assert (values.read(slot) if number % 3 else values.read_histogram(slot)[-1]) == number


def test_released_cells_are_used_again(values: Any) -> None:
    for _ in range(1000):
        value, histogram = values.value(), values.histogram(BOUNDS)
        values.add(value, 7)
        values.observe(histogram, 7)
        values.release(value)
        values.release(histogram)
    assert values.cells == 1 + len(BOUNDS) + 2
    assert values.read(values.value()) == 0
    assert values.read_histogram(values.histogram(BOUNDS)) == [0, 0, 0, 0, 0]


def test_what_is_written_to_a_released_slot_reaches_nobody(values: Any) -> None:
    old = values.value()
    values.release(old)
    new = values.value()
    values.add(old, 5)
    values.set(old, 5)
    values.release(old)
    assert values.read(old) is None
    assert values.read(new) == 0
    gone = values.histogram(BOUNDS)
    values.release(gone)
    values.observe(gone, 1)
    assert values.read_histogram(gone) is None


@pytest.mark.parametrize("amount", [math.nan, math.inf, -math.inf])
def test_a_number_that_is_not_finite_is_refused(values: Any, amount: float) -> None:
    value, histogram = values.value(), values.histogram(BOUNDS)
    for call, slot in ((values.add, value), (values.set, value), (values.observe, histogram)):
        with pytest.raises(ValueError, match="finite"):
            call(slot, amount)


def test_a_value_is_no_histogram(values: Any) -> None:
    value, histogram = values.value(), values.histogram(BOUNDS)
    with pytest.raises(ValueError, match="value"):
        values.observe(value, 1)
    with pytest.raises(ValueError, match="value"):
        values.read_histogram(value)
    with pytest.raises(ValueError, match="histogram"):
        values.add(histogram, 1)
    with pytest.raises(ValueError, match="histogram"):
        values.set(histogram, 1)


@pytest.mark.parametrize("slot", [-1, 0, 5, 1 << 32, 9 << 32, (1 << 32) + 99, 2**62, 2**63, 2**70, -(2**70)])
def test_a_slot_that_was_never_handed_out_is_an_error(values: Any, slot: int) -> None:
    if slot == 1 << 32:
        values.value()
        assert values.read(slot) == 0
        return
    with pytest.raises(IndexError):
        values.add(slot, 1)


@pytest.mark.parametrize("bounds", [(), (1.0, 1.0), (2.0, 1.0), (1.0, math.inf), (math.nan,)])
def test_bounds_that_do_not_rise_are_refused(values: Any, bounds: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match=r"bound"):
        values.histogram(bounds)
    assert values.read_histogram(values.histogram(BOUNDS)) == [0, 0, 0, 0, 0]


AMOUNTS = st.one_of(
    st.floats(), st.integers(), st.sampled_from([0, -0.0, 1e308, 10**400, -(10**400), "1", None, b"2", True, [1]])
)
PLACES = st.one_of(st.integers(0, 12), st.sampled_from([1.5, None, "0", -1, 2**31, 2**64, True]))
CALLS = st.lists(
    st.one_of(
        st.tuples(st.just("value")),
        st.tuples(st.just("histogram"), st.sampled_from([(1.0,), (0.5, 1.0, 2.0), (), (2.0, 1.0)])),
        st.tuples(st.sampled_from(["add", "set", "observe"]), PLACES, AMOUNTS),
        st.tuples(st.sampled_from(["release", "read", "read_histogram"]), PLACES),
    ),
    max_size=60,
)


def _outcome(values: Any, slots: list[int], call: tuple[Any, ...]) -> Any:
    name, *arguments = call
    # A place is one of the slots handed out so far, or what a caller might take for one.
    if name not in {"value", "histogram"} and isinstance(arguments[0], int) and 0 <= arguments[0] < len(slots):
        arguments[0] = slots[arguments[0]]
    try:
        result = getattr(values, name)(*arguments)
    except (TypeError, ValueError, IndexError, OverflowError) as error:
        return type(error)
    if name in {"value", "histogram"}:
        slots.append(result)
    return result


# Without extensions there is one twin, and nothing for it to agree with.
if not _choice.NO_EXTENSIONS:

    @given(calls=CALLS)
    def test_the_twins_agree(calls: list[tuple[Any, ...]]) -> None:
        pure, compiled = _table_py.Table(), table.Table()
        pure_slots: list[int] = []
        compiled_slots: list[int] = []
        for call in calls:
            assert repr(_outcome(pure, pure_slots, call)) == repr(_outcome(compiled, compiled_slots, call)), call
        assert pure_slots == compiled_slots
        assert pure.cells == compiled.cells
