"""The Kubernetes source against a real API server: what it reads, and how soon changes are in effect."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from kthena_fast.sources import Observation
from kthena_fast.sources.kubernetes import source
from kthena_fast.sources.kubernetes.inventory import PodStore
from tests.kube import apiserver
from tests.kube.apiserver import KubeApiServer, Object
from tests.sources.kubernetes import watching

SOON = 1.0
"""Seconds in which a change is in effect (the issue)."""
TURNS = 20
"""Of the loop, in which what was read is in effect where nothing is waited for."""


async def test_what_is_there_is_in_the_first_snapshot(kube_apiserver: KubeApiServer, kube_namespace: str) -> None:
    ns = kube_namespace
    kube_apiserver.apply(
        watching.model_route(ns, "r", "llama", "s"),
        watching.model_server(ns, "s"),
        apiserver.pod(ns, "p", "10.0.0.1", {"app": "s", "other": "x"}),
        apiserver.pod(ns, "stranger", "10.0.0.2", {"app": "t"}),
        apiserver.pod(ns, "starting", "10.0.0.3", {"app": "s"}, is_ready=False),
    )
    async with watching.source(kube_apiserver, ns) as seen:
        first = (await seen.observed(lambda observation: observation.synced)).snapshot
        assert first is not None
        (pod,) = first.servers[f"{ns}/s"].pods
        assert (pod.name, pod.host, pod.port) == ("p", "10.0.0.1", 8000)
        assert first.models() == ("llama",)
        assert [observation.synced for observation in seen.observations if not observation.faults] == [True] * len(
            seen.observations
        )
        assert dict(first.objects.pods[f"{ns}/p"].labels) == {"app": "s"}


async def test_readiness_termination_relabelling_and_deletion_take_effect(
    kube_apiserver: KubeApiServer, kube_namespace: str
) -> None:
    ns, server = kube_namespace, f"{kube_namespace}/s"
    pods = {name: apiserver.pod(ns, name, f"10.0.0.{n}", {"app": "s"}) for n, name in enumerate("pqr", 1)}
    do = asyncio.to_thread
    async with watching.source(kube_apiserver, ns) as seen:
        await do(kube_apiserver.apply, watching.model_server(ns, "s"), *pods.values())
        await seen.pods(server, "p", "q", "r")
        kept = {pod.name: pod for pod in seen.snapshot.servers[server].pods}

        await do(kube_apiserver.set_status, pods["p"], apiserver.pod_status("10.0.0.1", is_ready=False))
        await seen.pods(server, "q", "r")
        await do(kube_apiserver.set_status, pods["p"], apiserver.pod_status("10.0.0.1"))
        await seen.pods(server, "p", "q", "r")
        assert seen.snapshot.servers[server].pods[0].name == "p"

        await do(kube_apiserver.delete, pods["q"], grace_seconds=30)
        await seen.pods(server, "p", "r")
        await do(kube_apiserver.delete, pods["q"])
        await do(kube_apiserver.patch, pods["r"], {"metadata": {"labels": {"app": "elsewhere"}}})
        await seen.pods(server, "p")
        await do(kube_apiserver.patch, pods["r"], {"metadata": {"labels": {"app": "s"}}})
        await seen.pods(server, "p", "r")

        await do(kube_apiserver.delete, pods["p"])
        await seen.pods(server, "r")
        assert seen.snapshot.servers[server].pods[0].host == kept["r"].host

        await do(kube_apiserver.delete, watching.model_server(ns, "s"))
        await seen.until(lambda snapshot: server not in snapshot.servers)


CHANGES: dict[str, Callable[[KubeApiServer, Object], object]] = {
    "it is not ready": lambda server, pod: server.set_status(pod, apiserver.pod_status("10.0.0.1", is_ready=False)),
    "it terminates": lambda server, pod: server.delete(pod, grace_seconds=30),
    "it is relabelled": lambda server, pod: server.patch(pod, {"metadata": {"labels": {"app": "elsewhere"}}}),
}


@pytest.mark.parametrize("change", CHANGES)
async def test_what_became_of_a_pod_is_in_effect_in_the_turns_in_which_it_is_read(
    kube_apiserver: KubeApiServer, kube_namespace: str, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    """Within a second of the API server's answer, however slow the machine is: between what a watch brings and its
    effect nothing is waited for but the time between two observations, a tenth of that second."""
    assert source.INTERVAL <= SOON / 10
    monkeypatch.setattr(source, "INTERVAL", 0.0)
    ns, server = kube_namespace, f"{kube_namespace}/s"
    turn = 0
    read: list[int] = []
    in_effect: list[int] = []

    async def count() -> None:
        nonlocal turn
        while True:
            turn += 1
            await asyncio.sleep(0)

    def put(store: PodStore, obj: Object, put: Callable[[PodStore, Object], None] = PodStore.put) -> None:
        read.append(turn)
        put(store, obj)

    class Timed(watching.Seen):
        def publish(self, observation: Observation) -> None:
            super().publish(observation)
            if server in self.snapshot.servers and not self.snapshot.servers[server].pods:
                in_effect.append(turn)

    monkeypatch.setattr(PodStore, "put", put)
    monkeypatch.setattr(watching, "Seen", Timed)
    counting = asyncio.create_task(count())
    pod = apiserver.pod(ns, "p", "10.0.0.1", {"app": "s"})
    async with watching.source(kube_apiserver, ns) as seen:
        await asyncio.to_thread(kube_apiserver.apply, watching.model_server(ns, "s"), pod)
        await seen.pods(server, "p")
        read.clear()
        in_effect.clear()
        await asyncio.to_thread(CHANGES[change], kube_apiserver, pod)
        await seen.pods(server)
        counting.cancel()
    assert 0 <= in_effect[0] - read[0] <= TURNS


async def test_a_route_that_changes_its_target_is_followed(kube_apiserver: KubeApiServer, kube_namespace: str) -> None:
    ns = kube_namespace
    async with watching.source(kube_apiserver, ns) as seen:
        await asyncio.to_thread(kube_apiserver.apply, watching.model_route(ns, "r", "m", "one"))
        await seen.until(lambda snapshot: snapshot.knows("m"))
        await asyncio.to_thread(kube_apiserver.apply, watching.model_route(ns, "r", "m", "two"))

        def leads_to_two(snapshot: object) -> bool:
            match = seen.snapshot.match("m", "/v1/chat/completions", [])
            return match is not None and match.targets[0].name == f"{ns}/two"

        await seen.until(leads_to_two)
        await asyncio.to_thread(kube_apiserver.delete, watching.model_route(ns, "r", "m", "two"))
        await seen.until(lambda snapshot: not snapshot.knows("m"))


async def test_a_selector_that_names_a_new_label_key_serves_without_a_gap(
    kube_apiserver: KubeApiServer, kube_namespace: str
) -> None:
    ns, server = kube_namespace, f"{kube_namespace}/s"
    kube_apiserver.apply(
        watching.model_server(ns, "s"),
        apiserver.pod(ns, "p", "10.0.0.1", {"app": "s", "tier": "gold"}),
        apiserver.pod(ns, "q", "10.0.0.2", {"app": "s"}),
    )
    async with watching.source(kube_apiserver, ns) as seen:
        await seen.pods(server, "p", "q")
        gold = watching.model_server(ns, "s", selector={"matchLabels": {"app": "s", "tier": "gold"}})
        await asyncio.to_thread(kube_apiserver.apply, gold)
        await seen.pods(server, "p")
        shown = [observation.snapshot.servers[server].pods for observation in seen.observations if observation.snapshot]
        assert all(shown)
        assert dict(seen.snapshot.objects.pods[f"{ns}/p"].labels) == {"app": "s", "tier": "gold"}


async def test_an_object_that_breaks_its_schema_is_set_aside_alone_and_its_last_good_version_serves(
    kube_apiserver: KubeApiServer, kube_namespace: str
) -> None:
    """The CRD in the cluster may be an older one that lets pass what ours refuses."""
    ns, server = kube_namespace, f"{kube_namespace}/s"
    good = watching.model_server(ns, "s", trafficPolicy={"timeout": "5s"})
    with_bad_endpoints = {**good, "metadata": {**good["metadata"], "annotations": {watching.ENDPOINTS: "nowhere"}}}
    async with watching.source(kube_apiserver, ns) as seen:
        await asyncio.to_thread(kube_apiserver.apply, good, watching.model_server(ns, "t"))
        await seen.until(lambda snapshot: len(snapshot.servers) == 2)
        await asyncio.to_thread(kube_apiserver.apply, with_bad_endpoints)
        observation = await seen.observed(lambda observation: bool(observation.rejected))
        (rejection,) = observation.rejected
        assert (rejection.kind, rejection.namespace, rejection.name, rejection.kept) == ("ModelServer", ns, "s", True)
        assert "endpoints" in str(rejection)
        assert seen.snapshot.servers[server].timeout == 5.0
        await asyncio.to_thread(kube_apiserver.apply, {**good, "spec": {**good["spec"], "model": "mended"}})
        await asyncio.to_thread(kube_apiserver.patch, good, {"metadata": {"annotations": {watching.ENDPOINTS: None}}})
        await seen.observed(lambda observation: not observation.rejected)
        assert seen.snapshot.servers[server].model == "mended"
        await asyncio.to_thread(kube_apiserver.apply, with_bad_endpoints)
        await seen.observed(lambda observation: bool(observation.rejected))
        await asyncio.to_thread(kube_apiserver.delete, good)
        await seen.observed(lambda observation: not observation.rejected)
        assert server not in seen.snapshot.servers


async def test_only_the_named_namespaces_are_read(kube_apiserver: KubeApiServer, kube_namespace: str) -> None:
    mine, other, foreign = kube_namespace, kube_apiserver.create_namespace(), kube_apiserver.create_namespace()
    for ns in (mine, other, foreign):
        kube_apiserver.apply(
            watching.model_route(ns, "r", f"model-{ns}", "s"),
            watching.model_server(ns, "s"),
            apiserver.pod(ns, "p", "10.0.0.1", {"app": "s"}),
        )
    token = kube_apiserver.service_account(mine, "gateway")
    config = kube_apiserver.kubeconfig_for(token, kube_apiserver.folder / "gateway")
    for ns in (mine, other):
        kube_apiserver.apply(*watching.reader(ns, mine, "gateway"))
    async with watching.source(kube_apiserver, mine, other, kubeconfig=config) as seen:
        snapshot = await seen.until(lambda snapshot: len(snapshot.pods) == 2)
        assert snapshot.models() == tuple(sorted((f"model-{mine}", f"model-{other}")))
        assert not seen.last.faults


async def test_a_missing_right_is_named_and_waited_for(kube_apiserver: KubeApiServer, kube_namespace: str) -> None:
    ns = kube_namespace
    kube_apiserver.apply(watching.model_server(ns, "s"), apiserver.pod(ns, "p", "10.0.0.1", {"app": "s"}))
    token = kube_apiserver.service_account(ns, "newcomer")
    config = kube_apiserver.kubeconfig_for(token, kube_apiserver.folder / "newcomer")
    role, binding = watching.reader(ns, ns, "newcomer")
    role["rules"] = [rule for rule in role["rules"] if rule["resources"] != ["pods"]]
    kube_apiserver.apply(role, binding)
    async with watching.source(kube_apiserver, ns, kubeconfig=config) as seen:
        fault = (await seen.observed(lambda observation: bool(observation.faults))).faults[0]
        assert not seen.last.synced
        assert (fault.resource, fault.where) == ("pods", ns)
        assert 'cannot list resource "pods" in API group ""' in fault.message
        await asyncio.to_thread(kube_apiserver.apply, *watching.reader(ns, ns, "newcomer"))
        await seen.pods(f"{ns}/s", "p")
        assert not seen.last.faults


async def test_many_namespaces_are_watched_at_once_and_few_one_by_one(kube_apiserver: KubeApiServer) -> None:
    # Others' objects are there too, and asked for: so the namespaces are counted first.
    async with watching.source(kube_apiserver) as seen:
        already = len({key.partition("/")[0] for key in (await seen.until(lambda _: True)).servers})
    # Without these, there are fewer than four fifths of what is watched one by one.
    few = already // 4 + 2
    names = [kube_apiserver.create_namespace("many") for _ in range(few + 3)]
    server = {ns: watching.model_server(ns, "s") for ns in names}
    for ns in names:
        kube_apiserver.apply(apiserver.pod(ns, "p", "10.0.0.1", {"app": "s"}))
    kube_apiserver.apply(*(server[ns] for ns in names[:few]))
    async with watching.source(kube_apiserver, watched_namespaces=already + few) as seen:
        await seen.pods(f"{names[0]}/s", "p")
        await asyncio.to_thread(kube_apiserver.apply, *(server[ns] for ns in names[few:]))
        for ns in names:
            await seen.pods(f"{ns}/s", "p")
        for ns in names:
            await asyncio.to_thread(kube_apiserver.delete, server[ns])
        await seen.until(lambda snapshot: not any(key.startswith("many-") for key in snapshot.servers))
        # All of it, the pods with the labels of ModelServers that are gone among them, is then known no more.
        await seen.until(lambda snapshot: not any(key.startswith("many-") for key in snapshot.objects.pods))


async def test_a_crd_that_is_missing_is_told_and_waited_for(own_kube_apiserver: KubeApiServer) -> None:
    from kthena_fast.resources import crds

    async with watching.source(own_kube_apiserver) as seen:
        faults = (await seen.observed(lambda observation: len(observation.faults) == 2)).faults
        assert str(faults[0]) == (
            "modelroutes cannot be read: the CRD modelroutes.networking.serving.volcano.sh is missing "
            "(kthena-fast crds prints it)"
        )
        assert not seen.last.synced
        without_providers = [crd for crd in crds.all() if crd["spec"]["names"]["kind"] != "ExternalModelProvider"]
        await asyncio.to_thread(own_kube_apiserver.install_crds, without_providers)
        await seen.observed(lambda observation: observation.synced)
        await asyncio.to_thread(own_kube_apiserver.apply, watching.model_server("default", "s"))
        await seen.until(lambda snapshot: "default/s" in snapshot.servers)


@pytest.mark.slow
async def test_what_was_missed_while_the_server_was_dead_is_caught_up(own_kube_apiserver: KubeApiServer) -> None:
    """Changes of the time without a watch are in the list that follows, and only those change anything."""
    server, do = own_kube_apiserver, asyncio.to_thread
    await do(server.install_crds)
    pods = {name: apiserver.pod("default", name, f"10.0.0.{n}", {"app": "s"}) for n, name in enumerate("pqr", 1)}
    await do(
        server.apply,
        watching.model_server("default", "s"),
        watching.model_server("default", "t"),
        watching.model_route("default", "r", "m", "s"),
        pods["p"],
        pods["q"],
    )
    async with watching.source(server) as seen:
        before = await seen.pods("default/s", "p", "q")
        kept = next(pod for pod in before.pods.values() if pod.name == "p")
        await do(server.stop_apiserver)
        told = await seen.observed(lambda observation: len(observation.faults) >= 4)
        assert told.synced
        assert {fault.resource for fault in told.faults} == {
            "modelroutes",
            "modelservers",
            "externalmodelproviders",
            "pods",
        }
        assert told.snapshot is not None
        assert [pod.name for pod in told.snapshot.servers["default/s"].pods] == ["p", "q"]
        await do(server.start)
        await do(server.delete, pods["q"], watching.model_route("default", "r", "m", "s"))
        await do(server.apply, pods["r"])
        after = await seen.pods("default/s", "p", "r")
        await seen.observed(lambda observation: not observation.faults)
        assert kept in after.servers["default/s"].pods
        assert after.servers["default/t"] is before.servers["default/t"]
        await seen.until(lambda snapshot: not snapshot.knows("m"))
