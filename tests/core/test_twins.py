"""Both twins of the ledger and the heap give the same answer, or the same error, to the same calls."""

import importlib
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytestmark = pytest.mark.extensions

START = 1_790_000_000.0
USERS = ("ann", "bob", "cy", "dan", "", "\udcff", "é" * 40)

HOSTILE = st.sampled_from([True, 1.5, float("nan"), float("inf"), -1, 2**63, 2**70, -(2**70), "1", b"1", None])
UNITS = st.one_of(st.integers(0, 3000), st.integers(2**32 - 2, 2**33), HOSTILE)
USER = st.one_of(st.sampled_from(USERS), st.sampled_from(USERS), st.sampled_from([None, b"ann", 7]))
STEP = st.one_of(st.just(0.0), st.floats(0, 2), st.floats(0, 70), st.floats(-40, 0), st.sampled_from([-9e4, 9e4]))
CLOCK = st.one_of(st.none(), st.none(), st.none(), st.none(), st.one_of(HOSTILE, st.just(-1.0)))
CALL = st.one_of(
    st.tuples(st.just("enter"), st.integers(0, 2), USER, UNITS, st.one_of(st.integers(0, 5), HOSTILE)),
    st.tuples(st.just("enter"), st.integers(0, 2), st.sampled_from(USERS), st.integers(0, 500), st.integers(0, 3)),
    st.tuples(st.just("admit"), st.integers(0, 2), USER, UNITS, st.one_of(st.integers(0, 5), HOSTILE)),
    st.tuples(st.just("pop"), st.integers(0, 2)),
    st.tuples(st.just("charge"), st.integers(0, 40), UNITS),
    st.tuples(st.just("settle"), st.integers(0, 40), UNITS),
    st.tuples(st.just("finish"), st.integers(0, 40), UNITS),
    st.tuples(st.just("leave"), st.integers(0, 40)),
    st.tuples(st.just("stand"), st.integers(0, 40), st.one_of(st.integers(0, 4), HOSTILE)),
    st.tuples(st.just("row charge"), st.one_of(st.integers(0, 9), HOSTILE), UNITS),
    st.tuples(st.just("row refund"), st.one_of(st.integers(0, 9), HOSTILE), UNITS),
    st.tuples(st.just("pin"), USER),
    st.tuples(st.just("unpin"), st.one_of(st.integers(6, 9), HOSTILE)),
    st.tuples(st.just("sweep"), st.one_of(st.integers(1, 5), HOSTILE)),
)
CALLS = st.lists(st.tuples(STEP, CLOCK, CALL), max_size=70)


class World:
    """One twin, and everything that can be asked of it."""

    def __init__(self, suffix: str, policy: str) -> None:
        self.ledgers = importlib.import_module(f"kthena_fast.core._ledger_{suffix}")
        self.heaps = importlib.import_module(f"kthena_fast.core._heap_{suffix}")
        self.ledger = self.ledgers.Ledger(64.0, 6, seed=5, tops=2, block=4)
        for share, rank in ((2, 0), (0.3, 0), (1, 2)):
            self.ledger.standing(share, rank)
        # The first two share a model, the first and the last their permits.
        self.queues = [
            self.heaps.Heap(self.ledger, model, policy, most=12, most_per_user=4) for model in ("m", "m", "n")
        ]
        self.permits = self.heaps.Rivals()
        self.queues[0].compete([self.permits])
        self.queues[2].compete([self.permits, self.heaps.Rivals()])
        self.tickets: list[Any] = []
        self.pinned: list[int] = []
        self.full = (self.ledgers.LedgerFull, self.heaps.QueueFull)

    def call(self, now: Any, name: str, *arguments: Any) -> Any:
        ledger = self.ledger
        if name in ("enter", "admit"):
            queue, user, units, standing = arguments
            self.tickets.append(self.heaps.Ticket())
            return getattr(self.queues[queue], name)(self.tickets[-1], user, units, now, standing)
        if name == "pop":
            ticket = self.queues[arguments[0]].pop(now)
            return None if ticket is None else (ticket.order, ticket.charged)
        if name in ("charge", "settle", "finish", "leave", "stand"):
            if not self.tickets:
                return None
            ticket = self.tickets[arguments[0] % len(self.tickets)]
            if name == "leave":
                return ticket.leave()
            if name == "stand":
                return ticket.stand(arguments[1])
            return getattr(ticket, name)(arguments[1], now)
        if name == "row charge":
            return ledger.charge(*arguments, now)
        if name == "row refund":
            return ledger.refund(*arguments, now)
        if name == "pin":
            self.pinned.append(ledger.pin("m", arguments[0], now))
            return self.pinned[-1]
        if name == "unpin":
            # Only what was pinned by hand: a ticket's pin is the ticket's.
            return ledger.unpin(self.pinned.pop() if self.pinned else arguments[0])
        return ledger.sweep(now, arguments[0])

    def outcome(self, now: Any, name: str, *arguments: Any) -> Any:
        try:
            return self.call(now, name, *arguments)
        except (TypeError, ValueError, LookupError, RuntimeError, *self.full) as error:
            return (type(error).__name__, str(error))

    def state(self, now: float) -> Any:
        ledger = self.ledger
        rows: list[Any] = []
        for row in range(6):
            try:
                rows.append((ledger.name(row), ledger.service(row, now), ledger.counter(row), ledger.in_flight(row)))
            except LookupError:
                rows.append(None)
        return (
            rows,
            (len(ledger), ledger.evictions, ledger.unswept, ledger.models()),
            [(ledger.users(model), ledger.heaviest(model, 3), ledger.jain(model)) for model in ("m", "n")],
            [
                ([ticket.order for ticket in queue.tickets()], queue.standings(9, now), queue.gap(), queue.users)
                for queue in self.queues
            ],
            [self.queues[0].ahead_of(other) for other in self.queues],
            [self.queues.index(heap) for heap in self.permits.busy],
            None if (best := self.permits.best()) is None else self.queues.index(best),
            [(ticket.is_waiting, ticket.is_called, ticket.charged) for ticket in self.tickets],
        )


