"""Status in a real API server: what is written and what is not, whatever changes or ends meanwhile."""

from __future__ import annotations

import asyncio

import pytest

from kthena_fast.kube import failures
from kthena_fast.resources import size
from kthena_fast.routing import build
from kthena_fast.routing.objects import Objects, Reason, Rejection
from kthena_fast.sources.kubernetes.status import writer
from kthena_fast.telemetry import metrics
from tests.kube import apiserver
from tests.kube.apiserver import KubeApiServer
from tests.routing.given import to
from tests.sources.kubernetes.status import cluster
from tests.sources.kubernetes.status.cluster import conditions_of, reasons_of
from tests.sources.kubernetes.status.writing import Replicas


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
    routes = cluster.routes(kube_namespace, 3)
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
