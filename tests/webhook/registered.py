"""What a real API server has of a webhook that certifies itself: its Secret, and configurations that name it."""

from __future__ import annotations

import asyncio
import base64
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from kthena_fast.kube import configuration
from kthena_fast.settings import Settings
from kthena_fast.webhook import app
from tests.gateway import processes
from tests.kube.apiserver import KubeApiServer, Object, path_of
from tests.webhook import asking

SECRET, SERVICE = "certs", "webhook"


def registration(namespace: str, name: str, service: str = SERVICE, port: int = 443) -> Object:
    """A configuration that names our service, which asks about the objects of one namespace."""

    def entry(kind: str) -> dict[str, Any]:
        return {
            "name": f"validate-{kind.lower()}.kthena-fast.io",
            "clientConfig": {
                "service": {"namespace": namespace, "name": service, "path": asking.path(kind), "port": port}
            },
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
            "rules": [
                {
                    "apiGroups": ["networking.serving.volcano.sh"],
                    "apiVersions": ["v1alpha1"],
                    "operations": ["CREATE", "UPDATE"],
                    "resources": [f"{kind.lower()}s"],
                }
            ],
            "admissionReviewVersions": ["v1"],
            "sideEffects": "None",
        }

    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": name},
        "webhooks": [entry("ModelServer"), entry("ModelRoute")],
    }


def secret_of(
    namespace: str, data: dict[str, bytes] | None = None, annotations: dict[str, str] | None = None
) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "Opaque",
        "metadata": {"name": SECRET, "namespace": namespace, "annotations": annotations or {}},
        "data": {name: base64.b64encode(value).decode() for name, value in (data or {}).items()},
    }


class Cluster:
    """One namespace of a cluster, and what is in it of the webhook's."""

    def __init__(self, server: KubeApiServer, namespace: str) -> None:
        self.server = server
        self.namespace = namespace
        self.config = f"config-{namespace}"

    def secret(self) -> dict[str, bytes]:
        found = self.server.get(secret_of(self.namespace))
        return {name: base64.b64decode(value) for name, value in found["data"].items()}

    def register(self, name: str = "", **fields: Any) -> None:
        self.server.apply(registration(self.namespace, name or self.config, **fields))

    def unregister(self, name: str = "") -> None:
        self.server.delete(registration(self.namespace, name or self.config))

    def bundles(self, name: str = "") -> list[bytes]:
        """The caBundle of each entry."""
        found = self.server.get(registration(self.namespace, name or self.config))
        return [base64.b64decode(entry["clientConfig"].get("caBundle", "")) for entry in found["webhooks"]]

    def give(self, bundle: bytes) -> None:
        """Set the caBundle of every entry, as somebody else would."""
        found = self.server.get(registration(self.namespace, self.config))
        for entry in found["webhooks"]:
            entry["clientConfig"]["caBundle"] = base64.b64encode(bundle).decode()
        self.server.request("PUT", path_of(found), found)

    async def has(self, *bundles: bytes, name: str = "") -> None:
        """Return once every entry has that bundle."""

        async def holds() -> bool:
            return await asyncio.to_thread(self.bundles, name) == list(bundles)

        await processes.until(holds)


def options(cluster: Cluster, folder: Path, **fields: Any) -> app.Options:
    return app.Options(
        **{
            "host": "127.0.0.1",
            "port": 0,
            "metrics_port": 0,
            "tls_cert_file": folder / "tls.crt",
            "tls_private_key_file": folder / "tls.key",
            "cert_secret_name": SECRET,
            "webhook_service_name": SERVICE,
            "webhook_configuration_name": cluster.config,
            "cluster_warnings": False,
            **fields,
        }
    )


@contextlib.asynccontextmanager
async def serving(
    cluster: Cluster, folder: Path, kubeconfig: Path | None = None, *, is_ready: bool = True, **fields: Any
) -> AsyncIterator[app.Webhook]:
    """A webhook without mounted files, once it answers reviews."""
    kube = configuration.from_files([kubeconfig or cluster.server.kubeconfig])
    settings = Settings(pod_namespace=cluster.namespace)
    async with (
        asking.last_word(cluster.server),
        app.running(options(cluster, folder, **fields), settings, kube) as webhook,
    ):
        if is_ready:
            async with asyncio.timeout(processes.PATIENCE):
                await webhook.until_ready()
        yield webhook
