"""A webhook that makes its certificate itself, in service: who trusts it, and with which rights."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import ssl
from pathlib import Path
from typing import Any

import pytest

from kthena_fast.webhook import self_made
from tests.gateway import processes
from tests.kube.apiserver import KubeApiServer, Refused
from tests.resources import corpus
from tests.webhook.registered import SECRET, SERVICE, Cluster, serving


async def shown(port: int, bundle: bytes, namespace: str) -> bytes:
    """The certificate that whoever trusts the bundle and calls the service is shown, in PEM; SSLError: not trusted."""
    context = ssl.create_default_context(cadata=bundle.decode())
    _, writer = await asyncio.open_connection(
        "127.0.0.1", port, ssl=context, server_hostname=f"{SERVICE}.{namespace}.svc"
    )
    der = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.close()
    with contextlib.suppress(ConnectionError, ssl.SSLError):
        await writer.wait_closed()
    return ssl.DER_cert_to_PEM_cert(der).encode()


async def test_the_api_server_calls_the_service_and_trusts_the_certificate(cluster: Cluster, tmp_path: Path) -> None:
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": SERVICE, "namespace": cluster.namespace},
        # There is no network of services here, and this is how a name leads to this machine.
        "spec": {"type": "ExternalName", "externalName": "localhost"},
    }
    await asyncio.to_thread(cluster.server.apply, service)
    async with serving(cluster, tmp_path) as webhook:
        await asyncio.to_thread(lambda: cluster.register(port=webhook.port))
        secret = await asyncio.to_thread(cluster.secret)
        await cluster.has(secret["ca.crt"], secret["ca.crt"])
        bad = corpus.server(workloadSelector={})
        bad["metadata"]["namespace"] = cluster.namespace

        def refusal() -> Refused:
            with pytest.raises(Refused) as caught:
                cluster.server.apply(bad)
            return caught.value

        async def is_asked() -> bool:
            # Until the API server has heard of the bundle, it says that it cannot trust the webhook.
            return (await asyncio.to_thread(refusal)).status == 422

        await processes.until(is_asked)
        said = await asyncio.to_thread(refusal)
        assert "spec.workloadSelector.matchLabels: must have at least one label" in str(said)


RIGHTS: list[tuple[str, list[dict[str, Any]]]] = [
    (
        "Role",
        [
            {"apiGroups": [""], "resources": ["secrets"], "verbs": ["create"]},
            {"apiGroups": [""], "resources": ["secrets"], "resourceNames": [SECRET], "verbs": ["get", "update"]},
        ],
    ),
    (
        "ClusterRole",
        [
            {
                "apiGroups": ["admissionregistration.k8s.io"],
                "resources": ["validatingwebhookconfigurations"],
                "resourceNames": ["CONFIG"],
                "verbs": ["list", "watch", "patch"],
            }
        ],
    ),
]


def grant(cluster: Cluster) -> str:
    """The token of an account with the rights that docs/webhook.md names, and no others."""
    token = cluster.server.service_account(cluster.namespace, "webhook")
    subject = {"kind": "ServiceAccount", "name": "webhook", "namespace": cluster.namespace}
    for kind, rules in RIGHTS:
        named = [
            {**rule, **({"resourceNames": [cluster.config]} if rule.get("resourceNames") == ["CONFIG"] else {})}
            for rule in rules
        ]
        meta = {"name": cluster.config, "namespace": cluster.namespace}
        group = "rbac.authorization.k8s.io"
        cluster.server.apply(
            {"apiVersion": f"{group}/v1", "kind": kind, "metadata": meta, "rules": named},
            {
                "apiVersion": f"{group}/v1",
                "kind": f"{kind}Binding",
                "metadata": meta,
                "roleRef": {"apiGroup": group, "kind": kind, "name": cluster.config},
                "subjects": [subject],
            },
        )
    return token


async def test_the_rights_that_are_documented_are_enough(cluster: Cluster, tmp_path: Path) -> None:
    token = await asyncio.to_thread(grant, cluster)
    kubeconfig = cluster.server.kubeconfig_for(token, tmp_path / "kubeconfig")
    await asyncio.to_thread(cluster.register)
    async with serving(cluster, tmp_path, kubeconfig):
        bundle = (await asyncio.to_thread(cluster.secret))["ca.crt"]
        await cluster.has(bundle, bundle)
    # And once more, with the Secret there.
    async with serving(cluster, tmp_path, kubeconfig) as webhook:
        assert (await asyncio.to_thread(cluster.secret))["ca.crt"] == bundle
        await shown(webhook.port, bundle, cluster.namespace)


async def test_a_right_that_is_missing_is_named_in_readyz(cluster: Cluster, tmp_path: Path) -> None:
    token = await asyncio.to_thread(cluster.server.service_account, cluster.namespace, "nobody")
    kubeconfig = cluster.server.kubeconfig_for(token, tmp_path / "kubeconfig")
    async with serving(cluster, tmp_path, kubeconfig, is_ready=False) as webhook:

        async def is_told() -> bool:
            status, _, body = webhook._readyz()
            assert status == 503
            return b'cannot get resource "secrets"' in body

        await processes.until(is_told)


async def test_two_replicas_that_start_at_once_share_one_certificate(cluster: Cluster, tmp_path: Path) -> None:
    await asyncio.to_thread(cluster.register)
    arguments = (
        *("webhook", "--host", "127.0.0.1", "--port", "0", "--metrics-port", "0"),
        *("--tls-cert-file", str(tmp_path / "none"), "--cert-secret-name", SECRET, "--webhook-service-name", SERVICE),
        *("--webhook-configuration-name", cluster.config, "--cluster-warnings=false"),
    )
    variables = {"KUBECONFIG": str(cluster.server.kubeconfig), "POD_NAMESPACE": cluster.namespace}
    async with contextlib.AsyncExitStack() as stack:
        replicas = await asyncio.gather(
            *(stack.enter_async_context(processes.program(*arguments, **variables)) for _ in range(3))
        )
        ports = []
        for replica in replicas:
            await replica.says("ready: reviews are answered")
            ports.append(
                int((await replica.says("reviews on 127.0.0.1:")).partition("127.0.0.1:")[2].partition(",")[0])
            )
        secret = await asyncio.to_thread(cluster.secret)
        assert [await shown(port, secret["ca.crt"], cluster.namespace) for port in ports] == [secret["tls.crt"]] * 3
        await cluster.has(secret["ca.crt"], secret["ca.crt"])
        for replica in replicas:
            replica.send(signal.SIGTERM)
            assert await replica.ended() == 0
            assert replica.complaints == []


async def test_an_api_server_that_is_away_costs_nothing_but_the_news(
    own_kube_apiserver: KubeApiServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(self_made, "LOOK_EVERY", 0.1)
    cluster = Cluster(own_kube_apiserver, own_kube_apiserver.create_namespace())
    async with serving(cluster, tmp_path) as webhook:
        bundle = (await asyncio.to_thread(cluster.secret))["ca.crt"]
        await asyncio.to_thread(own_kube_apiserver.stop_apiserver)

        async def says(words: bytes) -> bool:
            status, _, body = webhook._readyz()
            assert status == 200
            return words in body

        await processes.until(lambda: says(b"ok, but GET /api/v1/"))
        await shown(webhook.port, bundle, cluster.namespace)
        await asyncio.to_thread(own_kube_apiserver.start)
        await asyncio.to_thread(cluster.register)
        await cluster.has(bundle, bundle)
        await processes.until(lambda: says(b"ok\n"))
