"""What a snapshot says about each ModelRoute and ModelServer: all that their conditions follow from, and no more.

1. A finding is small and compares cheaply; `conditions` makes sentences of it, and only of those that changed.
2. `Findings.look` goes through a snapshot in pieces, between which others may run: nothing in a snapshot changes. What
   it saw of an earlier snapshot is kept, and only what differs is reported.
3. A route is shadowed under a name by an older rule that takes every request for it. What decides is what stands in
   objects: whether pods are ready just now is no part of it, or a server that comes and goes would write to every
   route under its name. So a route that is shadowed still serves while no target of the older rule has a ready pod
   (`table.Candidates.choose`), and the sentence says so.
4. An object that was set aside is found as that, also where its last good version serves on.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, TypeAlias

from kthena_fast.resources.model_route import ModelRoute
from kthena_fast.resources.model_server import ModelServer
from kthena_fast.routing.objects import Rejection
from kthena_fast.routing.snapshot import Match, Snapshot
from kthena_fast.routing.table import Candidate

KINDS = (ModelRoute.KIND, ModelServer.KIND)

PIECE = 50
"""Objects that are looked at without a pause: about a millisecond."""

DEEPEST = 1000
"""Rules of one name among which one is looked for that takes every request: it is one of the first, or there is none.
Ten thousand routes under one name would otherwise be a long piece."""


class Identity(NamedTuple):
    """Which object."""

    kind: str
    key: str
    """`namespace/name`."""


class Dangling(NamedTuple):
    """A target of a route that leads nowhere."""

    rule: int
    target: int
    kind: str
    key: str
    """`namespace/name` of what it names."""


class Shadow(NamedTuple):
    """A name of a route under which another route takes every request."""

    model: str
    by: str
    """`namespace/name` of the other ModelRoute."""
    is_tier: bool
    """The name is an adapter here and the other route's modelName, which goes first whether or not it can serve."""


class OfRoute(NamedTuple):
    """A ModelRoute that was read."""

    route: ModelRoute
    dangling: tuple[Dangling, ...]
    shadows: tuple[Shadow, ...]


class OfServer(NamedTuple):
    """A ModelServer that was read."""

    server: ModelServer
    has_pods: bool


class Refused(NamedTuple):
    """An object that was set aside."""

    rejection: Rejection


Finding: TypeAlias = OfRoute | OfServer | Refused


class Findings:
    """What was found of each object of the snapshots looked at so far."""

    def __init__(self) -> None:
        self._known: dict[Identity, Finding] = {}
        self._last: Snapshot | None = None

    def get(self, identity: Identity) -> Finding | None:
        """What was found last; None: the object is gone, or was never seen."""
        return self._known.get(identity)

    def __len__(self) -> int:
        return len(self._known)

    def look(self, snapshot: Snapshot) -> Iterator[list[Identity]]:
        """Take a snapshot in: after each piece, the objects in it of which something else is found than before.

        One that is not gone through to the end is forgotten: what it reported counts as reported.
        """
        seen: set[Identity] = set()
        changed: list[Identity] = []
        # Until it is through, what is known is of neither.
        last, self._last = self._last, None
        for count, (identity, finding) in enumerate(self._all(snapshot, last), start=1):
            # An object that is set aside comes before its last good version.
            if identity not in seen:
                seen.add(identity)
                if self._known.get(identity) != finding:
                    self._known[identity] = finding
                    changed.append(identity)
            if count % PIECE == 0:
                yield changed
                changed = []
        yield changed
        if len(self._known) != len(seen):
            for identity in self._known.keys() - seen:
                del self._known[identity]
        self._last = snapshot

    def _all(self, snapshot: Snapshot, last: Snapshot | None) -> Iterator[tuple[Identity, Finding]]:
        for rejection in snapshot.rejected:
            if rejection.kind in KINDS and rejection.name:
                yield Identity(rejection.kind, f"{rejection.namespace}/{rejection.name}"), Refused(rejection)
        objects = snapshot.objects
        walls = _Walls(snapshot)
        # Most changes are of pods; then what was found of a route that is the same still holds.
        is_alike = last is not None and _names_the_same(last, snapshot)
        for key, route in objects.routes.items():
            identity = Identity(route.KIND, key)
            known = self._known.get(identity) if is_alike else None
            if isinstance(known, OfRoute) and known.route is route:
                yield identity, known
            else:
                yield identity, OfRoute(route, tuple(_dangling(route, snapshot)), tuple(_shadows(route, walls)))
        for key, server in objects.servers.items():
            found = snapshot.servers.get(key)
            yield Identity(server.KIND, key), OfServer(server, found is not None and bool(found.pods))