def check(world: World) -> None:
    """What holds whatever was called."""
    for row in range(6):
        try:
            assert world.ledger.counter(row) >= 0
            assert world.ledger.in_flight(row) >= 0
        except LookupError:
            continue
    for queue in world.queues:
        tickets = queue.tickets()
        assert len(tickets) == len(queue)
        assert all(ticket.is_waiting for ticket in tickets)
        first = queue.first()
        assert first is (tickets[0] if tickets else None)
        assert [queue.position(ticket) for ticket in tickets] == sorted(queue.position(ticket) for ticket in tickets)


@settings(max_examples=250, deadline=None)
@given(policy=st.sampled_from(["window", "vtc", "lcf", "fcfs"]), calls=CALLS)
def test_the_twins_agree(policy: str, calls: list[tuple[float, Any, tuple[Any, ...]]]) -> None:
    pure, compiled = World("py", policy), World("c", policy)
    now = START
    for step, clock, (name, *arguments) in calls:
        now = max(now + step, 0.0)
        moment = now if clock is None else clock
        assert pure.outcome(moment, name, *arguments) == compiled.outcome(moment, name, *arguments)
        assert pure.state(now) == compiled.state(now)
        check(pure)
    for world in (pure, compiled):
        for ticket in world.tickets:
            ticket.leave()
        assert [(len(queue), queue.users) for queue in world.queues] == [(0, 0)] * 3


def random_call(rng: random.Random, tickets: list[Any]) -> tuple[Any, ...]:
    """A call that mostly makes sense, so that long histories go deep."""
    live = [number for number, ticket in enumerate(tickets) if ticket.is_waiting or ticket.is_called] or [0]
    ticket = rng.choice(live)
    calls: list[tuple[int, tuple[Any, ...]]] = [
        (35, ("enter", rng.randrange(3), rng.choice(USERS), rng.randrange(500), rng.randrange(4))),
        (10, ("admit", rng.randrange(3), rng.choice(USERS), rng.randrange(500), rng.randrange(4))),
        (20, ("pop", rng.randrange(3))),
        (10, ("charge", ticket, rng.choice([rng.randrange(3000), 2**33]))),
        (5, ("settle", ticket, rng.randrange(3000))),
        (10, ("finish", ticket, rng.randrange(3000))),
        (6, ("leave", ticket)),
        (2, ("stand", ticket, rng.randrange(4))),
        (2, ("row charge", rng.randrange(6), rng.randrange(2**33))),
        (2, ("row refund", rng.randrange(6), rng.randrange(2**33))),
        (8, ("sweep", rng.randrange(1, 4))),
    ]
    return rng.choices([call for _, call in calls], [weight for weight, _ in calls])[0]


@pytest.mark.parametrize("policy", ["window", "vtc", "lcf", "fcfs"])
@pytest.mark.parametrize("seed", range(4))
def test_the_twins_agree_over_long_histories(policy: str, seed: int) -> None:
    rng = random.Random(seed)
    pure, compiled = World("py", policy), World("c", policy)
    now = START
    for _ in range(300):
        now += rng.choice([0.0, 0.0, 0.1, 1.0, 5.0, rng.random() * 70, -rng.random() * 40])
        if rng.random() < 0.02:
            now += rng.choice([-9e4, 9e4])
        name, *arguments = random_call(rng, pure.tickets)
        assert pure.outcome(now, name, *arguments) == compiled.outcome(now, name, *arguments)
        assert pure.state(now) == compiled.state(now)
        check(pure)


@pytest.mark.parametrize("suffix", ["c", "py"])
@pytest.mark.parametrize("policy", ["window", "vtc", "lcf", "fcfs"])
@pytest.mark.parametrize("seed", range(2))
def test_to_be_admitted_is_to_enter_and_to_be_called(suffix: str, policy: str, seed: int) -> None:
    rng = random.Random(seed)
    one, other = World(suffix, policy), World(suffix, policy)
    now = START
    admitted = 0
    for _ in range(500):
        now += rng.choice([0.0, 0.1, 1.0, 5.0, rng.random() * 70])
        name, *arguments = random_call(rng, one.tickets)
        if name == "enter" and rng.random() < 0.6:
            # Or somebody would wait nearly always.
            name, arguments = "pop", [rng.randrange(3)]
        if name == "admit":
            queue = arguments[0]
            if len(one.queues[queue]):
                assert one.outcome(now, name, *arguments) == ("RuntimeError", "others wait")
                one.tickets.pop()
            elif one.outcome(now, name, *arguments) is None:
                assert other.outcome(now, "enter", *arguments) is None
                assert other.outcome(now, "pop", queue) == (one.tickets[-1].order, one.tickets[-1].charged)
                admitted += 1
            else:
                assert other.outcome(now, "enter", *arguments)[0] == "LedgerFull"
        else:
            assert one.outcome(now, name, *arguments) == other.outcome(now, name, *arguments)
        assert one.state(now) == other.state(now)
    assert admitted > 20


def test_the_compiled_twins_are_the_ones_in_use() -> None:
    for name in ("ledger", "heap"):
        chosen = importlib.import_module(f"kthena_fast.core.{name}")
        compiled = importlib.import_module(f"kthena_fast.core._{name}_c")
        for public in ("Ledger", "LedgerFull", "Heap", "QueueFull", "Ticket", "best"):
            assert getattr(chosen, public, None) is getattr(compiled, public, None)
