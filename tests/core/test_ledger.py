"""The rules of `core.ledger`, each on both twins."""

import itertools
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.core.events import Events

START = 1_790_000_000.0

Twin = Callable[[str, str], ModuleType]


@pytest.fixture(scope="session")
def ledgers(twin: Twin) -> ModuleType:
    return twin("core", "ledger")


def swept(ledger: Any, now: float) -> int:
    """Sweep to the end; how many pieces it took."""
    pieces = 1
    while ledger.sweep(now) > 0:
        pieces += 1
    return pieces


# Steps of a clock: still, a little, slots, past the window, back a little, back by more than the window.
STEPS = st.one_of(
    st.just(0.0),
    st.floats(0, 3),
    st.floats(0, 60),
    st.floats(300, 2000),
    st.floats(-30, 0),
    st.floats(-3000, -300),
)
CALLS = st.lists(
    st.tuples(
        st.sampled_from(["charge", "charge", "charge", "refund", "service", "sweep"]),
        st.sampled_from(["ann", "bob", "cy"]),
        st.one_of(st.integers(0, 5000), st.integers(2**32 - 5, 2**34)),
        STEPS,
    ),
    max_size=80,
)


@settings(max_examples=60, deadline=None)
@given(window=st.sampled_from([60.0, 61.7, 300.0, 600.0, 3600.0]), calls=CALLS)
def test_service_is_what_a_list_of_events_says(
    ledgers: ModuleType, window: float, calls: list[tuple[str, str, int, float]]
) -> None:
    ledger = ledgers.Ledger(window, 8, seed=1, block=4)
    now = START
    rows = {user: ledger.pin("m", user, now) for user in ("ann", "bob", "cy")}
    models = {user: Events(window) for user in rows}
    for model in models.values():
        # The ledger has seen a clock before the first step, which may go back.
        model.at(now)
    for call, user, units, step in calls:
        now += step
        for model in models.values():
            model.at(now)
        if call == "charge":
            ledger.charge(rows[user], units, now)
            models[user].charge(units, now)
        elif call == "refund":
            assert ledger.refund(rows[user], units, now) == models[user].refund(units, now)
        elif call == "sweep":
            ledger.sweep(now)
        for each, row in rows.items():
            assert ledger.service(row, now) == models[each].service(now)


@settings(max_examples=60, deadline=None)
@given(
    window=st.sampled_from([60.0, 300.0, 3600.0]),
    charges=st.lists(st.tuples(st.floats(0, 200), st.integers(0, 10_000)), max_size=150),
)
def test_service_is_exact_to_one_slot_over_hours(
    ledgers: ModuleType, window: float, charges: list[tuple[float, int]]
) -> None:
    ledger = ledgers.Ledger(window, 1, seed=1)
    now = START
    row = ledger.pin("m", "ann", now)
    events: list[tuple[float, int]] = []
    for step, units in charges:
        now += step
        ledger.charge(row, units, now)
        events.append((now, units))
        # A float of 1.8e9 seconds is exact to a quarter of a microsecond.
        least = sum(units for when, units in events if when > now - window + 1e-6)
        most = sum(units for when, units in events if when > now - window - ledger.width - 1e-6)
        assert least <= ledger.service(row, now) <= most


def test_slots_begin_at_multiples_of_their_width_in_unix_time(ledgers: ModuleType) -> None:
    ledger = ledgers.Ledger(64.0, 1)
    assert ledger.width == 1.0
    row = ledger.pin("m", "ann", START + 0.75)
    ledger.charge(row, 5, START + 0.75)
    assert ledger.service(row, START + 64.999) == 5
    assert ledger.service(row, START + 65.0) == 0


def test_a_clock_that_goes_back_stands_still(ledgers: ModuleType) -> None:
    ledger = ledgers.Ledger(64.0, 1)
    row = ledger.pin("m", "ann", START)
    ledger.charge(row, 5, START)
    ledger.charge(row, 7, START - 30.0)
    assert ledger.service(row, START + 64.5) == 12
    assert ledger.service(row, START + 65.0) == 0


def test_a_clock_set_back_by_more_than_the_window_is_believed(ledgers: ModuleType) -> None:
    ledger = ledgers.Ledger(64.0, 1)
    row = ledger.pin("m", "ann", START)
    ledger.charge(row, 5, START)
    ledger.charge(row, 7, START - 86_400.0)
    assert ledger.service(row, START - 86_400.0) == 12
    assert ledger.service(row, START - 86_400.0 + 65.0) == 0


