"""What is found of a snapshot: only what differs, in pieces, and true to how requests are matched."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given as drawn
from hypothesis import strategies as st

from kthena_fast.routing import build, findings
from kthena_fast.routing.findings import Findings, Identity, OfRoute, Refused
from kthena_fast.routing.objects import Reason, Rejection
from kthena_fast.routing.snapshot import Snapshot
from tests.routing import given
from tests.routing.given import Resource, to
from tests.routing.test_against_a_naive_model import CREATED, REQUEST_HEADERS, ROUTE, TEXTS


def look(found: Findings, snapshot: Snapshot) -> set[str]:
    return {identity.key for piece in found.look(snapshot) for identity in piece}


ROUTES = [given.route(f"r{n}", to("s"), model=f"m{n}") for n in range(3)]
SERVER = given.server("s", "127.0.0.1:1")


def test_at_first_everything_is_new() -> None:
    assert look(Findings(), given.snapshot(*ROUTES, SERVER)) == {"default/r0", "default/r1", "default/r2", "default/s"}


def test_of_the_same_snapshot_nothing_is_reported() -> None:
    found = Findings()
    snapshot = given.snapshot(*ROUTES, SERVER)
    look(found, snapshot)
    assert look(found, snapshot) == set()
    assert look(found, given.snapshot(*ROUTES, SERVER, previous=snapshot)) == set()


def test_a_changed_object_is_reported_alone() -> None:
    found = Findings()
    look(found, given.snapshot(*ROUTES, SERVER))
    changed = given.route("r1", to("s", "missing"), model="m1")
    assert look(found, given.snapshot(ROUTES[0], changed, ROUTES[2], SERVER)) == {"default/r1"}


def test_a_server_that_goes_is_reported_for_the_routes_that_name_it() -> None:
    found = Findings()
    other = given.route("other", to("t"), model="x")
    look(found, given.snapshot(*ROUTES, other, SERVER))
    assert look(found, given.snapshot(*ROUTES, other)) == {"default/r0", "default/r1", "default/r2"}
    assert found.get(Identity("ModelServer", "default/s")) is None


def test_a_pod_that_comes_and_goes_is_reported_for_its_server_alone() -> None:
    found = Findings()
    server, pod = given.server("s"), given.pod("p", app="s")
    look(found, given.snapshot(*ROUTES, server))
    assert look(found, given.snapshot(*ROUTES, server, pod)) == {"default/s"}
    # One more changes nothing.
    assert look(found, given.snapshot(*ROUTES, server, pod, given.pod("q", app="s"))) == set()
    assert look(found, given.snapshot(*ROUTES, server)) == {"default/s"}


def test_what_is_gone_is_forgotten() -> None:
    found = Findings()
    look(found, given.snapshot(*ROUTES, SERVER))
    assert look(found, given.snapshot(SERVER)) == set()
    assert len(found) == 1
    assert look(found, given.snapshot(ROUTES[0], SERVER)) == {"default/r0"}


def test_an_object_that_is_set_aside_hides_its_last_good_version_until_it_is_mended() -> None:
    found = Findings()
    objects = given.objects(SERVER)
    refusal = Rejection("ModelServer", "default", "s", (Reason("spec", "is bad"),), kept=True)
    look(found, build.build(objects))
    assert look(found, build.build(objects, rejected=(refusal,))) == {"default/s"}
    assert isinstance(found.get(Identity("ModelServer", "default/s")), Refused)
    assert look(found, build.build(objects, rejected=(refusal,))) == set()
    assert look(found, build.build(objects)) == {"default/s"}


@pytest.mark.parametrize("refusal", [Rejection("Pod", "default", "p", ()), Rejection("", "", "", ())])
def test_what_has_no_such_status_is_not_reported(refusal: Rejection) -> None:
    assert look(Findings(), build.build(given.objects(), rejected=(refusal,))) == set()


def test_a_large_snapshot_is_looked_at_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(findings, "PIECE", 2)
    pieces = [len(piece) for piece in Findings().look(given.snapshot(*ROUTES, SERVER))]
    assert pieces == [2, 2, 0]


def test_after_a_look_that_was_broken_off_everything_is_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(findings, "PIECE", 1)
    found = Findings()
    first = given.snapshot(*ROUTES, SERVER)
    look(found, first)
    without = given.snapshot(*ROUTES, previous=first)
    assert next(found.look(without)) == [Identity("ModelRoute", "default/r0")]
    # The same server and the same table as at first, but what is known of r0 is of the second snapshot.
    assert look(found, first) == {"default/r0"}


EVERY_SERVER = [given.server("up", "127.0.0.1:1"), given.server("down", "127.0.0.1:2")]


@drawn(
    specs=st.lists(st.tuples(ROUTE, CREATED), max_size=4),
    requests=st.lists(st.tuples(TEXTS, REQUEST_HEADERS), min_size=1, max_size=8),
)
def test_a_route_that_is_shadowed_under_a_name_gets_no_request_for_it_while_every_server_has_pods(
    specs: list[tuple[dict[str, Any], str | None]], requests: list[tuple[str, list[tuple[bytes, bytes]]]]
) -> None:
    routes = [_route(number, *spec) for number, spec in enumerate(specs)]
    resources: list[Resource] = [*routes, *EVERY_SERVER]
    snapshot = given.snapshot(*resources)
    found = Findings()
    look(found, snapshot)
    for route in routes:
        finding = found.get(Identity("ModelRoute", route.metadata.key))
        assert isinstance(finding, OfRoute)
        for shadow in finding.shadows:
            for path, headers in requests:
                match = snapshot.match(shadow.model, path, headers)
                assert match is None or match.route != route.metadata.key


@drawn(specs=st.lists(st.tuples(ROUTE, CREATED), max_size=4))
def test_shadows_are_those_of_a_plain_walk_over_the_rules(specs: list[tuple[dict[str, Any], str | None]]) -> None:
    routes = [_route(number, *spec) for number, spec in enumerate(specs)]
    found = Findings()
    look(found, given.snapshot(*routes, *EVERY_SERVER))
    with_specs = [(route, spec) for route, (spec, _) in zip(routes, specs, strict=True)]
    for route, spec in with_specs:
        finding = found.get(Identity("ModelRoute", route.metadata.key))
        assert isinstance(finding, OfRoute)
        names = {*([spec["modelName"]] if "modelName" in spec else []), *spec["loraAdapters"]}
        shadowed = {name for name in names if "parentRefs" not in spec and _is_shadowed(with_specs, route, name)}
        assert {shadow.model for shadow in finding.shadows} == shadowed


def _route(number: int, spec: dict[str, Any], created: str | None) -> Any:
    return given.route(
        f"r{number}",
        *spec["rules"],
        model=spec.get("modelName"),
        adapters=spec["loraAdapters"],
        created=created,
        **{key: value for key, value in spec.items() if key == "parentRefs"},
    )


def _is_shadowed(routes: list[tuple[Any, dict[str, Any]]], route: Any, name: str) -> bool:
    """Whether every request for the name is another's before this route is asked."""

    def age(entry: tuple[Any, dict[str, Any]]) -> tuple[bool, str, str]:
        created = entry[0].metadata.creation_timestamp
        return created is None, str(created), entry[0].metadata.name

    def takes_all(rule: dict[str, Any]) -> bool:
        # For whatever request: what the texts are cannot matter, so those of no request are asked.
        match = rule.get("modelMatch", {})
        texts = [*match.get("headers", {}).values(), match.get("uri", {})]
        return match.get("body", {}).get("model", name) == name and all(
            not text.get("prefix", "") and "exact" not in text for text in texts
        )

    def can_serve(rule: dict[str, Any]) -> bool:
        return any(target["weight"] and target["modelServerName"] != "missing" for target in rule["targetModels"])

    def has_candidate(spec: dict[str, Any]) -> bool:
        return any(rule.get("modelMatch", {}).get("body", {}).get("model", name) == name for rule in spec["rules"])

    alive = [entry for entry in sorted(routes, key=age) if "parentRefs" not in entry[1]]
    spec = next(spec for other, spec in routes if other is route)
    is_base = spec.get("modelName") == name
    if not is_base and any(
        takes_all(rule) for _, other in alive if other.get("modelName") == name for rule in other["rules"]
    ):
        return True
    tier = [
        entry for entry in alive if (entry[1].get("modelName") == name if is_base else name in entry[1]["loraAdapters"])
    ]
    for other, other_spec in tier:
        if other is route and has_candidate(spec):
            return False
        if other is not route and any(takes_all(rule) and can_serve(rule) for rule in other_spec["rules"]):
            return True
    return False
