"""What a pod is given to reach the API server with: two variables, and a folder that the kubelet keeps fresh.

Against a real API server, whose tokens are those of its own TokenRequest API.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from kthena_fast.kube import client, configuration, credentials, failures, reflector
from kthena_fast.kube.client import Client
from tests.conftest import running_kube_apiserver
from tests.gateway import processes
from tests.kube import apiserver
from tests.kube.apiserver import KubeApiServer
from tests.kube.kept import Kept, reflecting

ACCOUNT = "gateway"


class Pod:
    """A folder as the kubelet mounts it, of a ServiceAccount that may list and watch ConfigMaps."""

    def __init__(self, server: KubeApiServer, namespace: str, folder: Path) -> None:
        self.server = server
        self.namespace = namespace
        self.folder = folder
        self.path = f"/api/v1/namespaces/{namespace}/configmaps"
        rule = {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["list", "watch"]}
        meta = {"name": ACCOUNT, "namespace": namespace}
        reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": ACCOUNT}
        subject = {"kind": "ServiceAccount", "name": ACCOUNT, "namespace": namespace}
        rbac = "rbac.authorization.k8s.io/v1"
        server.apply(
            {"apiVersion": rbac, "kind": "Role", "metadata": meta, "rules": [rule]},
            {
                "apiVersion": rbac,
                "kind": "RoleBinding",
                "metadata": meta,
                "roleRef": reference,
                "subjects": [subject],
            },
        )

    def new_token(self) -> str:
        """A token of the account, in the file, as the kubelet puts one there before the old one ends."""
        return self.server.mount_service_account(self.namespace, ACCOUNT, self.folder)

    def end_token(self, token: str) -> None:
        """Have the API server refuse a token from now on: the account goes, and with it all its tokens."""
        meta = {"name": ACCOUNT, "namespace": self.namespace}
        self.server.delete({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": meta})
        self.server.until_refused(token)

    def cluster(self, host: str = "127.0.0.1") -> configuration.Cluster:
        environ = {"KUBERNETES_SERVICE_HOST": host, "KUBERNETES_SERVICE_PORT": str(self.server.port)}
        found = configuration.find(environ, self.folder)
        assert found.namespace == self.namespace
        return found


@pytest.fixture
def pod(kube_apiserver: KubeApiServer, kube_namespace: str, tmp_path: Path) -> Pod:
    return Pod(kube_apiserver, kube_namespace, tmp_path / "serviceaccount")


async def names(kube: Client, path: str) -> list[str]:
    return [item["metadata"]["name"] async for page in kube.pages(path) for item in page.items]


def config_map(namespace: str, name: str) -> apiserver.Object:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": namespace}}


async def test_a_pod_reaches_its_api_server_with_what_is_mounted(pod: Pod) -> None:
    pod.new_token()
    pod.server.apply(config_map(pod.namespace, "a"))
    async with Client(pod.cluster()) as kube:
        assert await names(kube, pod.path) == ["a"]
        with pytest.raises(failures.ApiError, match=f"system:serviceaccount:{pod.namespace}:{ACCOUNT}") as refused:
            await kube.get(f"/api/v1/namespaces/{pod.namespace}/secrets/x")
    assert refused.value.is_forbidden


async def test_a_token_that_is_no_longer_good_is_told_and_the_next_one_taken_at_once(
    pod: Pod, monkeypatch: pytest.MonkeyPatch
) -> None:
    # So that it is not read again because it is old.
    monkeypatch.setattr(credentials, "TOKEN_AGE", 3600.0)
    old = pod.new_token()
    async with Client(pod.cluster()) as kube:
        assert await names(kube, pod.path) == []
        await asyncio.to_thread(pod.end_token, old)
        with pytest.raises(failures.ApiError, match=r"401 Unauthorized.*the pod's service account .*serviceaccount"):
            await names(kube, pod.path)
        pod.new_token()
        assert await names(kube, pod.path) == []


async def test_a_collection_is_followed_over_the_end_of_a_token(pod: Pod, monkeypatch: pytest.MonkeyPatch) -> None:
    """A watch goes on with the token that it began with; the one after it shows the one of that time."""
    monkeypatch.setattr(client, "WATCH_SECONDS", (1, 1))
    # Here one that lasts that long works.
    monkeypatch.setattr(reflector, "HEALTHY_AFTER", 0.0)
    old, store = pod.new_token(), Kept()
    async with Client(pod.cluster()) as kube, reflecting(kube, store, pod.path) as (made, stood):
        pod.server.apply(config_map(pod.namespace, "a"))
        await store.until("a")
        await asyncio.to_thread(pod.end_token, old)

        async def is_told() -> bool:
            return "401" in stood[-1]

        await processes.until(is_told)
        assert made.synced
        pod.server.apply(config_map(pod.namespace, "b"))
        pod.new_token()
        await store.until("a", "b")
        assert made.lists == 1
    assert stood[-1] == "current"


async def test_a_token_that_comes_late_is_waited_for(pod: Pod) -> None:
    pod.new_token()
    cluster, store = pod.cluster(), Kept()
    (pod.folder / "token").unlink()
    pod.server.apply(config_map(pod.namespace, "a"))
    async with Client(cluster) as kube, reflecting(kube, store, pod.path) as (_, stood):

        async def is_told() -> bool:
            return bool(stood)

        await processes.until(is_told)
        pod.new_token()
        await store.until("a")
    assert stood[0].endswith("/token cannot be read: No such file or directory")


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (None, "does not load: No such file or directory"),
        (b"", "does not load: "),
        (b"\xff", "does not load: "),
        (trustme.CA().cert_pem.bytes(), "certificate verify failed"),
    ],
    ids=["missing", "empty", "rubbish", "somebody else's"],
)
async def test_an_authority_that_is_wrong_is_told_and_the_right_one_taken_when_it_comes(
    pod: Pod, wrong: bytes | None, words: str
) -> None:
    """What the system trusts is never taken in its place."""
    pod.new_token()
    ca_file, store = pod.folder / "ca.crt", Kept()
    ca_file.unlink()
    if wrong is not None:
        ca_file.write_bytes(wrong)
    pod.server.apply(config_map(pod.namespace, "a"))
    async with Client(pod.cluster()) as kube, reflecting(kube, store, pod.path) as (_, stood):

        async def is_told() -> bool:
            return bool(stood)

        await processes.until(is_told)
        shutil.copy(pod.server.ca_file, ca_file)
        await store.until("a")
    assert words in stood[0]
    assert stood[-1] == "current"


def test_a_pod_that_is_given_no_token_is_told_where_it_was_looked_for(tmp_path: Path) -> None:
    """`automountServiceAccountToken: false`."""
    environ = {"KUBERNETES_SERVICE_HOST": "10.0.0.1", "KUBERNETES_SERVICE_PORT": "443", "HOME": str(tmp_path)}
    with pytest.raises(configuration.BadConfiguration, match=f"no pod with a service account .{tmp_path}/token"):
        configuration.find(environ, tmp_path)


def test_the_port_is_https_where_none_is_said(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("t")
    assert configuration.find({"KUBERNETES_SERVICE_HOST": "10.0.0.1"}, tmp_path).server == "https://10.0.0.1:443"
    environ = {"KUBERNETES_SERVICE_HOST": "10.0.0.1", "KUBERNETES_SERVICE_PORT": ""}
    assert configuration.find(environ, tmp_path).server == "https://10.0.0.1:443"


@pytest.fixture(scope="module")
def dual_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KubeApiServer]:
    """An API server that is reached over IPv6 too, with a certificate for it."""
    folder = tmp_path_factory.mktemp("dual-stack")
    certificates = folder / "certs"
    certificates.mkdir()
    authority = trustme.CA()
    pair = authority.issue_cert("127.0.0.1", "::1", "localhost")
    chain = b"".join(part.bytes() for part in pair.cert_chain_pems)
    (certificates / "apiserver.crt").write_bytes(chain + authority.cert_pem.bytes())
    (certificates / "apiserver.key").write_bytes(pair.private_key_pem.bytes())
    with running_kube_apiserver(folder, "--bind-address=::") as server:
        yield server


async def test_a_cluster_of_ipv6_is_reached_by_its_address(dual_stack: KubeApiServer, tmp_path: Path) -> None:
    namespace = dual_stack.create_namespace()
    pod = Pod(dual_stack, namespace, tmp_path / "serviceaccount")
    pod.new_token()
    dual_stack.apply(config_map(namespace, "a"))
    cluster = pod.cluster("::1")
    assert cluster.server == f"https://[::1]:{dual_stack.port}"
    async with Client(cluster) as kube:
        assert await names(kube, pod.path) == ["a"]