def test_a_refund_takes_the_newest_first_and_never_more_than_there_is(ledgers: ModuleType) -> None:
    ledger = ledgers.Ledger(64.0, 1)
    row = ledger.pin("m", "ann", START)
    ledger.charge(row, 10, START)
    ledger.charge(row, 10, START + 30.0)
    assert ledger.refund(row, 12, START + 31.0) == 12
    assert ledger.service(row, START + 65.0) == 0
    ledger.charge(row, 4, START + 66.0)
    assert ledger.refund(row, 9, START + 66.0) == 4
    assert ledger.service(row, START + 66.0) == 0


def test_amounts_beyond_32_bits_are_kept_and_forgotten_whole(ledgers: ModuleType) -> None:
    ledger = ledgers.Ledger(64.0, 1)
    row = ledger.pin("m", "ann", START)
    for _ in range(3):
        ledger.charge(row, 2**40, START)
    assert ledger.service(row, START) == 3 * 2**40
    assert ledger.refund(row, 2**39, START) == 2**39
    assert ledger.service(row, START + 64.0) == 3 * 2**40 - 2**39
    assert ledger.service(row, START + 65.0) == 0


def test_a_row_is_forgotten_one_window_after_its_last_charge(ledgers: ModuleType) -> None:
    ledger = ledgers.Ledger(64.0, 4)
    row = ledger.pin("m", "ann", START)
    ledger.charge(row, 5, START)
    ledger.unpin(row)
    swept(ledger, START + 64.0)
    assert (len(ledger), ledger.users("m"), ledger.find("m", "ann")) == (1, 1, row)
    swept(ledger, START + 65.0)
    assert (len(ledger), ledger.users("m"), ledger.find("m", "ann")) == (0, 0, -1)
    assert ledger.models() == []


def test_a_row_that_used_nothing_is_forgotten_at_once(ledgers: ModuleType) -> None:
    ledger = ledgers.Ledger(64.0, 4)
    for number in range(100):
        ledger.unpin(ledger.pin("m", f"invented-{number}", START))
    assert (len(ledger), ledger.evictions) == (0, 0)


def test_a_held_row_is_never_forgotten(ledgers: ModuleType) -> None:
    ledger = ledgers.Ledger(64.0, 2)
    row = ledger.pin("m", "ann", START)
    ledger.charge(row, 5, START)
    swept(ledger, START + 1000.0)
    assert ledger.find("m", "ann") == row
    assert ledger.name(row) == "ann"
    ledger.pin("m", "bob", START + 1000.0)
    with pytest.raises(ledgers.LedgerFull):
        ledger.pin("m", "cy", START + 1000.0)
    assert (len(ledger), ledger.find("m", "cy"), ledger.users("m")) == (2, -1, 2)


def test_a_full_ledger_without_rows_of_a_model_knows_no_such_model(ledgers: ModuleType) -> None:
    ledger = ledgers.Ledger(64.0, 1)
    ledger.pin("m", "ann", START)
    with pytest.raises(ledgers.LedgerFull):
        ledger.pin("other", "ann", START)
    assert ledger.models() == ["m"]


@settings(max_examples=30, deadline=None)
@given(units=st.lists(st.integers(1, 50), min_size=12, max_size=12), held=st.sets(st.integers(0, 11), max_size=11))
def test_the_idle_row_with_least_service_goes_first(ledgers: ModuleType, units: list[int], held: set[int]) -> None:
    ledger = ledgers.Ledger(64.0, 12, seed=3, block=4)
    for number, amount in enumerate(units):
        row = ledger.pin("m", f"u{number}", START)
        ledger.charge(row, amount, START)
        if number not in held:
            ledger.unpin(row)
    idle = sorted(units[number] for number in range(12) if number not in held)
    for gone in range(1, len(idle) + 1):
        ledger.pin("m", f"new-{gone}", START)
        left = [number for number in range(12) if ledger.find("m", f"u{number}") >= 0]
        assert held <= set(left)
        assert sorted(units[number] for number in left if number not in held) == idle[gone:]
        assert (ledger.evictions, len(ledger)) == (gone, 12)


def test_an_evicted_row_leaves_nothing_to_the_next_user(ledgers: ModuleType) -> None:
    ledger = ledgers.Ledger(64.0, 1)
    for number in range(20):
        now = START + number
        row = ledger.pin("m", f"u{number}", now)
        assert (ledger.service(row, now), ledger.counter(row), ledger.share(row)) == (0, 0, 1.0)
        ledger.charge(row, 2**33 + number, now)
        ledger.unpin(row)


