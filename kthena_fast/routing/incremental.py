"""The same snapshot as `build` makes of the whole, kept up object by object: a change costs what it touches.

1. Objects are put and dropped in any order; `work` then does what they made necessary, so many pieces at a time, and
   `snapshot` gives what is so now. For the same objects it is what `build.build` gives
   (tests/routing/test_incremental.py).
2. A pod that serves again, or was changed in what does not matter, is the same `Pod` as in the last snapshot.
3. What a snapshot shares with the one before is shared, not copied; what it holds is never changed afterwards.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Generic, TypeVar

from kthena_fast.resources.external_model_provider import ExternalModelProvider
from kthena_fast.resources.model_route import ModelRoute
from kthena_fast.resources.model_server import ModelServer
from kthena_fast.routing import build, shards, table
from kthena_fast.routing.objects import Objects, PodObject, Rejection, Unsupported
from kthena_fast.routing.snapshot import Pod, Server, Snapshot

Label = tuple[str, str, str]
"""Namespace, key and value of a pod's label."""

V = TypeVar("V")


class _Kept(Generic[V]):
    """A mapping that changes, and a copy of it that does not: a new one only after a change."""

    __slots__ = ("_copy", "now")

    def __init__(self) -> None:
        self.now: dict[str, V] = {}
        self._copy: dict[str, V] | None = {}

    def put(self, key: str, value: V) -> None:
        self.now[key] = value
        self._copy = None

    def drop(self, key: str) -> V | None:
        if key in self.now:
            self._copy = None
        return self.now.pop(key, None)

    def copy(self) -> Mapping[str, V]:
        if self._copy is None:
            self._copy = dict(self.now)
        return self._copy


