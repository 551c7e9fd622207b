"""What becomes of objects, as `kubectl` shows it: gateways as processes beside a real API server."""

from __future__ import annotations

import asyncio
import contextlib
import re
import signal
from collections.abc import AsyncIterator

import pytest

from tests.gateway import processes
from tests.kube import apiserver
from tests.kube.apiserver import KubeApiServer, Object
from tests.routing.given import to
from tests.sources.kubernetes.status import cluster
from tests.sources.kubernetes.status.cluster import reasons_of

LEASE = "kthena-fast-status"


@contextlib.asynccontextmanager
async def gateway(
    server: KubeApiServer, namespace: str, token: str | None = None, **variables: str
) -> AsyncIterator[processes.Gateway]:
    """A gateway that reads a namespace, as if it ran in it."""
    kubeconfig = server.kubeconfig
    if token is not None:
        kubeconfig = server.kubeconfig_for(token, server.folder / f"kubeconfig-of-{namespace}")
    where = {"KUBECONFIG": str(kubeconfig), "POD_NAMESPACE": namespace, "ACCESS_LOG_ENABLED": "false"}
    async with processes.gateway("--kubernetes", "--namespace", namespace, **where, **variables) as started:
        yield started


async def until_said(server: KubeApiServer, obj: Object, kind: str, status: str, reason: str) -> None:
    async def is_said() -> bool:
        return (await asyncio.to_thread(reasons_of, server, obj)).get(kind) == (status, reason)

    await processes.until(is_said)


async def measured(one: processes.Gateway, metric: str) -> float:
    """The sum of a metric's children."""
    page = (await one.get("/metrics", one.metrics_port)).body.decode()
    return sum(float(number) for number in re.findall(rf"^{metric}(?:{{.*}})? (\S+)$", page, re.MULTILINE))


def lease_of(server: KubeApiServer, namespace: str, name: str = LEASE) -> Object:
    found: Object = server.get(
        {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"namespace": namespace, "name": name},
        }
    )
    return found


async def test_conditions_appear_and_follow_changes(kube_apiserver: KubeApiServer, kube_namespace: str) -> None:
    route = cluster.route(kube_namespace, "r", to("s"))
    server = cluster.model_server(kube_namespace, "s")
    pod = apiserver.pod(kube_namespace, "p", "127.0.0.1", {"app": "s"})
    do = asyncio.to_thread
    async with gateway(kube_apiserver, kube_namespace) as one:
        await do(kube_apiserver.apply, route)
        await until_said(kube_apiserver, route, "ResolvedRefs", "False", "BackendNotFound")
        await do(kube_apiserver.apply, server)
        await until_said(kube_apiserver, route, "ResolvedRefs", "True", "ResolvedRefs")
        await until_said(kube_apiserver, server, "ResolvedRefs", "False", "NoReadyPods")
        await do(kube_apiserver.apply, pod)
        await until_said(kube_apiserver, server, "ResolvedRefs", "True", "ResolvedRefs")
        await do(kube_apiserver.set_status, pod, apiserver.pod_status("127.0.0.1", is_ready=False))
        await until_said(kube_apiserver, server, "ResolvedRefs", "False", "NoReadyPods")
        bad = cluster.route(kube_namespace, "r", to("s", when={"uri": {"regex": "(?=x)"}}))
        await do(kube_apiserver.apply, bad)
        await until_said(kube_apiserver, route, "Accepted", "False", "UnsupportedValue")
        # Its own writes come back to it by its watches, and end there.
        written = await measured(one, "kthena_fast_status_updates_total")
        await do(kube_apiserver.patch, server, {"metadata": {"labels": {"a": "b"}}})
        await do(kube_apiserver.apply, cluster.route(kube_namespace, "last", to("s"), model="last"))
        await until_said(kube_apiserver, cluster.route(kube_namespace, "last", to("s")), "Accepted", "True", "Accepted")
        assert await measured(one, "kthena_fast_status_updates_total") == written + 1
        one.send(signal.SIGTERM)
        assert await one.ended() == 0
        assert one.complaints == []
    assert lease_of(kube_apiserver, kube_namespace)["spec"]["holderIdentity"] == ""


