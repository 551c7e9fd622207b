"""Candidates for a Lease of a real API server, with clocks that the tests move."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import pytest_asyncio

from kthena_fast.sources.kubernetes.status import lease
from kthena_fast.sources.kubernetes.status.election import Election, State, Terms
from kthena_fast.sources.kubernetes.status.lease import Candidacy
from tests.kube.apiserver import KubeApiServer
from tests.sources.kubernetes.status.cluster import Clock, Disturbed, lost

TERMS = Terms(duration=15, renew_deadline=10, retry_period=2)


class Replica:
    """A candidate, its way to the API server and its clock."""

    def __init__(self, kube: Disturbed, namespace: str, identity: str) -> None:
        self.kube = kube
        self.clock = Clock()
        self.election = Election("status", namespace, identity, TERMS)
        self.candidacy = Candidacy(
            kube,
            self.election,
            clock=self.clock,
            wall=self.clock.wall,
            pause=self.clock.pause,
            draw=lambda: 0.5,
        )

    async def step(self, seconds: float = 0.0) -> bool:
        """What it does after a while; whether it leads then."""
        self.clock.now += seconds
        await self.candidacy.step()
        return self.candidacy.leads()


Replicas = Callable[..., Replica]


@pytest_asyncio.fixture
async def replica(kube_apiserver: KubeApiServer, kube_namespace: str) -> AsyncIterator[Replicas]:
    made: list[Replica] = []

    def make(identity: str = "a", token: str | None = None, namespace: str = kube_namespace) -> Replica:
        made.append(Replica(Disturbed(kube_apiserver, token), namespace, identity))
        return made[-1]

    yield make
    for one in made:
        await one.kube.close()


def stored(server: KubeApiServer, namespace: str) -> Any:
    return server.get(
        {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"name": "status", "namespace": namespace},
        }
    )


async def test_a_candidate_alone_makes_the_lease_and_leads(
    replica: Replicas, kube_apiserver: KubeApiServer, kube_namespace: str
) -> None:
    one = replica("a")
    assert not one.candidacy.leads()
    assert await one.step()
    spec = stored(kube_apiserver, kube_namespace)["spec"]
    assert spec["holderIdentity"] == "a"
    assert spec["leaseDurationSeconds"] == 15
    assert spec["acquireTime"] == spec["renewTime"] == "2026-01-31T12:00:00.000000Z"


async def test_a_lease_that_was_made_in_advance_is_filled(
    replica: Replicas, kube_apiserver: KubeApiServer, kube_namespace: str
) -> None:
    """The chart brings an empty one, so that nobody needs the right to create any."""
    meta = {"name": "status", "namespace": kube_namespace, "labels": {"app.kubernetes.io/managed-by": "Helm"}}
    kube_apiserver.apply({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": meta})
    one = replica("a")
    assert await one.step()
    found = stored(kube_apiserver, kube_namespace)
    assert found["spec"]["holderIdentity"] == "a"
    assert found["metadata"]["labels"] == meta["labels"]
    assert one.kube.count("POST") == 0


async def test_a_leader_renews_without_reading_and_a_follower_only_reads(
    replica: Replicas, kube_apiserver: KubeApiServer, kube_namespace: str
) -> None:
    leader, follower = replica("a"), replica("b")
    for _ in range(5):
        assert await leader.step(2)
        assert not await follower.step(2)
    assert [leader.kube.count(method) for method in ("GET", "POST", "PUT")] == [1, 1, 4]
    assert [follower.kube.count(method) for method in ("GET", "POST", "PUT")] == [5, 0, 0]
    spec = stored(kube_apiserver, kube_namespace)["spec"]
    assert spec["renewTime"] == "2026-01-31T12:00:10.000000Z"
    assert spec["acquireTime"] == "2026-01-31T12:00:02.000000Z"


async def test_of_candidates_that_race_one_leads(replica: Replicas) -> None:
    racers = [replica(f"r{number}") for number in range(5)]
    waiting = asyncio.Barrier(len(racers))

    async def together(what: str) -> None:
        # All have read that there is none before the first one writes.
        if what.startswith("POST"):
            await waiting.wait()

    for one in racers:
        one.kube.before = together
    leads = await asyncio.gather(*(one.step() for one in racers))
    assert sum(leads) == 1
    # Who lost reads before anything else, and waits.
    assert sum([await one.step(1) for one in racers]) == 1


async def test_candidates_that_race_for_a_lease_that_ran_out_are_told_apart_by_its_version(replica: Replicas) -> None:
    assert await replica("gone").step()
    racers = [replica(f"r{number}") for number in range(3)]
    assert [await one.step() for one in racers] == [False] * 3
    waiting = asyncio.Barrier(len(racers))

    async def together(what: str) -> None:
        if what.startswith("PUT"):
            await waiting.wait()

    for one in racers:
        one.kube.before = together
    assert sum(await asyncio.gather(*(one.step(15) for one in racers))) == 1


async def test_a_leader_that_falls_silent_is_followed_after_the_duration(replica: Replicas) -> None:
    silent, other = replica("a"), replica("b")
    assert await silent.step()
    assert not await other.step()
    assert not await other.step(14.9)
    assert await other.step(0.1)
    # The first one had stopped by itself, long before it hears of it.
    silent.clock.now += 10
    assert not silent.candidacy.leads()
    assert not await silent.step()


async def test_who_leaves_gives_the_lease_back_and_the_next_one_need_not_wait(
    replica: Replicas, kube_apiserver: KubeApiServer, kube_namespace: str
) -> None:
    one, other = replica("a"), replica("b")
    assert await one.step()
    assert not await other.step()
    await one.candidacy.leave()
    assert one.election.state is State.ENDED
    assert not one.candidacy.leads()
    assert stored(kube_apiserver, kube_namespace)["spec"]["holderIdentity"] == ""
    assert await other.step()
    assert stored(kube_apiserver, kube_namespace)["spec"]["leaseTransitions"] == 1


async def test_a_follower_that_leaves_asks_for_nothing(replica: Replicas) -> None:
    one, other = replica("a"), replica("b")
    assert await one.step()
    assert not await other.step()
    asked = len(other.kube.sent)
    await other.candidacy.leave()
    assert len(other.kube.sent) == asked


async def test_a_leader_that_cannot_reach_the_api_server_stops_before_another_can_lead(
    replica: Replicas, caplog: pytest.LogCaptureFixture
) -> None:
    one, other = replica("a"), replica("b")
    assert await one.step()
    assert not await other.step()
    one.kube.before = lost
    for _ in range(4):
        assert await one.step(2.25)
    assert not await other.step(9)
    assert not await one.step(1)
    assert not await other.step(1)
    # Only now.
    assert await other.step(5)
    one.kube.before = _pass
    assert not await one.step(5)
    # However the requests failed.
    assert len([record for record in caplog.records if record.levelno == logging.WARNING]) == 1


async def _pass(what: str) -> None:
    pass


async def test_a_renewal_that_was_taken_though_its_answer_was_lost_ends_no_lead(replica: Replicas) -> None:
    one = replica("a")
    assert await one.step()
    one.kube.after = lost
    assert await one.step(2)
    one.kube.after = _pass
    assert await one.step(2)
    assert one.kube.count("PUT") == 2
    one.clock.now += 9
    assert one.candidacy.leads()


async def test_a_claim_that_was_taken_though_its_answer_was_lost_is_taken_up(replica: Replicas) -> None:
    one = replica("a")

    async def lose_writes(what: str) -> None:
        if what.startswith("POST"):
            await lost(what)

    one.kube.after = lose_writes
    assert not await one.step()
    assert await one.step(2)
    assert [one.kube.count(method) for method in ("POST", "PUT")] == [1, 1]


@pytest.mark.parametrize("change", ["holder", "gone"])
async def test_a_leader_whose_lease_was_taken_away_stops_at_its_next_renewal(
    replica: Replicas, kube_apiserver: KubeApiServer, kube_namespace: str, change: str
) -> None:
    one = replica("a")
    assert await one.step()
    held = stored(kube_apiserver, kube_namespace)
    if change == "gone":
        kube_apiserver.delete(held)
    else:
        kube_apiserver.patch(held, {"spec": {"holderIdentity": "somebody"}})
    assert not await one.step(2)
    # It reads, and is told who holds it, or makes it anew.
    assert await one.step(2) == (change == "gone")


async def test_what_others_wrote_to_the_lease_is_kept(
    replica: Replicas, kube_apiserver: KubeApiServer, kube_namespace: str
) -> None:
    one = replica("a")
    assert await one.step()
    kube_apiserver.patch(stored(kube_apiserver, kube_namespace), {"metadata": {"labels": {"team": "x"}}})
    assert not await one.step(2)
    assert await one.step(2)
    assert await one.step(2)
    assert stored(kube_apiserver, kube_namespace)["metadata"]["labels"] == {"team": "x"}


async def test_a_missing_right_is_said_once_and_looked_for_less_often(
    replica: Replicas, kube_apiserver: KubeApiServer, kube_namespace: str, caplog: pytest.LogCaptureFixture
) -> None:
    one = replica("a", kube_apiserver.service_account(kube_namespace, "nobody"))
    for _ in range(3):
        assert not await one.step(2)
    (said,) = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert 'cannot get resource "leases" in API group "coordination.k8s.io"' in said
    await _run(one, pauses=1)
    assert one.clock.waited == [lease.FORBIDDEN_PERIOD]


async def test_a_namespace_that_is_not_there_is_named(replica: Replicas, caplog: pytest.LogCaptureFixture) -> None:
    one = replica("a", namespace="nowhere")
    assert not await one.step()
    assert 'namespaces "nowhere" not found' in caplog.text


async def test_a_leader_asks_at_its_period_and_a_follower_a_little_less_often(replica: Replicas) -> None:
    one, other = replica("a"), replica("b")
    await _run(one, pauses=3)
    assert one.clock.waited == [2.0, 2.0, 2.0]
    await _run(other, pauses=2)
    assert other.clock.waited == [2.0 * (1 + lease.JITTER * 0.5)] * 2


async def _run(one: Replica, pauses: int) -> None:
    """Run it for as many pauses."""
    counted = itertools.count(1)
    pause = one.clock.pause

    async def some(seconds: float) -> None:
        await pause(seconds)
        if next(counted) == pauses:
            raise asyncio.CancelledError

    one.candidacy._pause = some
    with pytest.raises(asyncio.CancelledError):
        await one.candidacy.run()


@pytest.mark.parametrize("at", ["before", "after"])
@pytest.mark.parametrize("number", [1, 2, 3, 4])
async def test_wherever_a_candidate_is_cancelled_the_lease_is_free_once_it_has_left(
    replica: Replicas, kube_apiserver: KubeApiServer, kube_namespace: str, number: int, at: str
) -> None:
    """Read, make, renew, renew: before the request is sent, and after it was answered."""
    one, other = replica("a"), replica("b")
    reached = asyncio.Event()

    async def hold(what: str) -> None:
        if len(one.kube.sent) == number:
            reached.set()
            await asyncio.Event().wait()

    setattr(one.kube, at, hold)
    running = asyncio.create_task(one.candidacy.run())
    await reached.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    setattr(one.kube, at, _pass)
    await one.candidacy.leave()
    assert not one.candidacy.leads()
    assert await other.step()


async def test_a_leave_that_gets_no_answer_ends_all_the_same(
    replica: Replicas, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "RELEASE_TIMEOUT", 0.01)
    one = replica("a")
    assert await one.step()

    async def forever(what: str) -> None:
        await asyncio.Event().wait()

    one.kube.before = forever
    await one.candidacy.leave()
    assert one.election.state is State.ENDED


async def test_a_leave_that_is_cancelled_has_left(replica: Replicas) -> None:
    one = replica("a")
    assert await one.step()
    reached = asyncio.Event()

    async def hold(what: str) -> None:
        reached.set()
        await asyncio.Event().wait()

    one.kube.before = hold
    leaving = asyncio.create_task(one.candidacy.leave())
    await reached.wait()
    leaving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaving
    assert not one.candidacy.leads()


async def test_an_api_server_that_dies_and_comes_back_finds_its_leader_again(
    own_kube_apiserver: KubeApiServer,
) -> None:
    namespace = own_kube_apiserver.create_namespace()
    async with Disturbed(own_kube_apiserver) as kube:
        one = Replica(kube, namespace, "a")
        assert await one.step()
        await asyncio.to_thread(own_kube_apiserver.stop_apiserver)
        assert await one.step(2)
        assert not await one.step(9)
        await asyncio.to_thread(own_kube_apiserver.start)
        assert await one.step(2)