class Builder:
    """Holds the objects as they are now and makes snapshots of them. Not for two threads at once."""

    def __init__(self) -> None:
        self._routes: _Kept[ModelRoute] = _Kept()
        self._resources: _Kept[ModelServer] = _Kept()
        self._providers: _Kept[ExternalModelProvider] = _Kept()
        self._pods: shards.Kept[PodObject] = shards.Kept()
        self._servers: _Kept[Server] = _Kept()
        self._reached: shards.Kept[Pod] = shards.Kept()
        self._members: dict[str, dict[str, Pod]] = {}
        """Of each ModelServer, what it reaches, by the key of the object or the name of the endpoint."""
        self._by_label: dict[Label, dict[str, PodObject]] = {}
        """The pods that carry it."""
        self._selecting: dict[Label, dict[str, ModelServer]] = {}
        """The ModelServers that are found by it: each is under one label of its selector."""
        self._chief: dict[str, Label] = {}
        """By ModelServer, that label: when it came, the one by which the fewest others were found."""
        self._unsupported: dict[tuple[str, str], tuple[Unsupported, ...]] = {}
        self._in_order: tuple[Unsupported, ...] | None = ()
        """All of it, until it changes."""
        self._changed: dict[str, None] = {}
        """ModelServers to be made anew, in the order in which they changed."""
        self._table = table.EMPTY
        self._snapshot = build.EMPTY

    @property
    def routes(self) -> Mapping[str, ModelRoute]:
        return self._routes.now

    @property
    def servers(self) -> Mapping[str, ModelServer]:
        return self._resources.now

    @property
    def providers(self) -> Mapping[str, ExternalModelProvider]:
        return self._providers.now

    @property
    def pods(self) -> Mapping[str, PodObject]:
        return self._pods

    @property
    def has_work(self) -> bool:
        return bool(self._changed)

    # What happens to objects

    def put_route(self, route: ModelRoute) -> None:
        self._routes.put(route.metadata.key, route)
        self._announce(route)

    def drop_route(self, key: str) -> None:
        self._routes.drop(key)
        self._announce_no_more(ModelRoute.KIND, key)

    def put_provider(self, provider: ExternalModelProvider) -> None:
        self._providers.put(provider.metadata.key, provider)
        self._announce(provider)

    def drop_provider(self, key: str) -> None:
        self._providers.drop(key)
        self._announce_no_more(ExternalModelProvider.KIND, key)

    def put_server(self, server: ModelServer) -> None:
        key = server.metadata.key
        self._leave(key)
        self._resources.put(key, server)
        self._announce(server)
        labels = _selected(server)
        if labels:
            chief = min(labels, key=lambda label: (len(self._selecting.get(label, ())), label))
            self._chief[key] = chief
            self._selecting.setdefault(chief, {})[key] = server
        if server.endpoints:
            members = {pod.name: self._known(pod) for pod in build.from_endpoints(server)}
        else:
            members = {pod.key: self._known(build.from_pod(server, pod)) for pod in self._of(server)}
        self._members[key] = members
        self._changed[key] = None

    def drop_server(self, key: str) -> None:
        self._leave(key)
        if self._resources.drop(key) is not None:
            self._announce_no_more(ModelServer.KIND, key)
            self._members.pop(key, None)
            self._changed[key] = None

    def put_pod(self, pod: PodObject) -> None:
        key = pod.key
        before = self._pods.get(key)
        self._pods.put(key, pod)
        if before is not None and before.labels != pod.labels:
            self._unlabel(before)
        if before is None or before.labels != pod.labels:
            for label in _labels(pod):
                self._by_label.setdefault(label, {})[key] = pod
        else:
            for label in _labels(pod):
                self._by_label[label][key] = pod
        if before is not None and before.ready:
            for name, server in self._asking(before):
                if not (pod.ready and build.selects(server, pod)):
                    self._lose(name, key)
        if pod.ready:
            for name, server in self._asking(pod):
                if build.selects(server, pod):
                    self._gain(name, key, build.from_pod(server, pod))

    def drop_pod(self, key: str) -> None:
        before = self._pods.drop(key)
        if before is not None:
            self._unlabel(before)
            for name, _ in self._asking(before):
                self._lose(name, key)

    # What follows from it

    def work(self, servers: int) -> bool:
        """Make so many of the changed ModelServers anew; True where none is left."""
        for key in list(self._changed)[:servers]:
            del self._changed[key]
            self._make(key)
        return not self._changed

    def snapshot(self, rejected: tuple[Rejection, ...] = ()) -> Snapshot:
        """Everything as it is now; does the work that is left."""
        self.work(len(self._changed))
        if self._in_order is None:
            self._in_order = tuple(entry for _, found in sorted(self._unsupported.items()) for entry in found)
        routes = self._routes.copy()
        if routes is not self._snapshot.objects.routes:
            self._table = table.compile_table(routes, self._table)
        self._snapshot = Snapshot(
            objects=Objects(routes, self._resources.copy(), self._providers.copy(), self._pods.copy()),
            table=self._table,
            servers=self._servers.copy(),
            pods=self._reached.copy(),
            rejected=rejected,
            unsupported=self._in_order,
        )
        return self._snapshot

    def _make(self, key: str) -> None:
        before = self._servers.now.get(key)
        resource = self._resources.now.get(key)
        own = build.in_order(self._members[key].values()) if resource is not None else ()
        staying = {pod.key: pod for pod in own}
        if before is not None:
            for pod in before.pods:
                if staying.get(pod.key) is not pod:
                    self._reached.drop(pod.key)
        for pod in own:
            if self._reached.get(pod.key) is not pod:
                self._reached.put(pod.key, pod)
        if resource is None:
            self._servers.drop(key)
        elif before is None or before.pods != own or self._snapshot.objects.servers.get(key) is not resource:
            self._servers.put(key, build.server_of(resource, own, before))

    def _known(self, pod: Pod) -> Pod:
        """Rule 2."""
        return self._snapshot.pods.get(pod.key, pod)

    def _gain(self, server: str, key: str, pod: Pod) -> None:
        members = self._members[server]
        before = members.get(key)
        if before is None or before.key != pod.key:
            members[key] = self._known(pod)
            self._changed[server] = None

    def _lose(self, server: str, key: str) -> None:
        if self._members[server].pop(key, None) is not None:
            self._changed[server] = None

    # Who belongs to whom

    def _asking(self, pod: PodObject) -> Iterator[tuple[str, ModelServer]]:
        """The ModelServers whose pod it may be."""
        for label in _labels(pod):
            for name, server in self._selecting.get(label, {}).items():
                if not server.endpoints:
                    yield name, server

    def _of(self, server: ModelServer) -> Iterator[PodObject]:
        """The ready pods of a ModelServer."""
        carriers = (self._by_label.get(label, {}) for label in _selected(server))
        for pod in min(carriers, key=len, default={}).values():
            if pod.ready and build.selects(server, pod):
                yield pod

    def _leave(self, key: str) -> None:
        """A ModelServer asks for nothing any more."""
        chief = self._chief.pop(key, None)
        if chief is not None:
            asking = self._selecting[chief]
            del asking[key]
            if not asking:
                del self._selecting[chief]

    def _unlabel(self, pod: PodObject) -> None:
        for label in _labels(pod):
            carriers = self._by_label[label]
            del carriers[pod.key]
            if not carriers:
                del self._by_label[label]

    def _announce(self, resource: build.Announcing) -> None:
        found = tuple(build.unsupported_by(resource))
        if found:
            self._unsupported[resource.KIND, resource.metadata.key] = found
            self._in_order = None
        else:
            self._announce_no_more(resource.KIND, resource.metadata.key)

    def _announce_no_more(self, kind: str, key: str) -> None:
        if self._unsupported.pop((kind, key), None) is not None:
            self._in_order = None


def _labels(pod: PodObject) -> Iterator[Label]:
    namespace = pod.namespace
    for key, value in pod.labels.items():
        yield namespace, key, value


def _selected(server: ModelServer) -> list[Label]:
    """The labels that a ModelServer asks for; none: it selects nothing."""
    namespace = server.metadata.namespace
    return [(namespace, key, value) for key, value in server.spec.workload_selector.match_labels.items()]
