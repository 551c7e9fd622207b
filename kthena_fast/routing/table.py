"""The names that clients may use, and for each the rules that may take a request, in the order they are asked.

1. Oldest route first: by `creationTimestamp`, then `namespace/name`. A route without a timestamp was never stored by an
   API server and counts as younger than all that were, so a hand-written file beside exported ones takes over nothing.
   (Upstream compares `resourceVersion` as text before the name, so an edit changes who wins.)
2. Routes that have the name as `modelName` come before those that have it as an adapter, whatever their age. The latter
   are asked only if no rule of the former takes the request.
3. A route with `parentRefs` is set aside: it is in no list, so it hides nothing
   (test_a_base_route_that_is_set_aside_does_not_hide_an_adapter). Upstream answers 404 there.
4. A route is compiled once and again only when the object changes; and of the names only those that such a route has
   or had are put in order again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from kthena_fast.resources.expressions import Compiler
from kthena_fast.resources.model_route import ModelRoute, TargetModel
from kthena_fast.routing import matching
from kthena_fast.routing.matching import Condition
from kthena_fast.routing.snapshot import Match, Target

Headers = list[tuple[bytes, bytes]]
_NO_HEADERS: Mapping[bytes, bytes] = {}


class Candidate(NamedTuple):
    """A rule under one of its route's names."""

    condition: Condition | None
    match: Match


class Candidates:
    """The rules of one name. `direct` is set where there is one rule without conditions: nothing to be asked."""

    __slots__ = ("adapters", "base", "created", "direct", "reads_headers")

    def __init__(self, base: tuple[Candidate, ...], adapters: tuple[Candidate, ...], created: int) -> None:
        self.base = base
        self.adapters = adapters
        self.created = created
        """Unix time of the oldest route that has the name; 0: not known."""
        every = base + adapters
        self.direct = every[0].match if len(every) == 1 and every[0].condition is None else None
        self.reads_headers = any(one.condition is not None and one.condition.headers for one in every)

    def choose(self, path: str, headers: Headers, is_usable: Callable[[Match], bool]) -> Match | None:
        """The first usable rule that takes the request; if none of those that take it is usable, the first of them."""
        # The first value of a header counts, so the last to be put into the dict must be the first that came.
        first_values = dict(reversed(headers)) if self.reads_headers else _NO_HEADERS
        for tier in (self.base, self.adapters):
            first: Match | None = None
            for condition, match in tier:
                if condition is None or condition.holds(path, first_values):
                    if is_usable(match):
                        return match
                    first = first or match
            if first is not None:
                return first
        return None


class _Compiled(NamedTuple):
    """A route's rules under each of its names."""

    route: ModelRoute
    age: tuple[bool, float, str, str]
    """Sorts by rule 1."""
    created: int
    """Unix time; 0: not known."""
    base: tuple[Candidate, ...]
    adapters: Mapping[str, tuple[Candidate, ...]]

    @property
    def names(self) -> Iterable[str]:
        """Those that it takes requests for: rule 3."""
        if self.route.spec.parent_refs:
            return ()
        model = self.route.spec.model_name
        return {model, *self.adapters} if model else self.adapters.keys()


class Table:
    """All names. `models` is sorted; `of_routes` and `claims` are kept for the next table.

    `direct` has the names of one rule without conditions: most have only that, and a request finds it in one look.
    """

    __slots__ = ("by_name", "claims", "direct", "models", "of_routes")

    def __init__(
        self,
        by_name: Mapping[str, Candidates],
        direct: dict[str, Match],
        of_routes: Mapping[str, _Compiled],
        claims: Mapping[str, frozenset[str]],
    ) -> None:
        self.by_name = by_name
        self.direct = direct
        self.of_routes = of_routes
        self.claims = claims
        """By name, the routes that have it."""
        self.models = tuple(sorted(by_name))


EMPTY = Table({}, {}, {}, {})


def compile_table(routes: Mapping[str, ModelRoute], previous: Table = EMPTY) -> Table:
    """The table of these routes, by `namespace/name`; what `previous` compiled of the same objects is taken over."""
    before = previous.of_routes
    changed = [key for key, route in routes.items() if (known := before.get(key)) is None or known.route is not route]
    gone = before.keys() - routes.keys()
    if not changed and not gone:
        return previous
    compiled = dict(before)
    lost: dict[str, set[str]] = {}
    won: dict[str, set[str]] = {}
    for key in (*gone, *changed):
        if key in before:
            for name in compiled.pop(key).names:
                lost.setdefault(name, set()).add(key)
    for key in changed:
        entry = compiled[key] = _compile(routes[key])
        for name in entry.names:
            won.setdefault(name, set()).add(key)
    by_name, direct, claims = dict(previous.by_name), dict(previous.direct), dict(previous.claims)
    for name in lost.keys() | won.keys():
        keys = claims.pop(name, frozenset()) - lost.get(name, set()) | won.get(name, set())
        by_name.pop(name, None)
        direct.pop(name, None)
        if keys:
            claims[name] = keys
            candidates = by_name[name] = _candidates(name, [compiled[key] for key in keys])
            if candidates.direct is not None:
                direct[name] = candidates.direct
    return Table(by_name, direct, compiled, claims)


def _candidates(name: str, entries: list[_Compiled]) -> Candidates:
    """Rules 1 and 2, for the routes that have the name."""
    entries.sort(key=lambda entry: entry.age)
    base = [entry for entry in entries if entry.route.spec.model_name == name]
    adapters = [entry for entry in entries if name in entry.adapters]
    return Candidates(
        tuple(candidate for entry in base for candidate in entry.base),
        tuple(candidate for entry in adapters for candidate in entry.adapters[name]),
        min((entry.created for entry in entries if entry.created), default=0),
    )


def _compile(route: ModelRoute) -> _Compiled:
    namespace = route.metadata.namespace
    created = route.metadata.creation_timestamp
    seconds = created.timestamp() if created is not None else 0.0
    compiler = Compiler()
    compiled = [
        (
            index,
            rule.model_match,
            matching.condition(rule.model_match, compiler),
            tuple(_target(namespace, target) for target in rule.target_models),
        )
        for index, rule in enumerate(route.spec.rules)
    ]

    def under(name: str, *, lora: bool) -> tuple[Candidate, ...]:
        return tuple(
            Candidate(condition, Match(name, route.metadata.key, index, targets, lora=lora))
            for index, model_match, condition, targets in compiled
            if matching.takes_model(model_match, name)
        )

    # A request cannot ask for a model without a name, so an empty one (the CRD lets it pass) leads nowhere.
    return _Compiled(
        route,
        (created is None, seconds, namespace, route.metadata.name),
        int(seconds),
        under(route.spec.model_name, lora=False) if route.spec.model_name else (),
        {name: under(name, lora=True) for name in dict.fromkeys(route.spec.lora_adapters) if name},
    )


def _target(namespace: str, target: TargetModel) -> Target:
    if target.model_server_name:
        return Target(f"{namespace}/{target.model_server_name}", target.weight)
    return Target(f"{namespace}/{target.external_model_provider_name}", target.weight, is_provider=True)