async def test_one_of_two_gateways_writes_and_the_other_takes_over_when_it_leaves(
    kube_apiserver: KubeApiServer, kube_namespace: str
) -> None:
    do = asyncio.to_thread
    first, second = (cluster.route(kube_namespace, name, to("s"), model=name) for name in ("r1", "r2"))
    async with gateway(kube_apiserver, kube_namespace) as one, gateway(kube_apiserver, kube_namespace) as other:
        await one.says("this replica writes status")
        await do(kube_apiserver.apply, first)
        await until_said(kube_apiserver, first, "Accepted", "True", "Accepted")
        assert await measured(one, "kthena_fast_status_leader") == 1
        assert await measured(other, "kthena_fast_status_leader") == 0
        assert await measured(other, "kthena_fast_status_updates_total") == 0
        one.send(signal.SIGTERM)
        assert await one.ended() == 0
        await do(kube_apiserver.apply, second)
        await until_said(kube_apiserver, second, "Accepted", "True", "Accepted")
        assert await measured(other, "kthena_fast_status_leader") == 1
        # It found the first one done.
        assert await measured(other, "kthena_fast_status_updates_total") == 1
        assert lease_of(kube_apiserver, kube_namespace)["spec"]["leaseTransitions"] == 1


@pytest.mark.slow
async def test_a_gateway_that_is_killed_is_followed_once_its_lease_ran_out(
    kube_apiserver: KubeApiServer, kube_namespace: str
) -> None:
    async with gateway(kube_apiserver, kube_namespace) as one, gateway(kube_apiserver, kube_namespace) as other:
        await one.says("this replica writes status")
        one.send(signal.SIGKILL)
        await one.ended()
        await other.says("this replica writes status")
        route = cluster.route(kube_namespace, "r", to("s"))
        await asyncio.to_thread(kube_apiserver.apply, route)
        await until_said(kube_apiserver, route, "Accepted", "True", "Accepted")


async def test_it_can_be_turned_off(kube_apiserver: KubeApiServer, kube_namespace: str) -> None:
    route = cluster.route(kube_namespace, "r", to("s"))
    kube_apiserver.apply(route)
    async with gateway(kube_apiserver, kube_namespace, STATUS_UPDATES="false") as silent:
        # Of another name, so that it does not wait for the first.
        async with gateway(kube_apiserver, kube_namespace, STATUS_LEASE_NAME="another"):
            await until_said(kube_apiserver, route, "Accepted", "True", "Accepted")
        assert await measured(silent, "kthena_fast_status_leader") == 0
        assert not [line for line in silent.lines if "Lease" in line]
    assert lease_of(kube_apiserver, kube_namespace, "another")
    with pytest.raises(apiserver.Refused, match="404"):
        lease_of(kube_apiserver, kube_namespace)


async def test_a_gateway_without_the_right_to_a_lease_serves_and_says_so_once(
    kube_apiserver: KubeApiServer, kube_namespace: str
) -> None:
    token = kube_apiserver.service_account(kube_namespace, "reader")
    rules = [
        {"apiGroups": ["networking.serving.volcano.sh"], "resources": ["*"], "verbs": ["list", "watch"]},
        {"apiGroups": [""], "resources": ["pods"], "verbs": ["list", "watch"]},
    ]
    cluster.bind(kube_apiserver, kube_namespace, "reader", rules)
    async with gateway(kube_apiserver, kube_namespace, token) as one:
        said = await one.says("who writes status cannot be settled")
        assert 'cannot get resource "leases"' in said
        one.send(signal.SIGTERM)
        assert await one.ended() == 0
        assert len([line for line in one.lines if "who writes status" in line]) == 1
