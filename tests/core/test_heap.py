"""The rules of `core.heap`, each on both twins."""

from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

START = 1_790_000_000.0

Twin = Callable[[str, str], ModuleType]


@pytest.fixture(scope="session")
def heaps(twin: Twin) -> ModuleType:
    return twin("core", "heap")


@pytest.fixture(scope="session")
def ledgers(twin: Twin) -> ModuleType:
    return twin("core", "ledger")


def enter(heap: Any, heaps: ModuleType, user: str, units: int = 0, now: float = START, standing: int = 0) -> Any:
    ticket = heaps.Ticket()
    heap.enter(ticket, user, units, now, standing)
    return ticket


def charge(heap: Any, heaps: ModuleType, user: str, units: int, now: float = START, standing: int = 0) -> None:
    """A request of nobody else's time: in, called, charged, out."""
    while heap.first() is not None:
        raise AssertionError("somebody waits")
    enter(heap, heaps, user, 0, now, standing)
    heap.pop(now).finish(units, now)


def order(heap: Any, now: float = START) -> list[str]:
    return [entry["user"] for entry in heap.standings(100, now)]


def test_who_used_least_is_called_first(ledgers: ModuleType, heaps: ModuleType) -> None:
    heap = heaps.Heap(ledgers.Ledger(64.0, 8), "m")
    for user, units in (("ann", 30), ("bob", 10), ("cy", 20)):
        charge(heap, heaps, user, units)
    tickets = [enter(heap, heaps, user) for user in ("ann", "bob", "cy")]
    assert [heap.pop(START) for _ in range(4)] == [tickets[1], tickets[2], tickets[0], None]


def test_the_requests_of_a_user_never_overtake_each_other(ledgers: ModuleType, heaps: ModuleType) -> None:
    heap = heaps.Heap(ledgers.Ledger(64.0, 8), "m")
    anns = [enter(heap, heaps, "ann", 5) for _ in range(4)]
    bobs = [enter(heap, heaps, "bob", 5) for _ in range(4)]
    called = [heap.pop(START) for _ in range(8)]
    assert [ticket for ticket in called if ticket in anns] == anns
    assert [ticket for ticket in called if ticket in bobs] == bobs
    assert called == [ticket for pair in zip(anns, bobs, strict=True) for ticket in pair]


def test_ties_go_to_the_earlier_arrival(ledgers: ModuleType, heaps: ModuleType) -> None:
    heap = heaps.Heap(ledgers.Ledger(64.0, 40), "m")
    tickets = [enter(heap, heaps, f"u{number}") for number in range(40)]
    tickets[0].leave()
    late = enter(heap, heaps, "u0")
    assert [heap.pop(START) for _ in range(40)] == [*tickets[1:], late]


def test_a_lower_class_is_called_strictly_first_whatever_it_used(ledgers: ModuleType, heaps: ModuleType) -> None:
    ledger = ledgers.Ledger(64.0, 8)
    heap = heaps.Heap(ledger, "m")
    first, last = ledger.standing(1, 0), ledger.standing(1, 7)
    charge(heap, heaps, "heavy", 10**6, standing=first)
    light = enter(heap, heaps, "light", standing=last)
    heavy = enter(heap, heaps, "heavy", standing=first)
    assert [heap.pop(START), heap.pop(START)] == [heavy, light]


def test_a_share_divides_what_was_used(ledgers: ModuleType, heaps: ModuleType) -> None:
    ledger = ledgers.Ledger(64.0, 8)
    heap = heaps.Heap(ledger, "m")
    triple = ledger.standing(3, 0)
    called = {"ann": 0, "bob": 0}
    for _ in range(400):
        enter(heap, heaps, "ann", 10)
        enter(heap, heaps, "bob", 10, standing=triple)
    for _ in range(400):
        heap.pop(START)
    for entry in heap.standings(2, START):
        called[entry["user"]] = 400 - entry["waiting"]
    assert called == {"ann": 100, "bob": 300}