def test_a_model_may_lose_its_last_row_to_its_own_new_one(ledgers: ModuleType) -> None:
    ledger = ledgers.Ledger(64.0, 1)
    row = ledger.pin("m", "ann", START)
    ledger.charge(row, 1, START)
    ledger.unpin(row)
    ledger.pin("m", "bob", START)
    assert (ledger.models(), ledger.users("m"), ledger.evictions) == (["m"], 1, 1)


def test_names_are_kept_for_held_rows_and_the_heaviest_only(ledgers: ModuleType) -> None:
    ledger = ledgers.Ledger(64.0, 5000, tops=3)
    rows = []
    for number in range(4000):
        row = ledger.pin("m", f"u{number}", START)
        ledger.charge(row, 1 + number, START)
        rows.append(row)
    assert ledger.name(rows[0]) == "u0"
    for row in rows:
        ledger.unpin(row)
    assert ledger.heaviest("m", 3) == [("u3999", 4000), ("u3998", 3999), ("u3997", 3998)]
    assert sum(ledger.name(row) is not None for row in rows) <= 1024


def come_again(ledger: Any, model: str, user: str) -> int:
    """The row of a user who has come so often that he is remembered by his name."""
    row = -1
    for _ in range(8):
        row = ledger.pin(model, user, START)
        ledger.charge(row, 1, START)
        ledger.unpin(row)
    return row


def test_who_is_remembered_by_his_name_is_forgotten_with_his_row(ledgers: ModuleType) -> None:
    ledger = ledgers.Ledger(64.0, 1)
    row = come_again(ledger, "m", "ann")
    assert come_again(ledger, "m", "ann") == row
    # Another takes the row, and what is charged to it; the first gets it back as one who has used nothing.
    assert come_again(ledger, "m", "bob") == row
    assert ledger.service(ledger.pin("m", "bob", START), START) == 8
    assert (ledger.find("m", "ann"), ledger.name(row)) == (-1, "bob")
    ledger.unpin(row)
    assert ledger.pin("m", "ann", START) == row
    assert ledger.service(row, START) == 0
    assert (ledger.find("m", "bob"), ledger.name(row)) == (-1, "ann")


def test_who_is_remembered_by_his_name_is_one_user_for_each_model(ledgers: ModuleType) -> None:
    ledger = ledgers.Ledger(64.0, 8)
    rows = {model: come_again(ledger, model, "ann") for model in ("m", "n")}
    for _ in range(3):
        assert {model: come_again(ledger, model, "ann") for model in ("m", "n")} == rows
    # A model that lost all its rows and a new one with its number are two.
    swept(ledger, START + 65.0)
    assert ledger.models() == []
    row = ledger.pin("o", "ann", START + 65.0)
    assert ledger.service(row, START + 65.0) == 0
    assert (ledger.users("m"), ledger.users("o"), ledger.find("m", "ann")) == (0, 1, -1)


def test_a_block_that_was_away_for_any_time_forgets_exactly_what_left_the_window(ledgers: ModuleType) -> None:
    for away in range(1, 70):
        ledger = ledgers.Ledger(64.0, 4)
        row = ledger.pin("m", "ann", START)
        amounts = [2**33 if second % 9 == 0 else second for second in range(90)]
        for second, amount in enumerate(amounts):
            if second % 4:
                ledger.charge(row, amount, START + second)
        now = 89 + away
        kept = [amount for second, amount in enumerate(amounts) if second % 4 and now - second < 65]
        assert ledger.service(row, START + now) == sum(kept), away


def test_a_sweep_works_in_pieces_of_one_block_and_so_many_rows(ledgers: ModuleType) -> None:
    ledger = ledgers.Ledger(64.0, 64, block=8)
    for number in range(64):
        row = ledger.pin("m", f"u{number}", START)
        ledger.charge(row, 1, START)
        ledger.unpin(row)
    assert swept(ledger, START + 1.0) == 8
    held = [len(ledger)]
    while ledger.sweep(START + 70.0, 3) > 0:
        held.append(len(ledger))
    assert all(before - after <= 3 for before, after in itertools.pairwise(held))
    assert len(ledger) == 0
    assert ledger.sweep(START + 70.0) == 0


def test_users_of_two_models_and_split_names_are_different_users(ledgers: ModuleType) -> None:
    ledger = ledgers.Ledger(64.0, 8)
    rows = {ledger.pin(model, user, START) for model, user in (("ab", "c"), ("a", "bc"), ("", "abc"), ("abc", ""))}
    assert len(rows) == 4


