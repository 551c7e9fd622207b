"""What an object may hold and can hardly mean: the webhook and `validate` warn of it, and nothing is refused for it.

1. A rule that no request reaches: its conditions cannot hold, its `body.model` is none of the route's names, or an
   earlier rule takes everything that it would take. What is told is certain; of two expressions nobody says which is
   the wider one.
2. Fields of a StringMatch that are not looked at, a route without rules, and a limit below what one request takes.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from kthena_fast.resources import admission, decoding, structure
from kthena_fast.resources.decoding import AnyResource
from kthena_fast.resources.model_route import Compared, ModelMatch, ModelRoute, ModelRouteSpec, RateLimit, StringMatch

ONE_REQUEST = 100
"""Tokens that a short prompt has, and a short answer. A limit below it is taken for one that was meant per request."""

SERVED = "/v1/"
"""What every path begins with that the gateway serves to clients."""


class Caution(NamedTuple):
    """One thing that is likely not meant; `message` is a sentence on what happens."""

    path: str
    message: str
    location: structure.Location

    def __str__(self) -> str:
        return f"{self.path}: {self.message}"


_Found = Iterator[tuple[structure.Location, str]]


def cautions(resource: AnyResource) -> list[Caution]:
    """What is likely not meant, in the order of the fields, as many as of violations; ModelRoutes alone have such."""
    if not isinstance(resource, ModelRoute):
        return []
    schema = structure.schema(ModelRoute)
    return [
        Caution(structure.path(schema, ("spec", *at)), message, ("spec", *at))
        for at, message in itertools.islice(_model_route(resource.spec), decoding.MAX_VIOLATIONS)
    ]


def _model_route(spec: ModelRouteSpec) -> _Found:
    if not spec.rules:
        yield ("rules",), "the route has no rules, so requests for its names are answered with 404"
    yield from _rules(spec)
    if spec.rate_limit is not None:
        yield from _rate_limit(spec.rate_limit)


def _rules(spec: ModelRouteSpec) -> _Found:
    names = frozenset(name for name in (spec.model_name, *spec.lora_adapters) if name)
    earlier: list[tuple[int, frozenset[str], _Conditions]] = []
    for index, rule in enumerate(spec.rules):
        match = rule.model_match or _EVERYTHING
        at = ("rules", index, "modelMatch")
        for place, text in _texts(match):
            yield from (((*at, *place), message) for message in _several_fields(text))
        hindrances = list(_hindrances(match, names))
        yield from (((*at, *place), message) for place, message in hindrances)
        if hindrances:
            continue
        taken = names if match.body is None or match.body.model is None else names & {match.body.model}
        conditions = _conditions(match)
        before = _who_takes_all(taken, conditions, earlier)
        if before:
            listed = " and ".join(f"spec.rules[{other}]" for other in before)
            verb = "takes" if len(before) == 1 else "take"
            yield (
                ("rules", index),
                f"is never asked while {listed} can serve, which {verb} all it would take: narrower rules go first",
            )
        earlier.append((index, taken, conditions))


_EVERYTHING = ModelMatch()


def _texts(match: ModelMatch) -> Iterator[tuple[structure.Location, StringMatch]]:
    yield from ((("headers", name), text) for name, text in match.headers.items())
    if match.uri is not None:
        yield ("uri",), match.uri


def _several_fields(text: StringMatch) -> Iterator[str]:
    given = [name for name in ("exact", "prefix", "regex") if getattr(text, name) is not None]
    if len(given) > 1:
        verb = "is" if len(given) == 2 else "are"
        yield f"only {given[0]} is looked at and {' and '.join(given[1:])} {verb} not: set one of them"


def _hindrances(match: ModelMatch, names: frozenset[str]) -> _Found:
    """The conditions of a rule that no request can meet."""
    wanted = match.body.model if match.body is not None else None
    if wanted is not None and names and wanted not in names:
        yield ("body", "model"), "the rule never matches: this is none of the route's names"
    seen: dict[str, tuple[str, str]] = {}
    for name, text in match.headers.items():
        compared = text.compared
        if compared is None:
            continue
        how, value = compared
        if not admission.is_header_name(name) and value and how != "regex":
            yield ("headers", name), "the rule never matches: no request has a header of such a name"
        elif how == "exact":
            other, already = seen.setdefault(name.lower(), (name, value))
            if already != value:
                yield (
                    ("headers", name),
                    f"the rule never matches: this is the same header as {other!r}, which must be {already!r}",
                )
    if match.uri is not None and match.uri.compared is not None:
        how, value = match.uri.compared
        fits = value.startswith(SERVED) or (how == "prefix" and SERVED.startswith(value))
        if how != "regex" and not fits:
            yield ("uri",), f"the rule never matches: only paths that begin with {SERVED} are served"


_Conditions = Mapping[str, tuple[Compared, ...]]
"""What must hold, by what it is asked of: the path, or a header in lower case."""


def _conditions(match: ModelMatch) -> _Conditions:
    found: dict[str, tuple[Compared, ...]] = {}
    for place, text in _texts(match):
        if text.compared is not None:
            subject = " ".join(str(step) for step in place).lower()
            found[subject] = (*found.get(subject, ()), text.compared)
    return found


def _who_takes_all(
    names: frozenset[str], conditions: _Conditions, earlier: list[tuple[int, frozenset[str], _Conditions]]
) -> list[int]:
    """The earlier rules that together leave nothing to a rule; empty: something is left."""
    left = set(names)
    takers = []
    for index, taken, others in earlier:
        if left & taken and _is_wider(others, conditions):
            left -= taken
            takers.append(index)
    return takers if not left else []


def _is_wider(wide: _Conditions, narrow: _Conditions) -> bool:
    """Whether what meets `narrow` certainly meets `wide`."""
    return all(
        any(_implies(one, other) for one in narrow.get(subject, ()))
        for subject, needed in wide.items()
        for other in needed
    )


def _implies(one: Compared, other: Compared) -> bool:
    return one == other or (other[0] == "prefix" and one[0] != "regex" and one[1].startswith(other[1]))


def _rate_limit(limit: RateLimit) -> _Found:
    for field, tokens, consequence in (
        ("inputTokensPerUnit", limit.input_tokens_per_unit, "a longer prompt never passes"),
        ("outputTokensPerUnit", limit.output_tokens_per_unit, "one longer answer uses up more than a whole unit"),
    ):
        if tokens is not None and tokens < ONE_REQUEST:
            yield ("rateLimit", field), f"{tokens} tokens per {limit.unit} are below one request: {consequence}"
