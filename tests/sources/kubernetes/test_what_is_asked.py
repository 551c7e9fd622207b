"""What the API server is asked for, by its own log: which watches there are, and what nobody asks for."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from kthena_fast.sources.kubernetes import pod_watches
from tests.conftest import running_kube_apiserver
from tests.gateway import processes
from tests.kube import apiserver
from tests.kube.apiserver import KubeApiServer
from tests.kube.audit import Audit
from tests.resources import corpus
from tests.sources.kubernetes import watching
from tests.sources.kubernetes.status.cluster import reasons_of

MOST = 50
"""Namespaces that are watched one by one (the issue)."""
FEW = 40
"""At so many they are again."""


@pytest.fixture
def audit(tmp_path: Path) -> Audit:
    return Audit(tmp_path)


@pytest.fixture
def server(audit: Audit, tmp_path: Path) -> Iterator[KubeApiServer]:
    with running_kube_apiserver(tmp_path / "kube", audit.flags) as started:
        started.install_crds()
        yield started


async def test_fifty_namespaces_have_a_watch_each_and_fifty_one_have_one_for_all(
    server: KubeApiServer, audit: Audit
) -> None:
    do = asyncio.to_thread
    names = [await do(server.create_namespace) for _ in range(MOST + 1)]
    servers = [watching.model_server(ns, "s") for ns in names]
    await do(server.apply, apiserver.pod(names[0], "p", "10.0.0.1", {"app": "s"}), *servers[:MOST])

    async def are_watched(*namespaces: str) -> None:
        async def so() -> bool:
            return await do(audit.watched, "pods") == Counter(namespaces)

        await processes.until(so)

    async with watching.source(server) as seen:
        await seen.pods(f"{names[0]}/s", "p")
        await are_watched(*names[:MOST])
        await do(server.apply, servers[MOST])
        await are_watched(pod_watches.ALL)
        await do(server.delete, *servers[FEW + 1 :])
        await seen.until(lambda snapshot: len(snapshot.servers) == FEW + 1)
        # What comes after that snapshot is planned with no more than these.
        await do(server.apply, watching.model_route(names[0], "r", "m", "s"))
        await seen.until(lambda snapshot: snapshot.knows("m"))
        await do(server.delete, servers[FEW])
        await are_watched(*names[:FEW])
        shown = [found.snapshot.servers[f"{names[0]}/s"].pods for found in seen.observations if found.snapshot]
        assert all(shown), "no change of watches has cost a pod"
    # Neither came or went at another number, for however short a time.
    asked = [request.namespace for request in audit.asked() if request[:2] == ("watch", "pods")]
    assert Counter(asked[:MOST]) == Counter(names[:MOST])
    assert asked[MOST] == pod_watches.ALL
    assert Counter(asked[MOST + 1 :]) == Counter(names[:FEW])


async def test_no_secret_is_asked_for_while_providers_cannot_be_called(server: KubeApiServer, audit: Audit) -> None:
    """Nor by a gateway that has every right, as here. Upstream's reads all Secrets of the cluster (6.4 C6)."""
    do = asyncio.to_thread
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "namespace": "default",
            "name": "key",
            "labels": {"networking.serving.volcano.sh/external-model-provider-credential": "true"},
        },
        "stringData": {"key": "sk-1"},
    }
    provider = corpus.provider(auth={"secretRef": {"name": "key", "key": "key"}})
    target = {"externalModelProviderName": provider["metadata"]["name"]}
    route = corpus.route(rules=[{"targetModels": [target]}])
    await do(server.apply, secret, provider, route, watching.model_server("default", "s"))
    variables = {"KUBECONFIG": str(server.kubeconfig), "ACCESS_LOG_ENABLED": "false"}
    async with processes.gateway("--kubernetes", **variables):

        async def says(reason: str) -> None:
            async def so() -> bool:
                return (await do(reasons_of, server, route)).get("ResolvedRefs") == ("False", reason)

            await processes.until(so)

        # Of a provider that is there, that is gone, and that is there again: each was read, and what it needs.
        await says("InvalidKind")
        await do(server.delete, provider)
        await says("BackendNotFound")
        await do(server.apply, {**secret, "stringData": {"key": "sk-2"}}, provider)
        await says("InvalidKind")
    read = {"externalmodelproviders", "modelroutes", "modelservers", "pods"}
    assert {request.resource for request in audit.asked() if request.verb in ("list", "watch")} == read
    written = {"leases", "modelroutes/status", "modelservers/status", "modelroutes", "modelservers"}
    assert {request.resource for request in audit.asked()} <= read | written