def test_a_name_that_is_no_utf_8_is_a_name(ledgers: ModuleType) -> None:
    ledger = ledgers.Ledger(64.0, 8)
    row = ledger.pin("m", "\udcff", START)
    assert (ledger.name(row), ledger.find("m", "\udcff")) == ("\udcff", row)


def test_jains_index_compares_service_by_share(ledgers: ModuleType, twin: Twin) -> None:
    ledger = ledgers.Ledger(64.0, 8)
    heap = twin("core", "heap").Heap(ledger, "m")
    assert ledger.jain("m") == 1.0
    for user, share, units in (("ann", 1, 100), ("bob", 3, 300)):
        heap.enter(twin("core", "heap").Ticket(), user, units, START, ledger.standing(share, 0))
        heap.pop(START)
    assert ledger.jain("m") == pytest.approx(1.0)
    ledger.charge(ledger.find("m", "ann"), 100, START)
    assert ledger.jain("m") == pytest.approx(0.9)


HOSTILE = [True, 1.5, float("nan"), "1", None, b"1", [1]]
TOO_BIG = [-1, 2**70, -(2**70), 2**63]


def test_what_is_no_count_is_refused_and_changes_nothing(ledgers: ModuleType) -> None:
    ledger = ledgers.Ledger(64.0, 4)
    row = ledger.pin("m", "ann", START)
    ledger.charge(row, 5, START)
    for value in HOSTILE:
        for call in (ledger.charge, ledger.refund):
            with pytest.raises(TypeError):
                call(row, value, START)
            with pytest.raises(TypeError):
                call(value, 1, START)
        with pytest.raises(TypeError):
            ledger.unpin(value)
    for value in TOO_BIG:
        for call in (ledger.charge, ledger.refund):
            with pytest.raises(ValueError, match="units must be between"):
                call(row, value, START)
            with pytest.raises(ValueError, match="row must be between"):
                call(value, 1, START)
    with pytest.raises(LookupError):
        ledger.charge(row + 1, 1, START)
    with pytest.raises(ValueError, match="units"):
        ledger.charge(row, 2**40 + 1, START)
    assert (ledger.service(row, START), ledger.counter(row)) == (5, 5)


def test_what_is_no_clock_is_refused(ledgers: ModuleType) -> None:
    ledger = ledgers.Ledger(64.0, 4)
    row = ledger.pin("m", "ann", START)
    for value in (1, True, "1", None, 2**70):
        with pytest.raises(TypeError, match="now must be a float"):
            ledger.charge(row, 1, value)
    for moment in (-1.0, float("nan"), float("inf"), -float("inf"), 1e300):
        with pytest.raises(ValueError, match="now must be between"):
            ledger.sweep(moment)


def test_what_is_no_name_is_refused(ledgers: ModuleType) -> None:
    ledger = ledgers.Ledger(64.0, 4)
    for value in (None, b"ann", 1, type("Name", (str,), {})("ann")):
        with pytest.raises(TypeError):
            ledger.pin("m", value, START)
        with pytest.raises(TypeError):
            ledger.pin(value, "ann", START)
    assert len(ledger) == 0


def test_settings_out_of_range_are_refused(ledgers: ModuleType) -> None:
    for window in (0.0, 59.9, 3600.1, float("nan"), -1.0):
        with pytest.raises(ValueError, match="window"):
            ledgers.Ledger(window)
    for rows in (0, -1, 2**70):
        with pytest.raises(ValueError, match="rows"):
            ledgers.Ledger(64.0, rows)
    with pytest.raises(ValueError, match="power of two"):
        ledgers.Ledger(64.0, 4, block=3)
    ledger = ledgers.Ledger(64.0, 4)
    for share in (0, -1.0, float("nan"), float("inf"), 2**70):
        with pytest.raises(ValueError, match="share"):
            ledger.standing(share, 0)
    for stranger in (True, "1", None):
        with pytest.raises(TypeError, match="share"):
            ledger.standing(stranger, 0)
    with pytest.raises(ValueError, match="rank"):
        ledger.standing(1.0, 1001)


def test_many_large_charges_add_up(ledgers: ModuleType) -> None:
    ledger = ledgers.Ledger(64.0, 1)
    row = ledger.pin("m", "ann", START)
    for _ in range(4096):
        ledger.charge(row, 2**40, START)
    assert (ledger.service(row, START), ledger.counter(row)) == (2**52, 2**52)
    assert ledger.service(row, START + 65.0) == 0