def _names_the_same(one: Snapshot, other: Snapshot) -> bool:
    """Whether both have the same routes, and servers and providers of the same names."""
    return (
        one.table is other.table
        and one.objects.servers.keys() == other.objects.servers.keys()
        and one.objects.providers.keys() == other.objects.providers.keys()
    )


def _dangling(route: ModelRoute, snapshot: Snapshot) -> Iterator[Dangling]:
    servers, providers = snapshot.objects.servers, snapshot.objects.providers
    namespace = route.metadata.namespace
    for index, rule in enumerate(route.spec.rules):
        for place, target in enumerate(rule.target_models):
            if target.model_server_name:
                key = f"{namespace}/{target.model_server_name}"
                if key not in servers:
                    yield Dangling(index, place, "ModelServer", key)
            else:
                key = f"{namespace}/{target.external_model_provider_name}"
                if key not in providers:
                    yield Dangling(index, place, "ExternalModelProvider", key)


def _shadows(route: ModelRoute, walls: _Walls) -> Iterator[Shadow]:
    spec = route.spec
    if spec.parent_refs:
        # It is in no list, so nothing is in front of it.
        return
    key = route.metadata.key
    if spec.model_name and (by := walls.of(spec.model_name).before_base(key)):
        yield Shadow(spec.model_name, by, is_tier=False)
    for name in dict.fromkeys(spec.lora_adapters):
        if not name or name == spec.model_name:
            continue
        wall = walls.of(name)
        if wall.tier:
            yield Shadow(name, wall.tier, is_tier=True)
        elif by := wall.before_adapter(key):
            yield Shadow(name, by, is_tier=False)


class _Wall(NamedTuple):
    """Where the list of one name ends in practice: behind a rule that takes every request."""

    base: str = ""
    """The ModelRoute whose rule it is, among those that have the name as modelName; empty: none."""
    base_reached: frozenset[str] = frozenset()
    """ModelRoutes with a rule that is asked before it, or that is it."""
    tier: str = ""
    """The ModelRoute that keeps every request from those that have the name as an adapter; empty: none."""
    adapter: str = ""
    adapter_reached: frozenset[str] = frozenset()

    def before_base(self, key: str) -> str:
        return "" if key in self.base_reached else self.base

    def before_adapter(self, key: str) -> str:
        return "" if key in self.adapter_reached else self.adapter


_NO_WALL = _Wall()


class _Walls:
    """The walls of a snapshot, each found once."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot
        self._found: dict[str, _Wall] = {}

    def of(self, model: str) -> _Wall:
        candidates = self._snapshot.table.by_name.get(model)
        if candidates is None or candidates.direct is not None:
            return _NO_WALL
        found = self._found.get(model)
        if found is None:
            base, base_reached = self._first(candidates.base)
            adapter, adapter_reached = self._first(candidates.adapters)
            tier = next((one.match.route for one in candidates.base[:DEEPEST] if one.condition is None), "")
            found = self._found[model] = _Wall(base, base_reached, tier, adapter, adapter_reached)
        return found

    def _first(self, rules: tuple[Candidate, ...]) -> tuple[str, frozenset[str]]:
        for place, (condition, match) in enumerate(rules[:DEEPEST]):
            if condition is None and self._may_serve(match):
                return match.route, frozenset(one.match.route for one in rules[: place + 1])
        return "", frozenset()

    def _may_serve(self, match: Match) -> bool:
        servers = self._snapshot.objects.servers
        return any(target.weight and not target.is_provider and target.name in servers for target in match.targets)
