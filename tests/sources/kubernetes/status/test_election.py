"""Who leads: decisions about a Lease, held against an API server of a few lines and two clocks that differ."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given as drawn
from hypothesis import settings
from hypothesis import strategies as st

from kthena_fast.sources.kubernetes.status.election import TRANSITIONS, Election, Event, State, Terms

WALL = datetime(2026, 1, 31, 12, 0, 0, 250, tzinfo=UTC)
TERMS = Terms(duration=15, renew_deadline=10, retry_period=2)


def candidate(identity: str = "a") -> Election:
    return Election("lease", "ns", identity, TERMS)


def lease(holder: str, version: int = 1, renewed: str = "t1", **spec: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": "lease", "namespace": "ns", "resourceVersion": str(version), "labels": {"l": "1"}},
        "spec": {"holderIdentity": holder, "renewTime": renewed, "leaseDurationSeconds": 15, **spec},
    }


def stored(written: Mapping[str, Any] | None, version: int = 1) -> dict[str, Any]:
    assert written is not None
    return {**written, "metadata": {**written["metadata"], "resourceVersion": str(version)}}


def leader(now: float = 0.0) -> Election:
    one = candidate()
    one.on_read(None, now)
    one.on_taken(stored(one.claim(now, WALL)), now)
    return one


def test_nothing_is_claimed_before_the_lease_was_read() -> None:
    assert candidate().claim(0, WALL) is None


def test_where_there_is_no_lease_one_is_made() -> None:
    one = candidate()
    one.on_read(None, 0)
    assert one.claim(0, WALL) == {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": "lease", "namespace": "ns"},
        "spec": {
            "holderIdentity": "a",
            "leaseDurationSeconds": 15,
            "acquireTime": "2026-01-31T12:00:00.000250Z",
            "renewTime": "2026-01-31T12:00:00.000250Z",
            "leaseTransitions": 0,
        },
    }


def test_a_lease_that_is_anothers_is_taken_once_it_was_not_renewed_for_as_long_as_it_says() -> None:
    one = candidate()
    one.on_read(lease("b", leaseDurationSeconds=30, leaseTransitions=3), 100)
    assert one.claim(129.9, WALL) is None
    claimed = one.claim(130, WALL)
    assert claimed is not None
    assert claimed["metadata"]["resourceVersion"] == "1"
    assert claimed["metadata"]["labels"] == {"l": "1"}
    assert claimed["spec"]["holderIdentity"] == "a"
    assert claimed["spec"]["leaseTransitions"] == 4


def test_each_renewal_that_is_seen_starts_the_wait_anew() -> None:
    one = candidate()
    one.on_read(lease("b"), 0)
    one.on_read(lease("b", 2, "t2"), 14)
    assert one.claim(28, WALL) is None
    # A write that is no renewal, a label say, does not.
    one.on_read(lease("b", 3, "t2"), 20)
    claimed = one.claim(29, WALL)
    assert claimed is not None
    assert claimed["metadata"]["resourceVersion"] == "3"


def test_a_lease_that_was_released_is_taken_at_once() -> None:
    one = candidate()
    one.on_read(lease(""), 0)
    assert one.claim(0, WALL) is not None


@pytest.mark.parametrize("odd", [{}, {"spec": None}, {"spec": {"holderIdentity": 1, "leaseDurationSeconds": "x"}}])
def test_a_lease_of_an_odd_shape_is_taken(odd: dict[str, Any]) -> None:
    one = candidate()
    one.on_read({"metadata": {"name": "lease"}, **odd}, 0)
    assert one.claim(0, WALL) is not None


def test_a_duration_that_is_none_is_taken_as_ours() -> None:
    one = candidate()
    one.on_read(lease("b", leaseDurationSeconds=-1), 0)
    assert one.claim(14.9, WALL) is None
    assert one.claim(15, WALL) is not None


def test_a_renewal_keeps_when_the_lease_was_acquired() -> None:
    one = leader()
    renewed = one.claim(2, WALL.replace(minute=1))
    assert renewed is not None
    assert renewed["spec"]["acquireTime"] == "2026-01-31T12:00:00.000250Z"
    assert renewed["spec"]["renewTime"] == "2026-01-31T12:01:00.000250Z"
    assert renewed["spec"]["leaseTransitions"] == 0


def test_a_leader_acts_until_the_deadline_after_it_sent_the_last_renewal_that_was_taken() -> None:
    one = leader(now=100)
    assert one.leads(109.9)
    assert not one.leads(110)
    one.on_taken(stored(one.claim(105, WALL), 2), 105)
    assert one.leads(114.9)
    one.on_time(115)
    assert one.state is State.FOLLOWING


def test_a_conflict_ends_the_lead_at_once_and_the_lease_is_read_before_anything_else() -> None:
    one = leader()
    one.on_event(Event.LOST)
    assert not one.leads(0)
    assert one.is_unread
    assert one.claim(0, WALL) is None
    one.on_read(lease("b", 2), 1)
    assert one.claim(1, WALL) is None


@pytest.mark.parametrize("found", [None, lease("b", 2)], ids=["gone", "another's"])
def test_a_lead_ends_where_the_lease_turns_out_to_be_gone_or_anothers(found: dict[str, Any] | None) -> None:
    one = leader()
    one.on_event(Event.FAILED)
    assert one.leads(1)
    one.on_read(found, 1)
    assert not one.leads(1)


def test_a_lead_goes_on_where_a_failed_renewal_turns_out_to_have_been_taken() -> None:
    one = leader()
    written = stored(one.claim(2, WALL), 2)
    one.on_event(Event.FAILED)
    one.on_read(written, 3)
    assert one.leads(3)
    claimed = one.claim(3, WALL)
    assert claimed is not None
    assert claimed["metadata"]["resourceVersion"] == "2"
    # When it was taken is not known, so it counts from the one before.
    assert not one.leads(10)


def test_a_leader_releases_what_it_holds() -> None:
    released = leader().release(WALL)
    assert released is not None
    assert released["spec"]["holderIdentity"] == ""
    assert released["spec"]["leaseDurationSeconds"] == 1
    assert released["metadata"]["resourceVersion"] == "1"


def test_a_follower_releases_nothing() -> None:
    one = candidate()
    assert one.release(WALL) is None
    one.on_read(lease("b"), 0)
    assert one.release(WALL) is None


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("event", Event)
def test_what_is_not_in_the_table_cannot_happen(state: State, event: Event) -> None:
    one = candidate()
    one.state = state
    if event in TRANSITIONS[state]:
        one.on_event(event)
        assert one.state is TRANSITIONS[state][event]
    else:
        with pytest.raises(RuntimeError, match=f"{event.name} cannot happen while {state.value}"):
            one.on_event(event)


def test_only_a_write_that_was_taken_makes_a_leader_and_nothing_follows_the_end() -> None:
    assert [event for event, to in TRANSITIONS[State.FOLLOWING].items() if to is State.LEADING] == [Event.TOOK]
    assert TRANSITIONS[State.ENDED] == {}
    assert all(moves[Event.STOPPED] is State.ENDED for state, moves in TRANSITIONS.items() if moves)


@pytest.mark.parametrize("terms", [(15, 15, 2), (15, 10, 10), (15, 10, 0), (5, 10, 2)])
def test_terms_that_cannot_be_safe_are_refused(terms: tuple[float, float, float]) -> None:
    with pytest.raises(ValueError, match="each must be less than the one before it"):
        Terms(*terms)


class Server:
    """What the API server does with a Lease: a compare-and-swap on its version."""

    def __init__(self) -> None:
        self.lease: dict[str, Any] | None = None
        self.version = 0

    def write(self, wanted: dict[str, Any]) -> dict[str, Any] | None:
        """The Lease as stored; None: a conflict."""
        current = self.lease["metadata"]["resourceVersion"] if self.lease is not None else None
        if wanted["metadata"].get("resourceVersion") != current:
            return None
        self.version += 1
        self.lease = stored(wanted, self.version)
        return self.lease


class Candidate:
    """An election, its clock, and what it was about to send."""

    def __init__(self, server: Server, identity: str, clock_ahead: float, clock_rate: float) -> None:
        self.server = server
        self.election = candidate(identity)
        self.ahead = clock_ahead
        self.rate = clock_rate
        self.pending: tuple[dict[str, Any], float] | None = None

    def now(self, true: float) -> float:
        return true * self.rate + self.ahead

    def do(self, what: str, true: float) -> None:
        """One step of a candidate, any of which others may come between."""
        now, one = self.now(true), self.election
        one.on_time(now)
        if what == "attempt":
            for part in ("read", "prepare", "send"):
                self.do(part, true)
        elif what == "renew":
            for part in ("prepare", "send"):
                self.do(part, true)
        elif what == "read":
            self.pending = None
            one.on_read(self.server.lease, now)
        elif what == "prepare":
            claim = one.claim(now, WALL)
            self.pending = (claim, now) if claim is not None else None
        elif self.pending is not None:
            claim, sent = self.pending
            self.pending = None
            if what == "send":
                taken = self.server.write(claim)
                if taken is not None:
                    one.on_taken(taken, sent)
                else:
                    one.on_event(Event.LOST)
            elif what == "lose the answer":
                self.server.write(claim)
                one.on_event(Event.FAILED)
            elif what == "lose the request":
                one.on_event(Event.FAILED)


STEPS = ["attempt", "renew", "read", "prepare", "send", "lose the answer", "lose the request"]


def steps_of(*kinds: str) -> st.SearchStrategy[tuple[int, str, float]]:
    """Whose step it is, what he does, and how long after the one before."""
    return st.tuples(st.integers(0, 1), st.sampled_from(kinds), st.sampled_from([0.0, 1.0, 4.0, 9.0]))


@settings(max_examples=400)
@drawn(
    # Nobody deletes the Lease, as the documents ask: then two may act until the first one's deadline.
    steps=st.lists(steps_of(*STEPS), min_size=4, max_size=16),
    ahead=st.floats(0, 1e6),
    # Up to the ratio of the duration to the deadline.
    rate=st.sampled_from([1.0, 1.25, 1.5]),
)
def test_never_do_two_act_at_once(steps: list[tuple[int, str, float]], ahead: float, rate: float) -> None:
    server = Server()
    both = [Candidate(server, "a", 0.0, 1.0), Candidate(server, "b", ahead, rate)]
    true = 0.0
    for who, what, passes in steps:
        true += passes
        both[who].do(what, true)
        assert not all(one.election.leads(one.now(true)) for one in both)


@drawn(steps=st.lists(steps_of(*STEPS, "delete"), max_size=16))
def test_whatever_happened_a_candidate_that_is_let_alone_leads_after_the_duration(
    steps: list[tuple[int, str, float]],
) -> None:
    server = Server()
    both = [Candidate(server, "a", 0.0, 1.0), Candidate(server, "b", 7.0, 1.0)]
    true = 0.0
    for who, what, passes in steps:
        true += passes
        if what == "delete":
            server.lease = None
        else:
            both[who].do(what, true)
    for at in (true, true + 10, true + 20, true + 30):
        for what in ("read", "prepare", "send"):
            both[0].do(what, at)
    assert both[0].election.leads(both[0].now(true + 30))
