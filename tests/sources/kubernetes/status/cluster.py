"""A replica's way to a real API server, on which a test sees and disturbs what goes by, and a clock that it sets."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from kthena_fast.kube import answers, client, configuration, failures
from kthena_fast.kube.client import Client
from kthena_fast.resources import decoding
from kthena_fast.resources.model_route import ModelRoute
from kthena_fast.resources.model_server import ModelServer
from kthena_fast.routing import build
from kthena_fast.routing.objects import Objects, Reason, Rejection
from kthena_fast.routing.snapshot import Snapshot
from tests.kube.apiserver import KubeApiServer, Object
from tests.routing import given

Hook = Callable[[str], Awaitable[None]]

START = datetime(2026, 1, 31, 12, tzinfo=UTC)


async def _nothing(what: str) -> None:
    """Let it go by."""


class Disturbed(Client):
    """A client; `before` and `after` are awaited around each request, and may wait or raise."""

    def __init__(self, server: KubeApiServer, token: str | None = None) -> None:
        path = server.kubeconfig
        if token is not None:
            path = server.kubeconfig_for(token, server.folder / f"kubeconfig-{abs(hash(token))}")
        super().__init__(configuration.from_files([path]))
        self.sent: list[str] = []
        """Method and path of each request, in their order."""
        self.pages_read = 0
        self.before: Hook = _nothing
        self.after: Hook = _nothing

    def count(self, method: str, part: str = "") -> int:
        """Requests so far with this method and this in their path."""
        return sum(what.startswith(f"{method} ") and part in what for what in self.sent)

    async def request(self, method: str, path: str, *args: Any, **kwargs: Any) -> client.Object:
        what = f"{method} {path}"
        self.sent.append(what)
        await self.before(what)
        try:
            return await super().request(method, path, *args, **kwargs)
        finally:
            await self.after(what)

    async def pages(
        self, path: str, query: Mapping[str, str] | None = None, **options: Any
    ) -> AsyncGenerator[answers.Page, None]:
        what = f"LIST {path}"
        self.sent.append(what)
        await self.before(what)
        async for page in super().pages(path, query, **options):
            self.pages_read += 1
            yield page
        await self.after(what)


async def lost(what: str) -> None:
    """A hook: the connection breaks."""
    raise failures.Unreachable(f"{what}: lost")


class Clock:
    """Moved by hand; `wall` moves with it. Waiting for it moves it, and returns at once."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.waited: list[float] = []

    def __call__(self) -> float:
        return self.now

    def wall(self) -> datetime:
        return START + timedelta(seconds=self.now - 1000.0)

    async def pause(self, seconds: float) -> None:
        self.waited.append(seconds)
        self.now += seconds


def snapshot(server: KubeApiServer, *namespaces: str) -> Snapshot:
    """What a source reads in these namespaces now."""
    read: dict[str, dict[str, Any]] = {"ModelRoute": {}, "ModelServer": {}, "Pod": {}}
    rejected: list[Rejection] = []
    for namespace in namespaces:
        paths = {kind: _collection(kind, namespace) for kind in read}
        for kind, path in paths.items():
            for obj in server.request("GET", path)["items"]:
                whole = {"apiVersion": "v1" if kind == "Pod" else decoding.API_VERSION, "kind": kind, **obj}
                try:
                    decoded = decoding.decode(whole)
                    read[kind][decoded.metadata.key] = decoded
                except decoding.Rejected as refusal:
                    reasons = tuple(Reason(fault.path, fault.message) for fault in refusal.violations)
                    rejected.append(Rejection(kind, refusal.namespace, refusal.name, reasons))
    return build.build(Objects(read["ModelRoute"], read["ModelServer"], pods=read["Pod"]), rejected=tuple(rejected))


def _collection(kind: str, namespace: str) -> str:
    group = "/api/v1" if kind == "Pod" else f"/apis/{decoding.API_VERSION}"
    return f"{group}/namespaces/{namespace}/{kind.lower()}s"


def stored(resource: ModelRoute | ModelServer) -> Object:
    """An object as it is written to an API server."""
    obj = resource.as_object()
    meta = obj["metadata"]
    kept = {key: meta[key] for key in ("name", "namespace", "labels", "annotations") if key in meta}
    return {**obj, "metadata": kept}


def route(namespace: str, name: str, *rules: Mapping[str, Any], model: str = "m", **spec: Any) -> Object:
    return stored(given.route(name, *rules, model=model, namespace=namespace, **spec))


def routes(namespace: str, count: int) -> list[Object]:
    """`r0`, `r1` and so on, each for a model of its own, to a ModelServer `s`."""
    return [route(namespace, f"r{number}", given.to("s"), model=f"m{number}") for number in range(count)]


def model_server(namespace: str, name: str, endpoints: str = "") -> Object:
    return stored(given.server(name, endpoints, namespace=namespace))


def conditions_of(server: KubeApiServer, obj: Object) -> dict[str, dict[str, Any]]:
    """What stands in an object's status, by type."""
    status = server.get(obj).get("status", {})
    return {entry["type"]: entry for entry in status.get("conditions", [])}


def reasons_of(server: KubeApiServer, obj: Object) -> dict[str, tuple[str, str]]:
    """Status and reason of each condition that stands."""
    return {kind: (entry["status"], entry["reason"]) for kind, entry in conditions_of(server, obj).items()}


def bind(server: KubeApiServer, namespace: str, account: str, rules: list[Object]) -> None:
    """Give a ServiceAccount these rights in its namespace; the API server hears of it a moment later."""
    meta = {"namespace": namespace, "name": account}
    version = "rbac.authorization.k8s.io/v1"
    server.apply(
        {"apiVersion": version, "kind": "Role", "metadata": meta, "rules": rules},
        {
            "apiVersion": version,
            "kind": "RoleBinding",
            "metadata": meta,
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": account},
            "subjects": [{"kind": "ServiceAccount", "name": account, "namespace": namespace}],
        },
    )
