"""Status in a real API server: what is written, what is not, and how often."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import logging
import time
from collections.abc import AsyncIterator, Callable

import pytest
import pytest_asyncio

from kthena_fast.kube import failures
from kthena_fast.resources import crds, size
from kthena_fast.routing import build, findings
from kthena_fast.routing.objects import Objects, Reason, Rejection
from kthena_fast.routing.snapshot import Snapshot
from kthena_fast.sources.kubernetes.status import line, term, writer
from kthena_fast.sources.kubernetes.status.writer import Writer
from kthena_fast.telemetry import metrics
from kthena_fast.telemetry.registry import Registry
from kthena_fast.telemetry.values import Value
from tests.kube import apiserver
from tests.kube.apiserver import KubeApiServer, Object
from tests.routing.given import to
from tests.sources.kubernetes.status import cluster
from tests.sources.kubernetes.status.cluster import Clock, Disturbed, conditions_of, lost, reasons_of


class Replica:
    """A writer that leads unless told otherwise, and the snapshot that it is shown."""

    def __init__(self, server: KubeApiServer, *namespaces: str, token: str | None = None) -> None:
        self.server = server
        self.namespaces = namespaces
        self.kube = Disturbed(server, token)
        self.clock = Clock()
        self.registry = Registry()
        self.leads = True
        self.snapshot: Snapshot | None = None
        self.writer = Writer(
            self.kube,
            self.registry,
            leads=lambda: self.leads,
            snapshot=lambda: self.snapshot,
            namespaces=namespaces,
            clock=self.clock,
            wall=self.clock.wall,
            pause=self.clock.pause,
            draw=lambda: 1.0,
        )

    def read(self) -> None:
        """Show it what there is now."""
        self.snapshot = cluster.snapshot(self.server, *self.namespaces)

    async def turn(self) -> float:
        """A turn, a second after the last."""
        self.clock.now += 1
        return await self.writer.turn()

    async def settle(self) -> None:
        """Show it what there is, and let it do what follows."""
        self.read()
        await self.turn()

    def measured(self, metric: metrics.Metric) -> dict[tuple[str, ...], float | None]:
        """The children of a metric as a scrape sees them."""
        self.registry.refresh()
        return {
            values: child.number
            for values, child in self.registry.family(metric).children()
            if isinstance(child, Value)
        }


Replicas = Callable[..., Replica]


@pytest_asyncio.fixture
async def replica(kube_apiserver: KubeApiServer, kube_namespace: str) -> AsyncIterator[Replicas]:
    made: list[Replica] = []

    def make(*namespaces: str, server: KubeApiServer = kube_apiserver, token: str | None = None) -> Replica:
        made.append(Replica(server, *(namespaces or (kube_namespace,)), token=token))
        return made[-1]

    yield make
    for one in made:
        await one.kube.close()


async def test_conditions_appear_and_follow_what_changes(
    replica: Replicas, kube_apiserver: KubeApiServer, kube_namespace: str
) -> None:
    one = replica()
    route = cluster.route(kube_namespace, "r", to("s"))
    kube_apiserver.apply(route)
    await one.settle()
    assert reasons_of(kube_apiserver, route) == {
        "Accepted": ("True", "Accepted"),
        "ResolvedRefs": ("False", "BackendNotFound"),
    }
    first = conditions_of(kube_apiserver, route)
    assert first["ResolvedRefs"]["observedGeneration"] == 1
    assert first["ResolvedRefs"]["lastTransitionTime"] == "2026-01-31T12:00:01Z"

    server = cluster.model_server(kube_namespace, "s")
    kube_apiserver.apply(server)
    await one.settle()
    assert reasons_of(kube_apiserver, route)["ResolvedRefs"] == ("True", "ResolvedRefs")
    assert conditions_of(kube_apiserver, route)["Accepted"] == first["Accepted"]
    assert reasons_of(kube_apiserver, server)["ResolvedRefs"] == ("False", "NoReadyPods")

    kube_apiserver.apply(apiserver.pod(kube_namespace, "p", "10.0.0.1", {"app": "s"}))
    await one.settle()
    assert reasons_of(kube_apiserver, server) == {
        "Accepted": ("True", "Accepted"),
        "ResolvedRefs": ("True", "ResolvedRefs"),
    }
    limited = cluster.route(kube_namespace, "r", to("s"), rateLimit={"inputTokensPerUnit": 10})
    kube_apiserver.apply(limited)
    await one.settle()
    last = conditions_of(kube_apiserver, route)
    assert last["Accepted"]["reason"] == "FieldNotObeyed"
    assert last["Accepted"]["observedGeneration"] == 2
    assert last["Accepted"]["lastTransitionTime"] == first["Accepted"]["lastTransitionTime"]
    assert kube_apiserver.get(route)["status"]["observedGeneration"] == 2


async def test_a_shadowed_route_is_told_and_told_again_when_the_older_one_goes(
    replica: Replicas, kube_apiserver: KubeApiServer, kube_namespace: str
) -> None:
    one = replica()
    older, younger = (cluster.route(kube_namespace, name, to("s")) for name in ("a-older", "b-younger"))
    kube_apiserver.apply(older, younger, cluster.model_server(kube_namespace, "s", "127.0.0.1:1"))
    await one.settle()
    assert reasons_of(kube_apiserver, older)["Accepted"] == ("True", "Accepted")
    assert reasons_of(kube_apiserver, younger)["Accepted"] == ("False", "Shadowed")
    kube_apiserver.delete(older)
    await one.settle()
    assert reasons_of(kube_apiserver, younger)["Accepted"] == ("True", "Accepted")


async def test_what_stands_is_neither_read_again_nor_written(
    replica: Replicas, kube_apiserver: KubeApiServer, kube_namespace: str
) -> None:
    one = replica()
    routes = [cluster.route(kube_namespace, f"r{number}", to("s"), model=f"m{number}") for number in range(3)]
    kube_apiserver.apply(*routes)
    await one.settle()
    assert one.kube.count("PATCH") == 3
    sent = len(one.kube.sent)
    await one.settle()
    # A label is no change of what is said.
    kube_apiserver.patch(routes[0], {"metadata": {"labels": {"a": "b"}}})
    await one.settle()
    assert len(one.kube.sent) == sent


async def test_a_new_leader_reads_lists_and_writes_nothing_where_the_one_before_it_was_done(
    replica: Replicas, kube_apiserver: KubeApiServer, kube_namespace: str
) -> None:
    one, other = replica(), replica()
    kube_apiserver.apply(
        *[cluster.route(kube_namespace, f"r{number}", to("s"), model=f"m{number}") for number in (1, 2)]
    )
    await one.settle()
    await other.settle()
    assert [what.split()[0] for what in other.kube.sent] == ["LIST", "LIST"]


async def test_a_replica_that_does_not_lead_asks_for_nothing(
    replica: Replicas, kube_apiserver: KubeApiServer, kube_namespace: str
) -> None:
    one = replica()
    kube_apiserver.apply(cluster.route(kube_namespace, "r", to("s")))
    one.leads = False
    assert await one.turn() == writer.LOOK_EVERY
    await one.settle()
    assert one.kube.sent == []
    assert one.measured(metrics.STATUS_LEADER) == {(): 0.0}


async def test_nothing_is_written_before_objects_are_in_service(replica: Replicas) -> None:
    one = replica()
    assert await one.turn() == writer.LOOK_EVERY
    assert one.kube.sent == []


async def test_a_lead_that_ends_between_reading_and_writing_writes_nothing_more(
    replica: Replicas, kube_apiserver: KubeApiServer, kube_namespace: str
) -> None:
    one = replica()
    kube_apiserver.apply(
        *[cluster.route(kube_namespace, f"r{number}", to("s"), model=f"m{number}") for number in (1, 2)]
    )

    await one.settle()
    written = one.kube.count("PATCH")
    kube_apiserver.apply(cluster.model_server(kube_namespace, "s"))

    async def depose(what: str) -> None:
        if what.startswith("GET"):
            one.leads = False

    one.kube.after = depose
    await one.settle()
    assert [one.kube.count(method) for method in ("GET", "PATCH")] == [1, written]


async def test_a_lead_that_ends_while_lists_are_read_writes_nothing(
    replica: Replicas, kube_apiserver: KubeApiServer, kube_namespace: str
) -> None:
    one = replica()
    kube_apiserver.apply(cluster.route(kube_namespace, "r", to("s")))

    async def depose(what: str) -> None:
        one.leads = False

    one.kube.after = depose
    await one.settle()
    assert [what.split()[0] for what in one.kube.sent] == ["LIST"]


async def test_conditions_of_others_stay_also_those_written_while_ours_are(
    replica: Replicas, kube_apiserver: KubeApiServer, kube_namespace: str
) -> None:
    one = replica()
    route = cluster.route(kube_namespace, "r", to("s"))
    kube_apiserver.apply(route)
    paid = {
        "type": "Paid",
        "status": "True",
        "reason": "X",
        "message": "",
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    }

    async def interfere(what: str) -> None:
        if what.startswith("PATCH") and one.kube.count("PATCH") == 1:
            kube_apiserver.set_status(route, {"conditions": [paid]})

    one.kube.before = interfere
    await one.settle()
    assert conditions_of(kube_apiserver, route)["Paid"] == paid
    assert set(conditions_of(kube_apiserver, route)) == {"Paid", "Accepted", "ResolvedRefs"}
    results = one.measured(metrics.STATUS_UPDATES)
    assert results == {("ModelRoute", "conflict"): 1.0, ("ModelRoute", "written"): 1.0}


async def test_an_object_that_changed_since_it_was_looked_at_waits_for_the_next_look(
    replica: Replicas, kube_apiserver: KubeApiServer, kube_namespace: str
) -> None:
    one = replica()
    route = cluster.route(kube_namespace, "r", to("s"))
    kube_apiserver.apply(route)
    one.read()
    kube_apiserver.apply(cluster.route(kube_namespace, "r", to("other")))
    await one.turn()
    assert one.measured(metrics.STATUS_UPDATES) == {("ModelRoute", "stale"): 1.0}
    await one.settle()
    assert conditions_of(kube_apiserver, route)["ResolvedRefs"]["observedGeneration"] == 2


async def test_an_object_that_was_made_anew_under_its_name_is_another_one(
    replica: Replicas, kube_apiserver: KubeApiServer, kube_namespace: str
) -> None:
    one = replica()
    route = cluster.route(kube_namespace, "r", to("s"))
    kube_apiserver.apply(route)
    await one.settle()
    kube_apiserver.delete(route)
    kube_apiserver.apply(route)
    await one.settle()
    assert reasons_of(kube_apiserver, route)["ResolvedRefs"] == ("False", "BackendNotFound")
    assert one.kube.count("PATCH") == 2


async def test_an_object_that_goes_meanwhile_is_no_fault(
    replica: Replicas, kube_apiserver: KubeApiServer, kube_namespace: str, caplog: pytest.LogCaptureFixture
) -> None:
    one = replica()
    kube_apiserver.apply(route := cluster.route(kube_namespace, "r", to("s")))
    one.read()
    kube_apiserver.delete(route)
    await one.turn()
    assert one.measured(metrics.STATUS_UPDATES) == {("ModelRoute", "gone"): 1.0}
    assert not caplog.records


async def test_a_status_that_somebody_removed_is_restored_at_the_next_review(
    replica: Replicas, kube_apiserver: KubeApiServer, kube_namespace: str
) -> None:
    one = replica()
    kube_apiserver.apply(route := cluster.route(kube_namespace, "r", to("s")))
    await one.settle()
    kube_apiserver.set_status(route, {"conditions": []})
    await one.settle()
    assert conditions_of(kube_apiserver, route) == {}
    one.clock.now += writer.REVIEW_EVERY
    await one.settle()
    assert "Accepted" in conditions_of(kube_apiserver, route)


async def test_no_more_objects_are_written_than_the_rate_allows(
    replica: Replicas, kube_apiserver: KubeApiServer, kube_namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "RATE", 10.0)
    monkeypatch.setattr(writer, "BURST", 20)
    one = replica()
    kube_apiserver.apply(
        *[cluster.route(kube_namespace, f"r{number}", to("s"), model=f"m{number}") for number in range(35)]
    )
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
    kube_apiserver.apply(
        *[cluster.route(kube_namespace, f"r{number}", to("s"), model=f"m{number}") for number in range(120)]
    )
    await one.settle()
    assert (one.kube.count("GET"), one.kube.count("PATCH")) == (0, 120)


async def test_lists_are_read_only_as_fast_as_they_are_dealt_with(
    replica: Replicas, kube_apiserver: KubeApiServer, kube_namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "AHEAD", 10)
    monkeypatch.setattr(writer, "BURST", 1)
    one = replica()
    kube_apiserver.apply(
        *[cluster.route(kube_namespace, f"r{number}", to("s"), model=f"m{number}") for number in range(60)]
    )
    one.read()
    await one.turn()
    # The first page has fifty; the servers come after the routes.
    assert one.measured(metrics.STATUS_PENDING) == {(): 59.0}
    assert one.kube.count("LIST", "modelservers") == 0
    while one.kube.count("PATCH") < 60:
        await one.turn()
    assert one.kube.count("LIST", "modelservers") == 1
    assert one.kube.count("GET") == 0


async def test_a_list_of_which_the_rest_was_forgotten_is_begun_anew_without_a_word(
    replica: Replicas, kube_apiserver: KubeApiServer, kube_namespace: str, caplog: pytest.LogCaptureFixture
) -> None:
    one = replica()
    kube_apiserver.apply(route := cluster.route(kube_namespace, "r", to("s")))

    async def forget(what: str) -> None:
        if what.endswith("modelservers") and one.kube.count("LIST", "modelservers") == 1:
            raise failures.ApiError(410, "Expired", "the provided continue parameter is too old")

    one.kube.after = forget
    await one.settle()
    assert one.kube.count("PATCH") == 0
    await one.turn()
    assert [one.kube.count("LIST", plural) for plural in ("modelroutes", "modelservers")] == [1, 2]
    assert "Accepted" in conditions_of(kube_apiserver, route)
    assert not caplog.records


async def test_what_is_found_anew_while_its_change_waits_is_read_again(
    replica: Replicas, kube_apiserver: KubeApiServer, kube_namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "BURST", 1)
    one = replica()
    routes = [cluster.route(kube_namespace, f"r{number}", to("s"), model=f"m{number}") for number in (1, 2)]
    kube_apiserver.apply(*routes)
    one.read()
    await one.writer.turn()
    kube_apiserver.apply(cluster.model_server(kube_namespace, "s"))
    await one.settle()
    assert reasons_of(kube_apiserver, routes[1])["ResolvedRefs"] == ("True", "ResolvedRefs")


async def test_of_a_slow_api_server_less_is_asked(
    replica: Replicas, kube_apiserver: KubeApiServer, kube_namespace: str
) -> None:
    one = replica()
    kube_apiserver.apply(
        *[cluster.route(kube_namespace, f"r{number}", to("s"), model=f"m{number}") for number in range(5)]
    )

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


# Where the API server says no


async def test_under_crds_that_prune_status_it_stops_and_says_so_once(
    replica: Replicas, own_kube_apiserver: KubeApiServer, caplog: pytest.LogCaptureFixture
) -> None:
    """Upstream's have an empty object there."""
    own_kube_apiserver.install_crds(_changed_crds({"status": {"type": "object"}}))
    namespace = own_kube_apiserver.create_namespace()
    one = replica(namespace, server=own_kube_apiserver)
    routes = [cluster.route(namespace, f"r{number}", to("s"), model=f"m{number}") for number in range(60)]
    own_kube_apiserver.apply(*routes, cluster.model_server(namespace, "s"))
    for reviews in range(1, 4):
        for _ in range(3):
            await one.settle()
        # One of each kind was tried.
        assert one.kube.count("PATCH") == 2 * reviews
        # The rest of the routes was not read for it.
        assert one.kube.pages_read == 3 + 2 * (reviews - 1)
        one.clock.now += writer.REVIEW_EVERY
    await one.settle()
    own_kube_apiserver.apply(cluster.route(namespace, "late", to("s"), model="late"))
    await one.settle()
    assert one.kube.count("PATCH") == 8
    said = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(said) == 2
    assert said[0].startswith("the CRD of ModelRoute has no place for conditions")
    assert one.measured(metrics.STATUS_STOPPED) == {("ModelRoute", "pruned"): 1.0, ("ModelServer", "pruned"): 1.0}
    assert one.measured(metrics.STATUS_PENDING) == {(): 0.0}
    # The next lead begins with a review, and no more than that.
    one.leads = False
    await one.turn()
    one.leads = True
    await one.settle()
    assert one.kube.count("PATCH") == 10
    assert len(caplog.records) == 2