@pytest.mark.parametrize("policy", ["window", "vtc", "lcf"])
def test_a_charge_moves_a_waiting_user_at_once(ledgers: ModuleType, heaps: ModuleType, policy: str) -> None:
    heap = heaps.Heap(ledgers.Ledger(64.0, 8), "m", policy)
    enter(heap, heaps, "ann")
    running = heap.pop(START)
    for user in ("ann", "bob", "cy"):
        enter(heap, heaps, user, 0)
    assert order(heap) == ["ann", "bob", "cy"]
    running.charge(10, START)
    assert order(heap) == ["bob", "cy", "ann"]
    running.settle(0, START)
    assert order(heap) == ["ann", "bob", "cy"]


def test_a_charge_moves_a_user_in_every_heap_where_he_waits(ledgers: ModuleType, heaps: ModuleType) -> None:
    ledger = ledgers.Ledger(64.0, 8)
    first, second = heaps.Heap(ledger, "m"), heaps.Heap(ledger, "m")
    for heap in (first, second):
        enter(heap, heaps, "ann")
        enter(heap, heaps, "bob")
    assert first.pop(START) is not None
    enter(first, heaps, "ann", 5)
    first.pop(START)
    assert (order(first), order(second)) == (["ann"], ["ann", "bob"])
    ledger.charge(ledger.find("m", "ann"), 3, START)
    assert order(second) == ["bob", "ann"]


@pytest.mark.parametrize("policy", ["window", "vtc"])
def test_a_turn_of_the_ring_forgets_for_window_and_not_for_vtc(
    ledgers: ModuleType, heaps: ModuleType, policy: str
) -> None:
    ledger = ledgers.Ledger(64.0, 64, block=8)
    heap = heaps.Heap(ledger, "m", policy)
    charge(heap, heaps, "ann", 100)
    charge(heap, heaps, "bob", 50, START + 40.0)
    enter(heap, heaps, "bob", 0, START + 40.0)
    enter(heap, heaps, "ann", 0, START + 40.0)
    assert order(heap, START + 40.0) == ["bob", "ann"]
    while ledger.sweep(START + 66.0) > 0:
        pass
    assert order(heap, START + 66.0) == (["ann", "bob"] if policy == "window" else ["bob", "ann"])


def test_pops_alone_bring_a_turn_to_its_end(ledgers: ModuleType, heaps: ModuleType) -> None:
    ledger = ledgers.Ledger(64.0, 64, block=8)
    heap = heaps.Heap(ledger, "m")
    for number in range(64):
        charge(heap, heaps, f"u{number}", 64 - number)
    assert len(ledger) == 64
    # Each of 8 blocks is a piece to catch up and a piece to forget.
    for _ in range(16):
        assert heap.pop(START + 70.0) is None
    assert (len(ledger), ledger.unswept) == (0, 0)


def test_vtc_lifts_who_comes_back_to_the_least_of_those_who_wait(ledgers: ModuleType, heaps: ModuleType) -> None:
    ledger = ledgers.Ledger(64.0, 8)
    heap = heaps.Heap(ledger, "m", "vtc")
    for user, units in (("ann", 500), ("bob", 700)):
        charge(heap, heaps, user, units)
    enter(heap, heaps, "bob")
    enter(heap, heaps, "ann")
    enter(heap, heaps, "cy")
    # Bob found ann as the last who left (500) and was served 700.
    assert [ledger.counter(ledger.find("m", user)) for user in ("ann", "bob", "cy")] == [1200, 1200, 1200]
    assert order(heap) == ["bob", "ann", "cy"]


def test_vtc_lifts_who_finds_nobody_to_who_left_last_as_he_stands_now(ledgers: ModuleType, heaps: ModuleType) -> None:
    ledger = ledgers.Ledger(64.0, 8)
    heap = heaps.Heap(ledger, "m", "vtc")
    enter(heap, heaps, "ann", 100)
    running = heap.pop(START)
    running.charge(23, START)
    enter(heap, heaps, "bob")
    assert ledger.counter(ledger.find("m", "bob")) == 123


def test_vtc_remembers_who_left_last_after_his_row_is_forgotten(ledgers: ModuleType, heaps: ModuleType) -> None:
    ledger = ledgers.Ledger(64.0, 8)
    heap = heaps.Heap(ledger, "m", "vtc")
    charge(heap, heaps, "ann", 100)
    charge(heap, heaps, "ann", 50)
    while ledger.sweep(START + 80.0) > 0:
        pass
    assert len(ledger) == 0
    enter(heap, heaps, "bob", 0, START + 80.0)
    assert ledger.counter(ledger.find("m", "bob")) == 100


