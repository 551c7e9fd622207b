"""Objects as tests of routing write them: short, and decoded as in service."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from kthena_fast.resources import core_v1, decoding
from kthena_fast.resources.external_model_provider import ExternalModelProvider
from kthena_fast.resources.model_route import ModelRoute
from kthena_fast.resources.model_server import ENDPOINTS, ModelServer
from kthena_fast.routing import build
from kthena_fast.routing.objects import Objects
from kthena_fast.routing.snapshot import Snapshot

Resource = ModelRoute | ModelServer | ExternalModelProvider | core_v1.Pod
R = TypeVar("R", ModelRoute, ModelServer, ExternalModelProvider)


def to(*names: str, when: Mapping[str, Any] | None = None, **weights: int) -> dict[str, Any]:
    """A rule to these ModelServers, the latter with weights."""
    targets: list[dict[str, Any]] = [{"modelServerName": name} for name in names]
    targets += [{"modelServerName": name, "weight": weight} for name, weight in weights.items()]
    return {"targetModels": targets, **({"modelMatch": when} if when is not None else {})}


def route(
    name: str,
    *rules: Mapping[str, Any],
    model: str | None = "m",
    adapters: Iterable[str] = (),
    created: str | None = None,
    namespace: str = "default",
    **spec: Any,
) -> ModelRoute:
    meta = {"name": name, "namespace": namespace} | ({"creationTimestamp": created} if created else {})
    body = {"rules": list(rules), "loraAdapters": list(adapters), **spec} | ({"modelName": model} if model else {})
    return _decoded(ModelRoute, {"metadata": meta, "spec": body})


def server(
    name: str,
    endpoints: str = "",
    *,
    namespace: str = "default",
    selector: Mapping[str, Any] | None = None,
    **spec: Any,
) -> ModelServer:
    """A ModelServer with endpoints, or one that selects pods by the label `app: NAME`."""
    annotations = {ENDPOINTS: endpoints} if endpoints else {}
    body = {
        "inferenceEngine": "vLLM",
        "workloadSelector": selector if selector is not None else {"matchLabels": {"app": name}},
        "workloadPort": {"port": 8000},
        **spec,
    }
    meta = {"name": name, "namespace": namespace, "annotations": annotations}
    return _decoded(ModelServer, {"metadata": meta, "spec": body})


def pod(
    name: str,
    ip: str = "10.0.0.1",
    *,
    namespace: str = "default",
    uid: str = "",
    phase: str = "Running",
    ready: str = "True",
    deleted: str | None = None,
    **labels: str,
) -> core_v1.Pod:
    meta = {"name": name, "namespace": namespace, "uid": uid, "labels": labels}
    if deleted is not None:
        meta["deletionTimestamp"] = deleted
    status = {"phase": phase, "podIP": ip, "conditions": [{"type": "Ready", "status": ready}]}
    decoded = decoding.decode({"apiVersion": "v1", "kind": "Pod", "metadata": meta, "status": status})
    assert isinstance(decoded, core_v1.Pod)
    return decoded


def provider(name: str) -> ExternalModelProvider:
    return _decoded(ExternalModelProvider, {"metadata": {"name": name}, "spec": {"baseURL": "https://api.example.com"}})


def objects(*resources: Resource) -> Objects:
    def of(kind: type[Any]) -> dict[str, Any]:
        return {resource.metadata.key: resource for resource in resources if isinstance(resource, kind)}

    return Objects(of(ModelRoute), of(ModelServer), of(ExternalModelProvider), of(core_v1.Pod))


def snapshot(*resources: Resource, previous: Snapshot = build.EMPTY) -> Snapshot:
    return build.build(objects(*resources), previous)


def _decoded(kind: type[R], obj: Mapping[str, Any]) -> R:
    decoded = decoding.decode({"apiVersion": kind.API_VERSION, "kind": kind.KIND, **obj})
    assert isinstance(decoded, kind)
    return decoded
