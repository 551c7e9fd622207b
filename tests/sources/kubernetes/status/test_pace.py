"""How often status is written to a real API server, and how long is waited for one that is slow, busy or away."""

from __future__ import annotations

import asyncio

import pytest

from kthena_fast.kube import failures
from kthena_fast.sources.kubernetes.status import line, writer
from kthena_fast.telemetry import metrics
from tests.kube import apiserver
from tests.kube.apiserver import KubeApiServer
from tests.routing.given import to
from tests.sources.kubernetes.status import cluster
from tests.sources.kubernetes.status.cluster import conditions_of, lost, reasons_of
from tests.sources.kubernetes.status.writing import Replicas


async def test_no_more_objects_are_written_than_the_rate_allows(
    replica: Replicas, kube_apiserver: KubeApiServer, kube_namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "RATE", 10.0)
    monkeypatch.setattr(writer, "BURST", 20)
    one = replica()
    kube_apiserver.apply(*cluster.routes(kube_namespace, 35))
    one.read()
    assert 0 < await one.turn() <= 1 / writer.RATE
    assert one.kube.count("PATCH") == writer.BURST
    assert one.measured(metrics.STATUS_PENDING) == {(): 15.0}
    await one.turn()
    assert one.kube.count("PATCH") == writer.BURST + writer.RATE
    await one.turn()
    assert one.kube.count("PATCH") == 35


async def test_what_was_read_in_a_list_is_written_in_one_request(
    replica: Replicas, kube_apiserver: KubeApiServer, kube_namespace: str
) -> None:
    one = replica()
    kube_apiserver.apply(*cluster.routes(kube_namespace, 120))
    await one.settle()
    assert (one.kube.count("GET"), one.kube.count("PATCH")) == (0, 120)


async def test_lists_are_read_only_as_fast_as_they_are_dealt_with(
    replica: Replicas, kube_apiserver: KubeApiServer, kube_namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "AHEAD", 10)
    monkeypatch.setattr(writer, "BURST", 1)
    one = replica()
    kube_apiserver.apply(*cluster.routes(kube_namespace, 60))
    one.read()
    await one.turn()
    # The first page has fifty; the servers come after the routes.
    assert one.measured(metrics.STATUS_PENDING) == {(): 59.0}
    assert one.kube.count("LIST", "modelservers") == 0
    while one.kube.count("PATCH") < 60:
        await one.turn()
    assert one.kube.count("LIST", "modelservers") == 1
    assert one.kube.count("GET") == 0


async def test_of_a_slow_api_server_less_is_asked(
    replica: Replicas, kube_apiserver: KubeApiServer, kube_namespace: str
) -> None:
    one = replica()
    kube_apiserver.apply(*cluster.routes(kube_namespace, 5))

    async def take_a_while(what: str) -> None:
        one.clock.now += 0.3

    one.kube.before = take_a_while
    one.read()
    waits = []
    while one.kube.count("PATCH") < 5:
        waits.append(await one.writer.turn())
        one.clock.now += waits[-1]
    assert [wait for wait in waits if wait != writer.LOOK_EVERY] == [pytest.approx(0.3)] * 5


async def test_a_pod_that_is_ready_every_other_second_makes_no_storm_of_writes(
    replica: Replicas, kube_apiserver: KubeApiServer, kube_namespace: str
) -> None:
    one = replica()
    server = cluster.model_server(kube_namespace, "s")
    pod = apiserver.pod(kube_namespace, "p", "10.0.0.1", {"app": "s"})
    kube_apiserver.apply(server, pod)
    for second in range(120):
        kube_apiserver.set_status(pod, apiserver.pod_status("10.0.0.1", is_ready=second % 2 == 0))
        await one.settle()
    assert one.kube.count("PATCH") <= line.BURST + 2
    # It is as it is, and so it is said, be it a minute later.
    for _ in range(62):
        await one.settle()
    assert reasons_of(kube_apiserver, server)["ResolvedRefs"] == ("False", "NoReadyPods")
    sent = len(one.kube.sent)
    # A new generation is somebody's who waits.
    kube_apiserver.patch(server, {"spec": {"workloadPort": {"port": 8001}}})
    await one.settle()
    assert conditions_of(kube_apiserver, server)["Accepted"]["observedGeneration"] == 2
    assert [what.split()[0] for what in one.kube.sent[sent:]] == ["GET", "PATCH"]


