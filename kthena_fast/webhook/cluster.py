"""What is known of the cluster's objects, for warnings: names and ages, and nothing else of them.

1. A kind is known completely or not at all: before its first list has come, nothing is said about it. What was known
   stays while the API server is away.
2. Objects come as the API server sends them, and may be of any shape: they are looked at before any rule holds.
3. Which route is asked first is the gateway's order (`routing/table.py`, rules 1 and 2).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, NamedTuple

from kthena_fast.kube.listed import Listed
from kthena_fast.resources import structure
from kthena_fast.resources.cautions import Caution
from kthena_fast.resources.external_model_provider import ExternalModelProvider
from kthena_fast.resources.model_route import ModelRoute
from kthena_fast.resources.model_server import ModelServer

Age = tuple[bool, float, str, str]
"""Sorts the oldest first, and what was never stored last."""


class Cluster:
    """Fed through its stores (`kube.reflector.Store`), asked by every review."""

    def __init__(self) -> None:
        self.routes = Routes()
        self.servers = Names()
        self.providers = Names()

    def cautions(self, route: ModelRoute) -> Iterator[Caution]:
        """What the other objects have to say about a route, in the order of its fields."""
        schema = structure.schema(ModelRoute)
        for at, message in (*self._served_already(route), *self._dangling(route)):
            yield Caution(structure.path(schema, ("spec", *at)), message, ("spec", *at))

    def _dangling(self, route: ModelRoute) -> Iterator[tuple[structure.Location, str]]:
        namespace = route.metadata.namespace
        told: set[tuple[str, str]] = set()
        for index, rule in enumerate(route.spec.rules):
            for place, target in enumerate(rule.target_models):
                for kind, field, name, there in (
                    (ModelServer.KIND, "modelServerName", target.model_server_name, self.servers),
                    (
                        ExternalModelProvider.KIND,
                        "externalModelProviderName",
                        target.external_model_provider_name,
                        self.providers,
                    ),
                ):
                    if name and (kind, name) not in told and there.lacks(f"{namespace}/{name}"):
                        told.add((kind, name))
                        yield (
                            ("rules", index, "targetModels", place, field),
                            f"the namespace {namespace!r} has no {kind} {name!r} yet: until then it gets no requests",
                        )

    def _served_already(self, route: ModelRoute) -> Iterator[tuple[structure.Location, str]]:
        spec, meta, routes = route.spec, route.metadata, self.routes
        if spec.parent_refs:
            return
        age = _age(meta.creation_timestamp, meta.namespace, meta.name)
        older = routes.first_of_model(spec.model_name or "", meta.key)
        if older is not None and older[0] < age:
            yield (
                ("modelName",),
                f"{spec.model_name!r} is served by the older ModelRoute {older[1]} already, which is asked first",
            )
        for index, adapter in enumerate(spec.lora_adapters):
            base, older = routes.first_of_model(adapter, meta.key), routes.first_of_adapter(adapter, meta.key)
            if base is not None:
                yield (
                    ("loraAdapters", index),
                    f"{adapter!r} is the modelName of the ModelRoute {base[1]}, which is asked first",
                )
            elif older is not None and older[0] < age:
                yield (
                    ("loraAdapters", index),
                    f"{adapter!r} is served by the older ModelRoute {older[1]} already, which is asked first",
                )


class Names:
    """Which objects of a kind there are."""

    def __init__(self) -> None:
        self._there: set[str] = set()
        self._listed = Listed()
        self._is_known = False

    def lacks(self, key: str) -> bool:
        """Whether it is known that there is no `namespace/name`."""
        return self._is_known and key not in self._there

    def begin(self) -> None:
        self._listed.begin()

    def put(self, obj: Any) -> None:
        key = _key(obj)
        self._there.add(key)
        self._listed.note(key)

    def drop(self, obj: Any) -> None:
        self._there.discard(_key(obj))

    def settle(self) -> None:
        self._there &= self._listed.settle()
        self._is_known = True

    def flush(self) -> None:
        pass


class _Route(NamedTuple):
    age: Age
    model: str
    adapters: tuple[str, ...]


class Routes:
    """Which routes have which names. Routes with `parentRefs` are left out, as the gateway leaves them."""

    def __init__(self) -> None:
        self._routes: dict[str, _Route] = {}
        self._of_model: dict[str, set[str]] = {}
        self._of_adapter: dict[str, set[str]] = {}
        self._listed = Listed()

    def first_of_model(self, name: str, besides: str) -> tuple[Age, str] | None:
        """Age and key of the oldest route whose `modelName` this is, the one named `besides` left out."""
        return self._first(self._of_model, name, besides)

    def first_of_adapter(self, name: str, besides: str) -> tuple[Age, str] | None:
        """The same of the routes that have the name as an adapter."""
        return self._first(self._of_adapter, name, besides)

    def _first(self, index: Mapping[str, set[str]], name: str, besides: str) -> tuple[Age, str] | None:
        return min(((self._routes[key].age, key) for key in index.get(name, ()) if key != besides), default=None)

    def begin(self) -> None:
        self._listed.begin()

    def put(self, obj: Any) -> None:
        key = _key(obj)
        self._listed.note(key)
        self._remove(key)
        route = _projected(obj)
        if route is None:
            return
        self._routes[key] = route
        if route.model:
            self._of_model.setdefault(route.model, set()).add(key)
        for adapter in route.adapters:
            self._of_adapter.setdefault(adapter, set()).add(key)

    def drop(self, obj: Any) -> None:
        self._remove(_key(obj))

    def settle(self) -> None:
        for key in self._routes.keys() - self._listed.settle():
            self._remove(key)

    def flush(self) -> None:
        pass

    def _remove(self, key: str) -> None:
        route = self._routes.pop(key, None)
        if route is None:
            return
        for index, names in ((self._of_model, (route.model,)), (self._of_adapter, route.adapters)):
            for name in names:
                keys = index.get(name, set())
                keys.discard(key)
                if not keys:
                    index.pop(name, None)


def _age(created: datetime | None, namespace: str, name: str) -> Age:
    return created is None, created.timestamp() if created is not None else 0.0, namespace, name


def _names(obj: Any) -> tuple[str, str]:
    meta = obj.get("metadata") if isinstance(obj, Mapping) else None
    if not isinstance(meta, Mapping):
        return "", ""
    return str(meta.get("namespace") or ""), str(meta.get("name") or "")


def _key(obj: Any) -> str:
    return "/".join(_names(obj))


def _projected(obj: Any) -> _Route | None:
    """A route's names; None: the gateway sets it aside."""
    spec = obj.get("spec") if isinstance(obj, Mapping) else None
    if not isinstance(spec, Mapping) or spec.get("parentRefs"):
        return None
    try:
        created = datetime.fromisoformat(obj["metadata"]["creationTimestamp"])
    except (KeyError, TypeError, ValueError):
        created = None
    model, adapters = spec.get("modelName"), spec.get("loraAdapters")
    return _Route(
        _age(created, *_names(obj)),
        model if isinstance(model, str) else "",
        tuple(name for name in adapters if isinstance(name, str) and name) if isinstance(adapters, list) else (),
    )
