"""From a source's objects to the snapshot that requests read.

1. What did not change is taken over from the previous snapshot: the table of routes, servers whose object and pods are
   the same, and pods, always (`snapshot`, rule 2). Objects are compared by identity.
2. A ModelServer's pods are its `engines` if the source gives any, else those that its annotation names, else the ready
   pods of its namespace that carry all its labels; with a `pdGroup` only those that decode. A pod that no longer
   carries them is gone with the next snapshot (upstream keeps it in service).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TypeAlias

from kthena_fast.resources import announcements
from kthena_fast.resources.external_model_provider import ExternalModelProvider
from kthena_fast.resources.model_route import ModelRoute
from kthena_fast.resources.model_server import ModelServer
from kthena_fast.routing import table
from kthena_fast.routing.objects import Engine, Objects, PodObject, Rejection, Unsupported
from kthena_fast.routing.snapshot import Pod, Server, Snapshot

Announcing: TypeAlias = ModelRoute | ModelServer | ExternalModelProvider

EMPTY = Snapshot(objects=Objects(), table=table.EMPTY, servers={}, pods={}, rejected=(), unsupported=())
"""What is in service before anything was read."""


def build(objects: Objects, previous: Snapshot = EMPTY, rejected: tuple[Rejection, ...] = ()) -> Snapshot:
    """The snapshot of these objects; `rejected` is what the source set aside, kept for those who ask."""
    ready = _ReadyPods(objects)
    servers: dict[str, Server] = {}
    pods: dict[str, Pod] = {}
    for key, resource in objects.servers.items():
        engines = objects.engines.get(key)
        reached = _from_engines(resource, engines) if engines is not None else _from_objects(resource, ready)
        own = in_order(known if (known := previous.pods.get(pod.key)) is not None else pod for pod in reached)
        pods.update((pod.key, pod) for pod in own)
        before = previous.servers.get(key)
        if before is None or before.pods != own or previous.objects.servers.get(key) is not resource:
            before = server_of(resource, own, before)
        servers[key] = before
    return Snapshot(
        objects=objects,
        table=table.compile_table(objects.routes, previous.table),
        servers=servers,
        pods=pods,
        rejected=rejected,
        unsupported=tuple(_unsupported(objects, previous)),
    )


def in_order(pods: Iterable[Pod]) -> tuple[Pod, ...]:
    """The pods of a server as `Server.pods` has them."""
    return tuple(sorted(pods, key=lambda pod: pod.key))


def server_of(resource: ModelServer, pods: tuple[Pod, ...], before: Server | None) -> Server:
    """The server with these pods; `before` is what it was in the snapshot in service."""
    server = Server(
        resource.metadata.key,
        engine=resource.spec.inference_engine,
        model=resource.rewrite_model,
        pods=pods,
        timeout=resource.timeout,
        retry_attempts=resource.retry_attempts,
        retry_interval=resource.retry_interval,
    )
    if before is not None:
        # Starting over at every change would send ties to the first pod whenever pods come and go.
        server.turn = before.turn
    return server


class _ReadyPods:
    """The ready pods by namespace and label, for those label keys that a ModelServer selects by.

    Without it, every server would be held against every pod of its namespace.
    """

    def __init__(self, objects: Objects) -> None:
        keys = {key for server in objects.servers.values() for key in server.spec.workload_selector.match_labels}
        self._by_label: dict[tuple[str, str, str], list[PodObject]] = {}
        for pod in objects.pods.values():
            if pod.ready:
                for key, value in pod.labels.items():
                    if key in keys:
                        self._by_label.setdefault((pod.namespace, key, value), []).append(pod)

    def of(self, server: ModelServer) -> Iterator[PodObject]:
        selector = server.spec.workload_selector
        namespace = server.metadata.namespace
        lists = [self._by_label.get((namespace, *label), []) for label in selector.match_labels.items()]
        for pod in min(lists, key=len, default=[]):
            if selects(server, pod):
                yield pod


def selects(server: ModelServer, pod: PodObject) -> bool:
    """Whether a pod of the server's namespace serves it once it is ready: rule 2."""
    selector = server.spec.workload_selector
    labels = pod.labels
    return selector.selects(labels) and (selector.pd_group is None or selector.pd_group.role(labels) == "decode")


def _from_engines(server: ModelServer, engines: Iterable[Engine]) -> Iterator[Pod]:
    for engine in engines:
        yield _pod(
            server,
            engine.name,
            "",
            engine.host,
            engine.port,
            tls=engine.tls,
            prefix=engine.prefix,
            server_name=engine.server_name,
        )


def _from_objects(server: ModelServer, ready: _ReadyPods) -> Iterator[Pod]:
    if server.endpoints:
        yield from from_endpoints(server)
    else:
        for pod in ready.of(server):
            yield from_pod(server, pod)


def from_endpoints(server: ModelServer) -> Iterator[Pod]:
    """The engines that the server's annotation names."""
    tls = server.spec.workload_port.protocol == "https"
    for host, number in server.endpoints:
        name = f"[{host}]:{number}" if ":" in host else f"{host}:{number}"
        yield _pod(server, name, "", host, number, tls=tls)


def from_pod(server: ModelServer, pod: PodObject) -> Pod:
    """The pod as this server reaches it."""
    port = server.spec.workload_port
    return _pod(server, pod.name, pod.uid, pod.ip, port.port, tls=port.protocol == "https")


def _pod(
    server: ModelServer,
    name: str,
    uid: str,
    host: str,
    port: int,
    *,
    tls: bool,
    prefix: bytes = b"",
    server_name: str = "",
) -> Pod:
    scheme = "https" if tls else "http"
    # Only a uid could hold a space, so two different pods never share a key.
    key = f"{server.metadata.key} {name} {uid!r} {scheme} {server_name} {host} {port} {prefix.decode('latin-1')}"
    return Pod(key, server.metadata.namespace, name, host, port, tls=tls, prefix=prefix, server_name=server_name)


def _unsupported(objects: Objects, previous: Snapshot) -> Iterator[Unsupported]:
    known: dict[tuple[str, str, str], list[Unsupported]] = {}
    for entry in previous.unsupported:
        known.setdefault((entry.kind, entry.namespace, entry.name), []).append(entry)
    kinds: tuple[tuple[Mapping[str, Announcing], Mapping[str, Announcing]], ...] = (
        (objects.routes, previous.objects.routes),
        (objects.servers, previous.objects.servers),
        (objects.providers, previous.objects.providers),
    )
    for now, before in kinds:
        for key, resource in now.items():
            meta = resource.metadata
            if before.get(key) is resource:
                yield from known.get((resource.KIND, meta.namespace, meta.name), ())
                continue
            yield from unsupported_by(resource)


def unsupported_by(resource: Announcing) -> Iterator[Unsupported]:
    """What this object asks for and does not get."""
    meta = resource.metadata
    for found in announcements.announcements(resource):
        yield Unsupported(resource.KIND, meta.namespace, meta.name, found.path, found.field, found.reason)
