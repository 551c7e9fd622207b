"""What was read: typed objects and pods in a `Builder`, what was set aside, and ModelServers that wait for their pods.

A ModelServer that was in service and now selects by label keys that are not known of the pods yet is held back, and its
former version serves, until its pods are known (`on_pods`). `tell` is called after whatever changed something.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from kthena_fast.kube.listed import Listed
from kthena_fast.resources import decoding, size
from kthena_fast.resources.external_model_provider import ExternalModelProvider
from kthena_fast.resources.model_route import ModelRoute
from kthena_fast.resources.model_server import ModelServer
from kthena_fast.routing.incremental import Builder
from kthena_fast.routing.objects import Reason, Rejection
from kthena_fast.sources.kubernetes import pods
from kthena_fast.sources.kubernetes.pods import PodRecord

Knows = Callable[[str, frozenset[str]], bool]
"""Whether the pods of a namespace are known with their labels of these keys."""


def selected_keys(server: ModelServer) -> frozenset[str]:
    """The label keys by which a ModelServer tells pods apart; none: it asks for no pods."""
    selector = server.spec.workload_selector
    if server.endpoints or not selector.match_labels:
        return frozenset()
    group = selector.pd_group
    if group is None:
        return frozenset(selector.match_labels)
    return frozenset((*selector.match_labels, group.group_key, *group.prefill_labels, *group.decode_labels))


class Inventory:
    """Everything that was read and is still there."""

    def __init__(self, tell: Callable[[], None]) -> None:
        self.builder = Builder()
        self.tell = tell
        self.knows: Knows = lambda _, __: False
        self._rejected: dict[tuple[str, str], Rejection] = {}
        self._in_order: tuple[Rejection, ...] | None = ()
        self._waiting: dict[str, ModelServer] = {}
        self._selecting: dict[str, dict[str, frozenset[str]]] = {}
        """By namespace and ModelServer."""

    @property
    def rejected(self) -> tuple[Rejection, ...]:
        """In the order of their kinds and names."""
        if self._in_order is None:
            self._in_order = tuple(rejection for _, rejection in sorted(self._rejected.items()))
        return self._in_order

    def selected(self) -> dict[str, frozenset[str]]:
        """The namespaces in which ModelServers ask for pods, with the label keys that they name."""
        return {namespace: frozenset[str]().union(*servers.values()) for namespace, servers in self._selecting.items()}

    # Typed objects

    def put(self, resource: decoding.AnyResource) -> None:
        match resource:
            case ModelRoute():
                self.builder.put_route(resource)
            case ModelServer():
                self._put_server(resource)
            case ExternalModelProvider():
                self.builder.put_provider(resource)

    def drop(self, kind: str, key: str) -> None:
        match kind:
            case ModelRoute.KIND:
                self.builder.drop_route(key)
            case ModelServer.KIND:
                self._waiting.pop(key, None)
                self._select(key, frozenset())
                self.builder.drop_server(key)
            case ExternalModelProvider.KIND:
                self.builder.drop_provider(key)

    def has(self, kind: str, key: str) -> bool:
        return key in self._known(kind) or (kind == ModelServer.KIND and key in self._waiting)

    def drop_another(self, kind: str, key: str, uid: str) -> None:
        """Drop what goes by this name and is another object: its end was missed."""
        match self._known(kind).get(key):
            case (ModelRoute() | ModelServer() | ExternalModelProvider()) as known if known.metadata.uid != uid:
                self.drop(kind, key)

    def keys(self, kind: str, namespace: str) -> list[str]:
        """The objects of a kind in a namespace (empty: in all), those that are set aside too."""
        prefix = f"{namespace}/" if namespace else ""
        set_aside = (key for of, key in self._rejected if of == kind)
        return [key for key in {*self._known(kind), *set_aside} if key.startswith(prefix)]

    def _known(self, kind: str) -> Mapping[str, object]:
        builder = self.builder
        known: Mapping[str, Mapping[str, object]] = {
            ModelRoute.KIND: builder.routes,
            ModelServer.KIND: builder.servers,
            ExternalModelProvider.KIND: builder.providers,
            "Pod": builder.pods,
        }
        return known[kind]

    # What is set aside

    def reject(self, kind: str, key: str, reasons: tuple[Reason, ...], *, kept: bool) -> None:
        namespace, _, name = key.partition("/")
        self._rejected[kind, key] = Rejection(kind, namespace, name, reasons, kept=kept)
        self._in_order = None

    def accept(self, kind: str, key: str) -> None:
        """It is no longer set aside."""
        if self._rejected.pop((kind, key), None) is not None:
            self._in_order = None

    # ModelServers and their pods

    def _put_server(self, server: ModelServer) -> None:
        key, keys = server.metadata.key, selected_keys(server)
        self._select(key, keys)
        if not keys or self.knows(server.metadata.namespace, keys):
            self._waiting.pop(key, None)
            self.builder.put_server(server)
        elif key in self.builder.servers:
            self._waiting[key] = server
        else:
            # It serves nothing either way; its pods come as they become known.
            self.builder.put_server(server)

    def drop_pod(self, key: str) -> bool:
        """Whether it was there."""
        if key not in self.builder.pods:
            return False
        self.builder.drop_pod(key)
        return True

    def on_pods(self) -> None:
        """Pods are known better than before."""
        for key, server in list(self._waiting.items()):
            if self.knows(server.metadata.namespace, selected_keys(server)):
                del self._waiting[key]
                self.builder.put_server(server)

    def _select(self, key: str, keys: frozenset[str]) -> None:
        namespace = key.partition("/")[0]
        servers = self._selecting.setdefault(namespace, {})
        if keys:
            servers[key] = keys
        else:
            servers.pop(key, None)
        if not servers:
            del self._selecting[namespace]


class ObjectStore:
    """Where a reflector puts the objects of one kind, of one namespace or of all."""

    def __init__(self, inventory: Inventory, kind: str, namespace: str) -> None:
        self._inventory = inventory
        self._kind = kind
        self._namespace = namespace
        self._listed = Listed()
        self._marks: dict[str, tuple[Any, ...]] = {}
        """Of each object, what tells whether it has to be read anew."""
        self._is_changed = False

    def begin(self) -> None:
        """See `kube.reflector.Store`."""
        self._listed.begin()

    def put(self, obj: Any) -> None:
        """See `kube.reflector.Store`."""
        key = _key(obj)
        self._listed.note(key)
        mark = _mark(obj)
        if mark is not None and self._marks.get(key) == mark:
            # Its status changed, or it was listed anew.
            return
        if mark is not None:
            self._marks[key] = mark
        self._is_changed = True
        inventory, kind = self._inventory, self._kind
        # Before it is looked at: whatever becomes of it, what had its name is gone.
        inventory.drop_another(kind, key, _uid(obj))
        if size.is_too_large(obj.get("spec")):
            inventory.reject(kind, key, (Reason("spec", size.TOO_LARGE),), kept=inventory.has(kind, key))
            return
        try:
            resource = decoding.decode({**obj, "apiVersion": decoding.API_VERSION, "kind": kind})
        except decoding.Rejected as fault:
            reasons = tuple(Reason(violation.path, violation.message) for violation in fault.violations)
            inventory.reject(kind, key, reasons, kept=inventory.has(kind, key))
        else:
            inventory.accept(kind, key)
            inventory.put(resource)

    def drop(self, obj: Any) -> None:
        """See `kube.reflector.Store`."""
        self._forget(_key(obj))

    def settle(self) -> None:
        """See `kube.reflector.Store`."""
        listed = self._listed.settle()
        for key in self._inventory.keys(self._kind, self._namespace):
            if key not in listed:
                self._forget(key)
        self._is_changed = True

    def flush(self) -> None:
        """See `kube.reflector.Store`."""
        if self._is_changed:
            self._is_changed = False
            self._inventory.tell()

    def _forget(self, key: str) -> None:
        self._marks.pop(key, None)
        self._inventory.accept(self._kind, key)
        self._inventory.drop(self._kind, key)
        self._is_changed = True


class PodStore:
    """Where a reflector puts the pods of one namespace or of all, with the labels of `keys`.

    A pod that has none of them can be selected by nothing, and is not kept.
    """

    KIND = "Pod"

    def __init__(
        self, inventory: Inventory, namespace: str, keys: frozenset[str], on_settled: Callable[[], None] = lambda: None
    ) -> None:
        self.keys = keys
        self.is_settled = False
        """Whether all pods were read with the labels of `keys`."""
        self.left_out: set[str] = set()
        """Namespaces whose pods another store has by now: what comes here may be older."""
        self._on_settled = on_settled
        self._inventory = inventory
        self._namespace = namespace
        self._listed = Listed()
        self._is_changed = False

    def begin(self) -> None:
        """See `kube.reflector.Store`."""
        self._listed.begin()

    def put(self, obj: Any) -> None:
        """See `kube.reflector.Store`."""
        inventory, key = self._inventory, _key(obj)
        self._listed.note(key)
        if self._is_left_out(key):
            return
        before = inventory.builder.pods.get(key)
        try:
            record = pods.project(obj, self.keys, before if isinstance(before, PodRecord) else None)
        except pods.Malformed as fault:
            is_another = before is not None and before.uid != _uid(obj)
            if is_another:
                # Its end was missed, and its address may be somebody else's by now.
                self._forget(key)
            inventory.reject(self.KIND, key, (fault.reason,), kept=before is not None and not is_another)
            self._is_changed = True
            return
        inventory.accept(self.KIND, key)
        if not record.labels:
            self._forget(key)
        elif record != before:
            inventory.builder.put_pod(record)
            self._is_changed = True

    def drop(self, obj: Any) -> None:
        """See `kube.reflector.Store`."""
        key = _key(obj)
        if not self._is_left_out(key):
            self._inventory.accept(self.KIND, key)
            self._forget(key)

    def settle(self) -> None:
        """See `kube.reflector.Store`."""
        listed = self._listed.settle()
        for key in self._inventory.keys(self.KIND, self._namespace):
            if key not in listed and not self._is_left_out(key):
                self._inventory.accept(self.KIND, key)
                self._forget(key)
        self.is_settled = True
        self._on_settled()
        self._inventory.on_pods()
        self._is_changed = True

    def flush(self) -> None:
        """See `kube.reflector.Store`."""
        if self._is_changed:
            self._is_changed = False
            self._inventory.tell()

    def _is_left_out(self, key: str) -> bool:
        return bool(self.left_out) and key.partition("/")[0] in self.left_out

    def _forget(self, key: str) -> None:
        if self._inventory.drop_pod(key):
            self._is_changed = True


def _key(obj: Any) -> str:
    """`namespace/name` of whatever it is; the API server lets no object be without."""
    meta = obj.get("metadata") if isinstance(obj, dict) else None
    if not isinstance(meta, dict):
        return "/"
    return f"{meta.get('namespace')}/{meta.get('name')}"


def _uid(obj: Any) -> str:
    meta = obj.get("metadata") if isinstance(obj, dict) else None
    uid = meta.get("uid") if isinstance(meta, dict) else None
    return uid if isinstance(uid, str) else ""


def _mark(obj: Any) -> tuple[Any, ...] | None:
    """Equal for two versions of an object that mean the same to the gateway; None: that cannot be told."""
    meta = obj.get("metadata") if isinstance(obj, dict) else None
    if not isinstance(meta, dict) or not meta.get("generation"):
        return None
    return meta.get("uid"), meta["generation"], meta.get("annotations")
