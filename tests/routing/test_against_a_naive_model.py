"""Matching, held against the plainest way to write its rules down: a walk over lists."""

from __future__ import annotations

from typing import Any

from hypothesis import given as drawn
from hypothesis import strategies as st

from kthena_fast.resources.model_route import ModelRoute
from tests.routing import given

NAMES = st.sampled_from(["m", "n", "l"])
TEXTS = st.sampled_from(["", "a", "ab", "b"])
HEADERS = st.sampled_from(["x-a", "X-B"])
STRING_MATCH = st.fixed_dictionaries({}, optional={"exact": TEXTS, "prefix": TEXTS})
CONDITION = st.fixed_dictionaries(
    {},
    optional={
        "headers": st.dictionaries(HEADERS, STRING_MATCH, max_size=2),
        "uri": STRING_MATCH,
        "body": st.fixed_dictionaries({}, optional={"model": NAMES}),
    },
)
TARGET = st.fixed_dictionaries(
    {"modelServerName": st.sampled_from(["up", "down", "missing"]), "weight": st.integers(0, 1)}
)
RULE = st.fixed_dictionaries(
    {"targetModels": st.lists(TARGET, min_size=1, max_size=2)}, optional={"modelMatch": CONDITION}
)
ROUTE = st.fixed_dictionaries(
    {"rules": st.lists(RULE, max_size=3), "loraAdapters": st.lists(NAMES, max_size=2)},
    optional={"modelName": NAMES, "parentRefs": st.just([{"name": "gateway"}])},
).filter(lambda spec: "modelName" in spec or spec["loraAdapters"])
CREATED = st.sampled_from([None, "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"])
REQUEST_HEADERS = st.lists(st.tuples(st.sampled_from([b"x-a", b"x-b"]), TEXTS.map(str.encode)), max_size=3)

UP, DOWN = given.server("up", "127.0.0.1:1"), given.server("down")


def string_matches(match: dict[str, str], text: str) -> bool:
    if "exact" in match:
        return text == match["exact"]
    return text.startswith(match.get("prefix", ""))


def rule_takes(rule: dict[str, Any], model: str, path: str, headers: list[tuple[bytes, bytes]]) -> bool:
    match = rule.get("modelMatch", {})
    for name, value in match.get("headers", {}).items():
        values = [text.decode() for key, text in headers if key == name.lower().encode()]
        if not string_matches(value, values[0] if values else ""):
            return False
    return string_matches(match.get("uri", {}), path) and match.get("body", {}).get("model", model) == model


def is_usable(rule: dict[str, Any]) -> bool:
    return any(target["weight"] and target["modelServerName"] == "up" for target in rule["targetModels"])


def naive(
    routes: list[tuple[ModelRoute, dict[str, Any]]], model: str, path: str, headers: list[tuple[bytes, bytes]]
) -> tuple[str, int] | None:
    def age(entry: tuple[ModelRoute, dict[str, Any]]) -> tuple[bool, str, str]:
        created = entry[0].metadata.creation_timestamp
        return created is None, str(created), entry[0].metadata.name

    in_order = [entry for entry in sorted(routes, key=age) if "parentRefs" not in entry[1]]
    for is_candidate in (
        lambda spec: spec.get("modelName") == model,
        lambda spec: model in spec["loraAdapters"],
    ):
        takers = [
            (route.metadata.key, index, rule)
            for route, spec in in_order
            if is_candidate(spec)
            for index, rule in enumerate(spec["rules"])
            if rule_takes(rule, model, path, headers)
        ]
        for key, index, rule in takers:
            if is_usable(rule):
                return key, index
        if takers:
            return takers[0][:2]
    return None


@drawn(specs=st.lists(st.tuples(ROUTE, CREATED), max_size=4), model=NAMES, path=TEXTS, headers=REQUEST_HEADERS)
def test_a_match_is_what_a_walk_over_all_rules_finds(
    specs: list[tuple[dict[str, Any], str | None]], model: str, path: str, headers: list[tuple[bytes, bytes]]
) -> None:
    routes = [
        (
            given.route(
                f"r{number}",
                *spec["rules"],
                model=spec.get("modelName"),
                adapters=spec["loraAdapters"],
                created=created,
                **({"parentRefs": spec["parentRefs"]} if "parentRefs" in spec else {}),
            ),
            spec,
        )
        for number, (spec, created) in enumerate(specs)
    ]
    snapshot = given.snapshot(*(route for route, _ in routes), UP, DOWN)
    found = snapshot.match(model, path, headers)
    expected = naive(routes, model, path, headers)
    assert (None if found is None else (found.route, found.rule)) == expected
    if found is not None:
        server = snapshot.draw(found, lambda: 0.5)
        specs_by_route = {route.metadata.key: spec for route, spec in routes}
        rule = specs_by_route[found.route]["rules"][found.rule]
        assert (server is not None) == is_usable(rule)
