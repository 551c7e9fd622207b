"""Status where a real API server says no: CRDs that are not the product's, rights, and objects that it refuses."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import logging
import time

import pytest

from kthena_fast.kube import failures
from kthena_fast.resources import crds
from kthena_fast.routing import findings
from kthena_fast.sources.kubernetes.status import term, writer
from kthena_fast.telemetry import metrics
from tests.kube.apiserver import KubeApiServer, Object
from tests.routing.given import to
from tests.sources.kubernetes.status import cluster
from tests.sources.kubernetes.status.cluster import conditions_of, reasons_of
from tests.sources.kubernetes.status.writing import Replica, Replicas


async def test_under_crds_that_prune_status_it_stops_and_says_so_once(
    replica: Replicas, own_kube_apiserver: KubeApiServer, caplog: pytest.LogCaptureFixture
) -> None:
    """Upstream's have an empty object there."""
    own_kube_apiserver.install_crds(_changed_crds({"status": {"type": "object"}}))
    namespace = own_kube_apiserver.create_namespace()
    one = replica(namespace, server=own_kube_apiserver)
    routes = cluster.routes(namespace, 60)
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
    own_kube_apiserver.apply(*cluster.routes(namespace, 5))
    await one.settle()
    assert one.kube.count("PATCH") == term.REFUSALS
    (said,) = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert said.startswith("the status of ModelRoute is not written, for the API server refuses it: ")


async def test_one_object_that_is_refused_does_not_keep_the_others_from_being_written(
    replica: Replicas, kube_apiserver: KubeApiServer, kube_namespace: str, caplog: pytest.LogCaptureFixture
) -> None:
    one = replica()
    routes = cluster.routes(kube_namespace, 8)
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
    own_kube_apiserver.apply(*cluster.routes(namespace, 5))
    await one.settle()
    assert one.kube.count("PATCH") == 1
    assert one.measured(metrics.STATUS_STOPPED) == {("ModelRoute", "refused"): 1.0}
    (said,) = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert said == (
        "the status of ModelRoute is not written, for the API server refuses it: its CRD has no status subresource"
    )


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
