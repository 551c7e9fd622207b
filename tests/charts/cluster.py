"""Releases on a real API server. There are no controllers: what Helm sends is there, and nothing comes of it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from tests.charts import helm
from tests.charts.generated import CHART
from tests.kube import apiserver, binaries
from tests.kube.apiserver import KubeApiServer

GROUP = "networking.serving.volcano.sh"

LISTS = (
    "/api/v1/configmaps",
    "/api/v1/pods",
    "/api/v1/secrets",
    "/api/v1/serviceaccounts",
    "/api/v1/services",
    "/apis/apps/v1/deployments",
    "/apis/autoscaling/v2/horizontalpodautoscalers",
    "/apis/coordination.k8s.io/v1/leases",
    "/apis/networking.k8s.io/v1/networkpolicies",
    "/apis/policy/v1/poddisruptionbudgets",
    "/apis/rbac.authorization.k8s.io/v1/roles",
    "/apis/rbac.authorization.k8s.io/v1/rolebindings",
    "/apis/rbac.authorization.k8s.io/v1/clusterroles",
    "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
    "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations",
)
"""Where everything lies that a release can consist of, the CRDs aside."""


def release(
    server: KubeApiServer,
    verb: str,
    name: str,
    namespace: str,
    *arguments: str,
    values: Mapping[str, Any] | None = None,
    chart: Path = CHART,
) -> str:
    """`helm install` or `helm upgrade` of the chart; returns what Helm printed, NOTES included."""
    said: list[str | Path] = [verb, name, chart, "--namespace", namespace, *arguments]
    if verb == "install":
        said.append("--create-namespace")
    file = server.folder / f"values-{name}.yaml"
    file.write_text(json.dumps(values or {}))
    return helm.run(*said, "--values", file, kubeconfig=server.kubeconfig)


def uninstall(server: KubeApiServer, name: str, namespace: str) -> str:
    return helm.run("uninstall", name, "--namespace", namespace, kubeconfig=server.kubeconfig)


def dry_run(server: KubeApiServer, *objects: helm.Object) -> None:
    """Have the API server validate objects, in which it may know every field; apiserver.Refused where it does not."""
    query = "?fieldManager=tests&force=true&dryRun=All&fieldValidation=Strict"
    for found in objects:
        content_type = "application/apply-patch+yaml"
        server.request("PATCH", apiserver.path_of(found) + query, found, content_type=content_type)


def left(server: KubeApiServer, name: str) -> list[str]:
    """What is there of a release, as kind and name; without the CRDs."""
    found = []
    for path in LISTS:
        answer = server.request("GET", f"{path}?labelSelector=app.kubernetes.io/instance={name}")
        kind = answer["kind"].removesuffix("List")
        found += [f"{kind} {item['metadata']['name']}" for item in answer["items"]]
    return sorted(found)


def crd(server: KubeApiServer, plural: str) -> helm.Object:
    meta = {"name": f"{plural}.{GROUP}"}
    found = server.get({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": meta})
    assert isinstance(found, dict)
    return found


def foreign_schemas() -> Iterator[helm.Object]:
    """The CRDs of what the chart makes objects of and does not bring: cert-manager's and the Prometheus operator's."""
    for file in sorted(binaries.schemas().glob("*.yaml")):
        yield YAML(typ="safe", pure=True).load(file.read_text())


def install_foreign_schemas(server: KubeApiServer) -> None:
    """Skips the test where they are not on this machine."""
    try:
        server.install_crds(foreign_schemas())
    except binaries.Missing as missing:
        pytest.skip(str(missing))