def test_vtc_lifts_by_share_and_within_the_class(ledgers: ModuleType, heaps: ModuleType) -> None:
    ledger = ledgers.Ledger(64.0, 8)
    heap = heaps.Heap(ledger, "m", "vtc")
    double, other = ledger.standing(2, 0), ledger.standing(1, 1)
    charge(heap, heaps, "ann", 501)
    enter(heap, heaps, "ann")
    enter(heap, heaps, "bob", standing=double)
    enter(heap, heaps, "cy", standing=other)
    assert ledger.counter(ledger.find("m", "bob")) == 1002
    assert ledger.counter(ledger.find("m", "cy")) == 0


def test_vtc_looks_at_all_who_wait_for_the_same_permits(ledgers: ModuleType, heaps: ModuleType) -> None:
    ledger = ledgers.Ledger(64.0, 8)
    first, second = heaps.Heap(ledger, "m", "vtc"), heaps.Heap(ledger, "n", "vtc")
    permits = heaps.Rivals()
    first.compete([permits])
    second.compete([heaps.Rivals(), permits])
    charge(first, heaps, "ann", 500)
    enter(first, heaps, "ann")
    enter(second, heaps, "bob")
    assert ledger.counter(ledger.find("n", "bob")) == 500


def test_lcf_and_window_lift_nobody(ledgers: ModuleType, heaps: ModuleType) -> None:
    for policy in ("lcf", "window", "fcfs"):
        ledger = ledgers.Ledger(64.0, 8)
        heap = heaps.Heap(ledger, "m", policy)
        charge(heap, heaps, "ann", 500)
        enter(heap, heaps, "ann")
        enter(heap, heaps, "bob")
        assert ledger.counter(ledger.find("m", "bob")) == 0


def test_fcfs_knows_only_arrival(ledgers: ModuleType, heaps: ModuleType) -> None:
    heap = heaps.Heap(ledgers.Ledger(64.0, 8), "m", "fcfs")
    tickets = [enter(heap, heaps, user, 10**number) for number, user in enumerate(["ann", "bob", "ann", "cy", "bob"])]
    assert [heap.pop(START) for _ in tickets] == tickets


def test_the_best_of_several_heaps_is_the_best_of_all_who_wait(ledgers: ModuleType, heaps: ModuleType) -> None:
    ledger = ledgers.Ledger(64.0, 8)
    first, second, empty = (heaps.Heap(ledger, model) for model in ("a", "b", "c"))
    permits = heaps.Rivals()
    for heap in (second, first, empty):
        heap.compete([permits])
    assert permits.best() is None
    enter(first, heaps, "ann")
    enter(second, heaps, "ann")
    assert permits.best() is first
    ledger.charge(ledger.find("a", "ann"), 1, START)
    assert permits.best() is second
    assert (empty.ahead_of(first), first.ahead_of(empty), first.ahead_of(first)) == (False, True, False)
    enter(first, heaps, "bob", standing=ledger.standing(1, 1))
    first.pop(START)
    assert permits.best() is second


def test_only_heaps_in_which_somebody_waits_are_looked_at(ledgers: ModuleType, heaps: ModuleType) -> None:
    ledger = ledgers.Ledger(64.0, 8)
    first, second = heaps.Heap(ledger, "a"), heaps.Heap(ledger, "b")
    permits, others = heaps.Rivals(), heaps.Rivals()
    first.compete([permits])
    second.compete([permits, others])
    called, gone = enter(first, heaps, "ann"), enter(second, heaps, "bob")
    last = enter(second, heaps, "cy")
    assert (list(permits.busy), list(others.busy)) == ([first, second], [second])
    assert first.pop(START) is called
    gone.leave()
    assert (list(permits.busy), list(others.busy)) == ([second], [second])
    second.compete([others])
    assert (list(permits.busy), list(others.busy)) == ([], [second])
    last.leave()
    assert not others.busy


def test_a_heap_that_competes_with_nobody_lifts_to_its_own_least(ledgers: ModuleType, heaps: ModuleType) -> None:
    ledger = ledgers.Ledger(64.0, 8)
    first, second = heaps.Heap(ledger, "m", "vtc"), heaps.Heap(ledger, "n", "vtc")
    permits = heaps.Rivals()
    first.compete([permits])
    second.compete([permits])
    second.compete([])
    charge(first, heaps, "ann", 500)
    enter(first, heaps, "ann")
    charge(second, heaps, "bob", 7)
    enter(second, heaps, "bob")
    enter(second, heaps, "cy")
    assert ledger.counter(ledger.find("n", "cy")) == 7