async def test_when_the_crds_keep_status_all_of_it_is_written_and_that_is_said(
    replica: Replicas, own_kube_apiserver: KubeApiServer, caplog: pytest.LogCaptureFixture
) -> None:
    """As they do once ours are installed over upstream's."""
    caplog.set_level(logging.INFO, "kthena_fast")
    own_kube_apiserver.install_crds(_changed_crds({"status": {"type": "object"}}))
    namespace = own_kube_apiserver.create_namespace()
    one, other = (replica(namespace, server=own_kube_apiserver) for _ in range(2))
    routes = [cluster.route(namespace, f"r{number:03}", to("s"), model=f"m{number}") for number in range(60)]
    server = cluster.model_server(namespace, "s")
    own_kube_apiserver.apply(*routes, server)
    for each in (one, other):
        await each.settle()
    caplog.clear()
    own_kube_apiserver.install_crds(crds.all())
    for obj in (routes[0], server):
        await asyncio.to_thread(_until_kept, own_kube_apiserver, obj)
    # Not before the next review.
    await one.settle()
    assert one.kube.count("PATCH") == 2
    for each in (one, other):
        each.clock.now += writer.REVIEW_EVERY
        await each.turn()
        assert each.measured(metrics.STATUS_STOPPED) == {}
    assert all("Accepted" in conditions_of(own_kube_apiserver, obj) for obj in (*routes, server))
    assert one.kube.count("PATCH") == 2 + len(routes) + 1
    # Where another replica wrote it, it is seen to stand.
    assert other.kube.count("PATCH") == 2
    said = [f"the CRD of {kind} has a place for conditions now: its status is written" for kind in findings.KINDS]
    assert caplog.messages == said * 2
    late = cluster.route(namespace, "late", to("s"), model="late")
    own_kube_apiserver.apply(late)
    await other.settle()
    assert "Accepted" in conditions_of(own_kube_apiserver, late)