async def test_an_object_that_others_write_all_the_time_is_not_fought_for(
    replica: Replicas, kube_apiserver: KubeApiServer, kube_namespace: str
) -> None:
    one = replica()
    kube_apiserver.apply(route := cluster.route(kube_namespace, "r", to("s")))

    async def interfere(what: str) -> None:
        if what.startswith("PATCH"):
            number = one.kube.count("PATCH")
            kube_apiserver.patch(route, {"metadata": {"labels": {"number": str(number)}}})

    one.kube.before = interfere
    one.read()
    for _ in range(50):
        await one.turn()
    assert one.kube.count("PATCH") == line.BURST
    assert one.measured(metrics.STATUS_PENDING) == {(): 1.0}
    one.kube.before = cluster._nothing
    one.clock.now += line.EVERY
    await one.turn()
    assert "Accepted" in conditions_of(kube_apiserver, route)


async def test_snapshots_are_looked_at_no_more_than_once_a_second(
    replica: Replicas, kube_apiserver: KubeApiServer, kube_namespace: str
) -> None:
    one = replica()
    kube_apiserver.apply(cluster.route(kube_namespace, "r", to("s")))
    await one.settle()
    kube_apiserver.apply(cluster.route(kube_namespace, "r2", to("s"), model="m2"))
    one.read()
    one.clock.now += 0.5
    await one.writer.turn()
    assert one.kube.count("PATCH") == 1
    one.clock.now += 0.5
    await one.writer.turn()
    assert one.kube.count("PATCH") == 2


async def test_while_the_api_server_is_away_it_waits_longer_and_longer_and_then_goes_on(
    replica: Replicas, kube_apiserver: KubeApiServer, kube_namespace: str, caplog: pytest.LogCaptureFixture
) -> None:
    one = replica()
    kube_apiserver.apply(route := cluster.route(kube_namespace, "r", to("s")))
    one.read()
    one.kube.before = lost
    assert [await one.turn() for _ in range(8)] == [1, 2, 4, 8, 16, 32, 60, 60]
    assert len(caplog.records) == 1
    one.kube.before = cluster._nothing
    assert await one.turn() == writer.LOOK_EVERY
    assert "Accepted" in conditions_of(kube_apiserver, route)
    one.kube.before = lost
    one.clock.now += writer.REVIEW_EVERY
    assert await one.turn() == 1


@pytest.mark.parametrize("asked", [30.0, 3600.0])
async def test_patience_that_the_api_server_asks_for_is_had_within_bounds(
    replica: Replicas, kube_apiserver: KubeApiServer, kube_namespace: str, asked: float
) -> None:
    one = replica()
    kube_apiserver.apply(cluster.route(kube_namespace, "r", to("s")))
    one.read()

    async def busy(what: str) -> None:
        if what.startswith("PATCH"):
            raise failures.ApiError(429, "TooManyRequests", "later", retry_after=asked)

    one.kube.before = busy
    assert await one.turn() == min(asked, writer.MAX_DELAY)
    assert one.measured(metrics.STATUS_PENDING) == {(): 1.0}
    one.kube.before = cluster._nothing
    # There is no burst for who was asked to wait.
    assert 0 < await one.writer.turn() <= 1 / writer.RATE


async def test_it_pauses_for_as_long_as_a_turn_says(replica: Replicas) -> None:
    one = replica()
    one.leads = False
    pauses: list[float] = []

    async def pause(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 2:
            raise asyncio.CancelledError

    one.writer._pause = pause
    with pytest.raises(asyncio.CancelledError):
        await one.writer.run()
    assert pauses == [writer.LOOK_EVERY] * 2