def test_a_cancelled_request_leaves_from_anywhere(ledgers: ModuleType, heaps: ModuleType) -> None:
    ledger = ledgers.Ledger(64.0, 8)
    for gone in range(6):
        heap = heaps.Heap(ledger, "m")
        tickets = [enter(heap, heaps, user) for user in ("ann", "ann", "ann", "bob", "bob", "cy")]
        tickets[gone].leave()
        tickets[gone].leave()
        assert len(heap) == 5
        left = [ticket for ticket in tickets if ticket is not tickets[gone]]
        assert sorted(heap.tickets(), key=tickets.index) == left
        for ticket in left:
            ticket.leave()
        assert (len(heap), heap.users, heap.first(), len(ledger)) == (0, 0, None, 0)


def test_a_full_queue_and_a_full_user_are_told_apart_and_leave_no_trace(ledgers: ModuleType, heaps: ModuleType) -> None:
    ledger = ledgers.Ledger(64.0, 8)
    heap = heaps.Heap(ledger, "m", most=3, most_per_user=2)
    enter(heap, heaps, "ann")
    ann = enter(heap, heaps, "ann")
    with pytest.raises(heaps.QueueFull) as full:
        enter(heap, heaps, "ann")
    assert full.value.reason == "user_queue_full"
    enter(heap, heaps, "bob")
    with pytest.raises(heaps.QueueFull) as full:
        enter(heap, heaps, "cy")
    assert full.value.reason == "queue_full"
    assert (len(heap), heap.users, len(ledger)) == (3, 2, 2)
    ann.leave()
    enter(heap, heaps, "cy")


def test_a_ledger_without_room_lets_nobody_new_wait(ledgers: ModuleType, heaps: ModuleType) -> None:
    ledger = ledgers.Ledger(64.0, 1)
    heap = heaps.Heap(ledger, "m")
    enter(heap, heaps, "ann")
    ticket = heaps.Ticket()
    with pytest.raises(ledgers.LedgerFull):
        heap.enter(ticket, "bob", 0, START)
    assert (len(heap), ticket.is_waiting) == (1, False)
    enter(heap, heaps, "ann")


def test_a_request_is_charged_only_between_its_call_and_its_end(ledgers: ModuleType, heaps: ModuleType) -> None:
    ledger = ledgers.Ledger(64.0, 8)
    heap = heaps.Heap(ledger, "m")
    ticket = heaps.Ticket()
    calls: tuple[Callable[[], Any], ...] = (
        lambda: ticket.charge(1, START),
        lambda: ticket.settle(1, START),
        lambda: ticket.finish(1, START),
    )
    for call in calls:
        with pytest.raises(RuntimeError):
            call()
    ticket.leave()
    heap.enter(ticket, "ann", 7, START)
    for call in (*calls, lambda: heap.enter(ticket, "ann", 7, START)):
        with pytest.raises(RuntimeError):
            call()
    assert (ticket.is_waiting, ticket.is_called, ticket.charged) == (True, False, 0)
    assert heap.pop(START) is ticket
    assert (ticket.is_waiting, ticket.is_called, ticket.charged) == (False, True, 7)
    with pytest.raises(RuntimeError):
        heap.enter(ticket, "ann", 7, START)
    ticket.finish(9, START)
    for call in calls:
        with pytest.raises(RuntimeError):
            call()
    assert ledger.service(ledger.find("m", "ann"), START) == 9
    heap.enter(ticket, "ann", 1, START)
    assert ticket.is_waiting


def test_finishing_with_nothing_gives_back_the_input(ledgers: ModuleType, heaps: ModuleType) -> None:
    ledger = ledgers.Ledger(64.0, 8)
    heap = heaps.Heap(ledger, "m", "vtc")
    enter(heap, heaps, "ann", 50)
    heap.pop(START).finish(0, START)
    assert len(ledger) == 0