async def test_an_object_that_breaks_our_schema_under_laxer_crds_is_told_what_is_wrong(
    replica: Replicas, own_kube_apiserver: KubeApiServer
) -> None:
    lax = {"spec": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    own_kube_apiserver.install_crds(_changed_crds(lax))
    namespace = own_kube_apiserver.create_namespace()
    one = replica(namespace, server=own_kube_apiserver)
    bad = cluster.model_server(namespace, "s")
    bad["spec"]["trafficPolicy"] = {"timeout": "soon"}
    own_kube_apiserver.apply(bad)
    await one.settle()
    found = conditions_of(own_kube_apiserver, bad)
    assert (found["Accepted"]["status"], found["Accepted"]["reason"]) == ("False", "UnsupportedValue")
    assert "spec.trafficPolicy.timeout: must be a duration" in found["Accepted"]["message"]
    assert found["Accepted"]["observedGeneration"] == 1
    assert found["ResolvedRefs"]["status"] == "Unknown"
    # Mended, but not looked at yet: nothing is said of what is not known.
    own_kube_apiserver.patch(bad, {"spec": {"trafficPolicy": {"timeout": "1s"}}})
    one.clock.now += writer.REVIEW_EVERY
    await one.turn()
    assert conditions_of(own_kube_apiserver, bad) == found
    await one.settle()
    assert reasons_of(own_kube_apiserver, bad)["Accepted"] == ("True", "Accepted")


async def test_an_object_that_is_too_large_to_be_read_is_told_so(
    replica: Replicas, kube_apiserver: KubeApiServer, kube_namespace: str
) -> None:
    one = replica()
    headers = {f"x-{number}": {"exact": "v"} for number in range(size.MAX_VALUES)}
    route = cluster.route(kube_namespace, "r", to("s", when={"headers": headers}))
    kube_apiserver.apply(route)
    rejection = Rejection("ModelRoute", kube_namespace, "r", (Reason("spec", size.TOO_LARGE),))
    one.snapshot = build.build(Objects(), rejected=(rejection,))
    await one.turn()
    accepted = conditions_of(kube_apiserver, route)["Accepted"]
    assert (accepted["status"], accepted["reason"]) == ("False", "UnsupportedValue")
    assert size.TOO_LARGE in accepted["message"]


async def test_a_missing_right_is_said_once_and_tried_again_at_the_next_review(
    replica: Replicas, kube_apiserver: KubeApiServer, kube_namespace: str, caplog: pytest.LogCaptureFixture
) -> None:
    token = kube_apiserver.service_account(kube_namespace, "reader")
    _bind(kube_apiserver, kube_namespace, "reader", {"modelroutes": ["get", "list"], "modelservers": ["list"]})
    one = replica(token=token)
    kube_apiserver.apply(
        *[cluster.route(kube_namespace, f"r{number}", to("s"), model=f"m{number}") for number in (1, 2)]
    )
    await _until_allowed(one, kube_namespace)
    for _ in range(3):
        await one.settle()
    assert one.kube.count("PATCH") == 1
    one.clock.now += writer.REVIEW_EVERY
    await one.settle()
    assert one.kube.count("PATCH") == 2
    (said,) = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert said.startswith("the status of ModelRoute is not written, for a right is missing: ")
    assert 'cannot patch resource "modelroutes/status"' in said
    assert one.measured(metrics.STATUS_STOPPED) == {("ModelRoute", "forbidden"): 1.0}


async def test_rights_in_named_namespaces_are_enough(
    replica: Replicas, kube_apiserver: KubeApiServer, kube_namespace: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Those that docs/kubernetes.md names, and no more."""
    token = kube_apiserver.service_account(kube_namespace, "writer")
    rights = {"modelroutes": ["get", "list"], "modelservers": ["get", "list"]}
    rights |= {f"{plural}/status": ["patch"] for plural in rights}
    _bind(kube_apiserver, kube_namespace, "writer", rights)
    one = replica(token=token)
    kube_apiserver.apply(route := cluster.route(kube_namespace, "r", to("s")))
    kube_apiserver.apply(server := cluster.model_server(kube_namespace, "s"))
    await _until_allowed(one, kube_namespace)
    await one.settle()
    assert "Accepted" in conditions_of(kube_apiserver, route)
    assert "Accepted" in conditions_of(kube_apiserver, server)
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


async def test_without_the_kinds_it_says_that_they_are_absent(
    replica: Replicas, own_kube_apiserver: KubeApiServer, caplog: pytest.LogCaptureFixture
) -> None:
    one = replica("default", server=own_kube_apiserver)
    one.snapshot = cluster.snapshot(own_kube_apiserver)
    await one.turn()
    await one.turn()
    assert one.measured(metrics.STATUS_STOPPED) == {("ModelRoute", "absent"): 1.0, ("ModelServer", "absent"): 1.0}
    assert len(caplog.records) == 2


async def test_a_status_that_is_refused_is_said_once(
    replica: Replicas, own_kube_apiserver: KubeApiServer, caplog: pytest.LogCaptureFixture
) -> None:
    narrow = {"type": "object", "properties": {"conditions": {"type": "array", "items": {"type": "string"}}}}
    own_kube_apiserver.install_crds(_changed_crds({"status": narrow}))
    namespace = own_kube_apiserver.create_namespace()
    one = replica(namespace, server=own_kube_apiserver)
    own_kube_apiserver.apply(
        *[cluster.route(namespace, f"r{number}", to("s"), model=f"m{number}") for number in range(5)]
    )
    await one.settle()
    assert one.kube.count("PATCH") == term.REFUSALS
    (said,) = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert said.startswith("the status of ModelRoute is not written, for the API server refuses it: ")


async def test_one_object_that_is_refused_does_not_keep_the_others_from_being_written(
    replica: Replicas, kube_apiserver: KubeApiServer, kube_namespace: str, caplog: pytest.LogCaptureFixture
) -> None:
    one = replica()
    routes = [cluster.route(kube_namespace, f"r{number}", to("s"), model=f"m{number}") for number in range(8)]
    kube_apiserver.apply(*routes)

    async def refuse(what: str) -> None:
        if what.startswith("PATCH") and any(f"/r{number}/" in what for number in (0, 1, 5, 6)):
            raise failures.ApiError(422, "Invalid", "spec: is what it should not be")

    one.kube.before = refuse
    for _ in range(3):
        await one.settle()
    assert one.kube.count("PATCH") == len(routes)
    assert [bool(conditions_of(kube_apiserver, route)) for route in routes] == [
        *(False, False, True, True, True),
        *(False, False, True),
    ]
    assert not caplog.records


async def test_under_crds_without_a_status_to_write_it_stops_and_says_so(
    replica: Replicas, own_kube_apiserver: KubeApiServer, caplog: pytest.LogCaptureFixture
) -> None:
    without = _changed_crds({})
    for crd in without:
        del crd["spec"]["versions"][0]["subresources"]
    own_kube_apiserver.install_crds(without)
    namespace = own_kube_apiserver.create_namespace()
    one = replica(namespace, server=own_kube_apiserver)
    own_kube_apiserver.apply(
        *[cluster.route(namespace, f"r{number}", to("s"), model=f"m{number}") for number in range(5)]
    )
    await one.settle()
    assert one.kube.count("PATCH") == 1
    assert one.measured(metrics.STATUS_STOPPED) == {("ModelRoute", "refused"): 1.0}
    (said,) = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert said == (
        "the status of ModelRoute is not written, for the API server refuses it: its CRD has no status subresource"
    )


# Where it says nothing


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


@pytest.mark.parametrize("at", ["before", "after"])
@pytest.mark.parametrize("number", [1, 2, 3, 4])
async def test_wherever_it_is_cancelled_the_next_turn_goes_on(
    replica: Replicas, kube_apiserver: KubeApiServer, kube_namespace: str, number: int, at: str
) -> None:
    """While it lists routes, lists servers, reads, writes."""
    one = replica()
    kube_apiserver.apply(route := cluster.route(kube_namespace, "r", to("s")))
    one.read()
    reached = asyncio.Event()

    async def hold(what: str) -> None:
        if len(one.kube.sent) == number:
            reached.set()
            await asyncio.Event().wait()

    setattr(one.kube, at, hold)
    running = asyncio.create_task(one.writer.run())
    await reached.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    setattr(one.kube, at, cluster._nothing)
    await one.turn()
    assert set(conditions_of(kube_apiserver, route)) == {"Accepted", "ResolvedRefs"}
    assert one.measured(metrics.STATUS_PENDING) == {(): 0.0}


async def test_a_look_that_is_cancelled_between_two_pieces_is_begun_anew(
    replica: Replicas, kube_apiserver: KubeApiServer, kube_namespace: str
) -> None:
    one = replica()
    kube_apiserver.apply(route := cluster.route(kube_namespace, "r", to("s")))
    one.read()
    running = asyncio.create_task(one.writer.turn())
    await asyncio.sleep(0)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    await one.turn()
    assert "Accepted" in conditions_of(kube_apiserver, route)


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


def _changed_crds(properties: Object) -> list[Object]:
    """The product's CRDs with other schemas for these properties."""
    changed = copy.deepcopy(crds.all())
    for crd in changed:
        crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"] |= properties
    return changed


def _until_kept(server: KubeApiServer, obj: Object) -> None:
    """Return when the API server has heard of the CRDs that were just applied: what is put into a status stays."""
    probe = {
        "type": "Probe",
        "status": "True",
        "reason": "X",
        "message": "",
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    }
    deadline = time.monotonic() + 20
    while not conditions_of(server, obj):
        assert time.monotonic() < deadline
        server.set_status(obj, {"conditions": [probe]})


def _bind(server: KubeApiServer, namespace: str, account: str, rights: dict[str, list[str]]) -> None:
    rules = [
        {"apiGroups": ["networking.serving.volcano.sh"], "resources": [resource], "verbs": verbs}
        for resource, verbs in rights.items()
    ]
    cluster.bind(server, namespace, account, rules)


async def _until_allowed(one: Replica, namespace: str) -> None:
    """Return when the API server has heard of the rights that were just bound."""
    path = f"/apis/networking.serving.volcano.sh/v1alpha1/namespaces/{namespace}/modelservers"
    async with asyncio.timeout(20):
        while True:
            with contextlib.suppress(failures.ApiError):
                await one.kube.get(path)
                break
            await asyncio.sleep(0.02)
    one.kube.sent.clear()
