"""Requests, against a real API server where it has a say."""

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from kthena_fast.kube import client, configuration, credentials, failures
from kthena_fast.kube.client import Client, PatchType
from kthena_fast.kube.configuration import Cluster
from tests.kube import apiserver, breaking
from tests.kube.apiserver import KubeApiServer

PATIENCE = 20.0


@pytest_asyncio.fixture
async def kube(kube_apiserver: KubeApiServer) -> AsyncIterator[Client]:
    async with Client(configuration.from_files([kube_apiserver.kubeconfig])) as made:
        yield made


def secret(namespace: str, name: str, **data: str) -> client.Object:
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"namespace": namespace, "name": name},
        "stringData": data,
    }


async def test_an_object_is_created_read_changed_and_deleted(kube: Client, kube_namespace: str) -> None:
    collection = f"/api/v1/namespaces/{kube_namespace}/secrets"
    made = await kube.create(collection, secret(kube_namespace, "certs", tls="one"))
    read = await kube.get(f"{collection}/certs")
    assert read["data"] == made["data"] == {"tls": "b25l"}
    read["data"]["tls"] = "dHdv"
    replaced = await kube.replace(f"{collection}/certs", read)
    assert replaced["metadata"]["resourceVersion"] != made["metadata"]["resourceVersion"]
    merged = await kube.patch(f"{collection}/certs", {"metadata": {"labels": {"a": "b"}}})
    assert merged["metadata"]["labels"] == {"a": "b"}
    assert merged["data"] == {"tls": "dHdv"}
    json_patch: list[client.Object] = [{"op": "remove", "path": "/metadata/labels/a"}]
    assert "labels" not in (await kube.patch(f"{collection}/certs", json_patch, PatchType.JSON))["metadata"]
    await kube.delete(f"{collection}/certs")
    with pytest.raises(failures.ApiError) as refused:
        await kube.get(f"{collection}/certs")
    assert refused.value.is_not_found
    assert refused.value.reason == "NotFound"
    assert 'secrets "certs" not found' in str(refused.value)


async def test_the_second_of_two_creators_is_told(kube: Client, kube_namespace: str) -> None:
    collection = f"/api/v1/namespaces/{kube_namespace}/secrets"
    await kube.create(collection, secret(kube_namespace, "certs"))
    with pytest.raises(failures.ApiError) as refused:
        await kube.create(collection, secret(kube_namespace, "certs"))
    assert refused.value.is_conflict
    assert refused.value.reason == "AlreadyExists"


async def test_who_changes_an_older_version_is_told(kube: Client, kube_namespace: str) -> None:
    collection = f"/api/v1/namespaces/{kube_namespace}/secrets"
    made = await kube.create(collection, secret(kube_namespace, "certs", a="1"))
    await kube.patch(f"{collection}/certs", {"stringData": {"a": "2"}})
    with pytest.raises(failures.ApiError) as refused:
        await kube.replace(f"{collection}/certs", made)
    assert refused.value.is_conflict
    assert refused.value.reason == "Conflict"


async def test_a_missing_right_is_named(kube_apiserver: KubeApiServer, kube_namespace: str) -> None:
    token = kube_apiserver.service_account(kube_namespace, "nobody")
    config = kube_apiserver.kubeconfig_for(token, kube_apiserver.folder / "nobody")
    async with Client(configuration.from_files([config])) as nobody:
        with pytest.raises(failures.ApiError, match='cannot list resource "pods"') as refused:
            [page async for page in nobody.pages(f"/api/v1/namespaces/{kube_namespace}/pods")]
    assert refused.value.is_forbidden


async def test_who_is_not_known_is_refused(kube_apiserver: KubeApiServer) -> None:
    config = kube_apiserver.kubeconfig_for("wrong", kube_apiserver.folder / "wrong")
    async with Client(configuration.from_files([config])) as nobody:
        with pytest.raises(failures.ApiError) as refused:
            await nobody.get("/api/v1/nodes")
    assert refused.value.status == 401


async def test_a_list_is_read_in_pages_that_fit_the_size_of_its_objects(kube: Client, kube_namespace: str) -> None:
    collection = f"/api/v1/namespaces/{kube_namespace}/secrets"
    for number in range(60):
        await kube.create(collection, secret(kube_namespace, f"s{number:03}", data="x" * 20_000))
    pages = [page async for page in kube.pages(collection)]
    assert [item["metadata"]["name"] for page in pages for item in page.items] == [f"s{n:03}" for n in range(60)]
    assert len(pages[0].items) == client.FIRST_PAGE
    # Ten thousand bytes of base64 on top, and what else an object holds.
    assert [len(page.items) for page in pages[1:]] == [4, 4, 2]
    assert len({page.version for page in pages}) == 1


async def test_a_watch_tells_what_happens_after_the_list(kube: Client, kube_namespace: str) -> None:
    collection = f"/api/v1/namespaces/{kube_namespace}/secrets"
    page = [page async for page in kube.pages(collection)][-1]
    seen: list[tuple[str, str]] = []
    async with asyncio.timeout(PATIENCE), kube.watch(collection, page.version) as stream:
        await kube.create(collection, secret(kube_namespace, "certs"))
        await kube.patch(f"{collection}/certs", {"stringData": {"a": "2"}})
        await kube.delete(f"{collection}/certs")
        async for events in stream:
            seen += [(event.type, event.object["metadata"]["name"]) for event in events]
            if len(seen) >= 3:
                break
    assert seen == [("ADDED", "certs"), ("MODIFIED", "certs"), ("DELETED", "certs")]


async def test_a_kind_that_is_not_there_is_not_found(kube: Client) -> None:
    with pytest.raises(failures.ApiError) as refused:
        async with kube.watch("/apis/networking.example.com/v1/things", ""):
            pass
    assert refused.value.is_not_found


async def test_a_server_that_is_not_there_is_unreachable(own_kube_apiserver: KubeApiServer) -> None:
    async with Client(configuration.from_files([own_kube_apiserver.kubeconfig])) as kube:
        await kube.get("/version")
        await asyncio.to_thread(own_kube_apiserver.stop_apiserver)
        with pytest.raises(failures.Unreachable, match="GET /version: "):
            await kube.get("/version")
        await asyncio.to_thread(own_kube_apiserver.start)
        assert (await kube.get("/version"))["major"] == "1"


async def test_a_server_with_another_certificate_is_not_trusted(kube_apiserver: KubeApiServer) -> None:
    import dataclasses

    cluster = configuration.from_files([kube_apiserver.kubeconfig])
    for stranger in (dataclasses.replace(cluster, ca_file=None), dataclasses.replace(cluster, server_name="elsewhere")):
        async with Client(stranger) as kube:
            with pytest.raises(failures.Unreachable, match=r"certificate verify failed|Hostname mismatch"):
                await kube.get("/version")


async def test_requests_go_by_way_of_the_proxy() -> None:
    async with breaking.server(breaking.raw(b'{"major": "1"}')) as proxy:
        beyond = Cluster("http://api.invalid", credentials.Anonymous(), proxy=proxy.cluster.server)
        async with Client(beyond) as kube:
            assert await kube.get("/version") == {"major": "1"}


async def test_server_side_apply_is_a_kind_of_patch(kube: Client, kube_namespace: str) -> None:
    obj = apiserver.pod(kube_namespace, "engine-0", "10.0.0.1", {"app": "llama"})
    query = {"fieldManager": "kthena-fast", "force": "true"}
    made = await kube.patch(apiserver.path_of(obj), obj, PatchType.APPLY, query)
    assert made["metadata"]["managedFields"][0]["manager"] == "kthena-fast"