def test_a_new_standing_moves_a_waiting_user_in_every_heap(ledgers: ModuleType, heaps: ModuleType) -> None:
    ledger = ledgers.Ledger(64.0, 8)
    first, second = heaps.Heap(ledger, "m"), heaps.Heap(ledger, "m")
    for heap in (first, second):
        enter(heap, heaps, "ann")
    ticket, _ = [enter(heap, heaps, "bob") for heap in (first, second)]
    assert order(first) == order(second) == ["ann", "bob"]
    ledger.charge(ledger.find("m", "ann"), 10, START)
    ledger.charge(ledger.find("m", "bob"), 10, START)
    assert order(first) == ["ann", "bob"]
    ticket.stand(ledger.standing(2, 0))
    assert order(first) == order(second) == ["bob", "ann"]
    ticket.stand(ledger.standing(2, 1))
    assert order(first) == order(second) == ["ann", "bob"]
    assert [entry["class"] for entry in second.standings(2, START)] == [0, 1]
    ticket.leave()
    with pytest.raises(RuntimeError):
        ticket.stand(0)


def test_a_report_tells_usage_share_waiting_and_in_flight(ledgers: ModuleType, heaps: ModuleType) -> None:
    ledger = ledgers.Ledger(64.0, 8)
    heap = heaps.Heap(ledger, "m")
    double = ledger.standing(2.0, 3)
    *_, ticket = [enter(heap, heaps, "ann", 40, standing=double) for _ in range(3)]
    heap.pop(START)
    enter(heap, heaps, "bob", standing=ledger.standing(1.0, 3))
    assert heap.standings(5, START)[1] == {
        "user": "ann",
        "class": 3,
        "share": 2.0,
        "usage": 40,
        "key": 20.0,
        "waiting": 2,
        "in_flight": 1,
    }
    assert (heap.position(ticket), heap.gap(), heap.users, len(heap), heap.model) == (1, 20.0, 2, 3, "m")


def test_hostile_values_are_refused_and_change_nothing(ledgers: ModuleType, heaps: ModuleType) -> None:
    ledger = ledgers.Ledger(64.0, 8)
    heap = heaps.Heap(ledger, "m")
    ticket = heaps.Ticket()
    for arguments in (
        ("ann", 1.0, START),
        ("ann", True, START),
        ("ann", 1, 5),
        (None, 1, START),
        ("ann", 1, START, 0.0),
        ("ann", 1, START, True),
    ):
        with pytest.raises(TypeError):
            heap.enter(ticket, *arguments)
    for arguments in (("ann", -1, START), ("ann", 2**70, START), ("ann", 1, START, 1), ("ann", 1, float("nan"))):
        with pytest.raises(ValueError, match="must be between"):
            heap.enter(ticket, *arguments)
    for stranger in (None, "ticket", object()):
        with pytest.raises(TypeError):
            heap.enter(stranger, "ann", 1, START)
    assert (len(heap), len(ledger), ticket.is_waiting) == (0, 0, False)
    with pytest.raises(ValueError, match="policy"):
        heaps.Heap(ledger, "m", "best")
    with pytest.raises(TypeError, match="model"):
        heaps.Heap(ledger, None)
    with pytest.raises(ValueError, match="count"):
        heaps.Heap(ledger, "m", most=0)


@settings(max_examples=60, deadline=None)
@given(charges=st.lists(st.tuples(st.integers(0, 30), st.integers(0, 1000)), min_size=1, max_size=200))
def test_the_order_is_strict_and_total_after_any_charges(
    ledgers: ModuleType, heaps: ModuleType, charges: list[tuple[int, int]]
) -> None:
    ledger = ledgers.Ledger(64.0, 64)
    heap = heaps.Heap(ledger, "m")
    standings = [ledger.standing(share, rank) for share, rank in ((1, 0), (2, 0), (0.5, 1))]
    for number in range(31):
        enter(heap, heaps, f"u{number}", standing=standings[number % 3])
    for number, units in charges:
        ledger.charge(ledger.find("m", f"u{number}"), units, START)
    expected = sorted(
        range(31),
        key=lambda number: (
            number % 3 == 2,
            ledger.service(ledger.find("m", f"u{number}"), START) / (1.0, 2.0, 0.5)[number % 3],
            number,
        ),
    )
    called = [heap.pop(START) for _ in range(31)]
    assert [ticket.order - 1 for ticket in called] == expected
