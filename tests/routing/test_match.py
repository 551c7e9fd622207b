"""Which rule of which route takes a request."""

from __future__ import annotations

from typing import Any

import pytest

from kthena_fast.routing.matching import Condition
from kthena_fast.routing.snapshot import Match, Snapshot
from tests.routing import given
from tests.routing.given import to

PATH = "/v1/chat/completions"
UP = given.server("up", "127.0.0.1:1")
DOWN = given.server("down")


def where(found: Match | None) -> tuple[str, int] | None:
    return (found.route.removeprefix("default/"), found.rule) if found is not None else None


def taken(snapshot: Snapshot, model: str = "m", path: str = PATH, **headers: str) -> tuple[str, int] | None:
    lines = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return where(snapshot.match(model, path, lines))


def test_a_name_that_no_route_has_matches_nothing() -> None:
    snapshot = given.snapshot(given.route("a", to("up")), UP)
    assert snapshot.match("other", PATH, []) is None
    assert snapshot.match("", PATH, []) is None
    assert not snapshot.knows("other")


def test_a_match_says_what_the_request_asked_for() -> None:
    snapshot = given.snapshot(given.route("a", to("up"), adapters=["l"]), UP)
    base, adapter = snapshot.match("m", PATH, []), snapshot.match("l", PATH, [])
    assert base is not None
    assert adapter is not None
    assert (base.model, base.route, base.lora) == ("m", "default/a", False)
    assert (adapter.model, adapter.route, adapter.lora) == ("l", "default/a", True)


def test_the_oldest_route_goes_first() -> None:
    snapshot = given.snapshot(
        given.route("a", to("up"), created="2026-01-02T00:00:00Z"),
        given.route("b", to("up"), created="2026-01-01T00:00:00Z"),
        UP,
    )
    assert taken(snapshot) == ("b", 0)


def test_routes_of_one_age_go_by_namespace_and_name() -> None:
    """Upstream compares resourceVersion as text first, so an edit changes who wins."""
    other = given.server("up", "127.0.0.1:1", namespace="a")
    snapshot = given.snapshot(given.route("a", to("up")), given.route("z", to("up"), namespace="a"), UP, other)
    assert taken(snapshot) == ("a/z", 0)


def test_a_route_that_no_api_server_stored_is_younger_than_all_that_were() -> None:
    snapshot = given.snapshot(
        given.route("a", to("up")), given.route("b", to("up"), created="2026-01-01T00:00:00Z"), UP
    )
    assert taken(snapshot) == ("b", 0)


def test_a_name_is_as_old_as_the_oldest_route_whose_age_is_known() -> None:
    snapshot = given.snapshot(
        given.route("a", to("up")),
        given.route("b", to("up"), created="2026-01-02T00:00:00Z"),
        given.route("c", to("up"), model="l", adapters=["m", "n"], created="2026-01-01T00:00:00Z"),
        given.route("d", to("up"), model="new"),
    )
    created = {model: snapshot.created(model) for model in (*snapshot.models(), "unknown")}
    assert created == {"l": 1767225600, "m": 1767225600, "n": 1767225600, "new": 0, "unknown": 0}


def test_a_base_route_goes_before_an_older_route_that_has_the_name_as_an_adapter() -> None:
    snapshot = given.snapshot(
        given.route("adapter", to("up"), model=None, adapters=["m"], created="2026-01-01T00:00:00Z"),
        given.route("base", to("up"), created="2026-01-02T00:00:00Z"),
        UP,
    )
    assert taken(snapshot) == ("base", 0)


def test_a_base_route_that_is_set_aside_does_not_hide_an_adapter() -> None:
    """A defect of upstream: the gate on parentRefs comes after the choice of the index, so the name is 404."""
    snapshot = given.snapshot(
        given.route("base", to("up"), parentRefs=[{"name": "gateway"}]),
        given.route("adapter", to("up"), model=None, adapters=["m"]),
        UP,
    )
    assert taken(snapshot) == ("adapter", 0)


def test_a_base_route_that_takes_no_such_request_does_not_hide_an_adapter() -> None:
    """The same defect: a route whose rules all fail is no route for this request."""
    snapshot = given.snapshot(
        given.route("base", to("up", when={"uri": {"exact": "/v1/embeddings"}})),
        given.route("adapter", to("up"), model=None, adapters=["m"]),
        UP,
    )
    assert taken(snapshot) == ("adapter", 0)
    assert taken(snapshot, path="/v1/embeddings") == ("base", 0)


def test_a_base_route_without_pods_is_not_replaced_by_an_adapter_of_its_name() -> None:
    """Another model's answer would be worse than none."""
    snapshot = given.snapshot(
        given.route("base", to("down")), given.route("adapter", to("up"), model=None, adapters=["m"]), UP, DOWN
    )
    assert taken(snapshot) == ("base", 0)


def test_a_route_with_parent_refs_is_set_aside_and_announced() -> None:
    snapshot = given.snapshot(given.route("a", to("up"), parentRefs=[{"name": "gateway"}]), UP)
    assert snapshot.match("m", PATH, []) is None
    assert not snapshot.knows("m")
    assert snapshot.models() == ()
    assert [(entry.name, entry.field) for entry in snapshot.unsupported] == [("a", "spec.parentRefs")]


def test_rules_are_tried_in_order() -> None:
    rules = [
        to("up", when={"headers": {"x-tier": {"exact": "gold"}}}),
        to("up", when={"headers": {"x-tier": {"prefix": "g"}}}),
        to("up"),
    ]
    snapshot = given.snapshot(given.route("a", *rules), UP)
    assert taken(snapshot, x_tier="gold") == ("a", 0)
    assert taken(snapshot, x_tier="green") == ("a", 1)
    assert taken(snapshot) == ("a", 2)


def test_a_rule_that_fails_falls_to_the_next_route_only_when_no_rule_of_its_own_takes_the_request() -> None:
    snapshot = given.snapshot(
        given.route("a", to("up", when={"uri": {"exact": "/x"}}), to("up", when={"uri": {"prefix": "/v1/"}})),
        given.route("b", to("up")),
        UP,
    )
    assert taken(snapshot) == ("a", 1)
    assert taken(snapshot, path="/other") == ("b", 0)


@pytest.mark.parametrize("unusable", [to("down"), to("missing"), to(up=0)], ids=["no pods", "dangling", "weight 0"])
def test_a_rule_that_cannot_serve_falls_to_the_next_rule_and_then_to_the_next_route(unusable: dict[str, Any]) -> None:
    """Upstream answers 404 or 503 and looks no further."""
    rule_after = given.snapshot(given.route("a", unusable, to("up")), UP, DOWN)
    assert taken(rule_after) == ("a", 1)
    route_after = given.snapshot(given.route("a", unusable), given.route("b", to("up")), UP, DOWN)
    assert taken(route_after) == ("b", 0)


def test_a_provider_is_never_ready() -> None:
    rule = {"targetModels": [{"externalModelProviderName": "up"}]}
    # A ModelServer of the same name is something else.
    snapshot = given.snapshot(given.route("a", rule, to("up")), given.provider("up"), UP)
    assert taken(snapshot) == ("a", 1)
    alone = given.snapshot(given.route("a", rule), UP)
    found = alone.match("m", PATH, [])
    assert found is not None
    assert alone.draw(found, lambda: 0.0) is None


def test_when_no_rule_that_takes_the_request_can_serve_the_first_of_them_is_given() -> None:
    never = to("up", when={"uri": {"exact": "/x"}})
    snapshot = given.snapshot(given.route("a", never, to("down"), to("missing")), UP, DOWN)
    found = snapshot.match("m", PATH, [])
    assert where(found) == ("a", 1)
    assert found is not None
    assert snapshot.draw(found, lambda: 0.0) is None


def test_a_route_without_rules_matches_nothing_but_its_name_is_known() -> None:
    snapshot = given.snapshot(given.route("a"))
    assert snapshot.match("m", PATH, []) is None
    assert snapshot.knows("m")
    assert snapshot.models() == ("m",)


def test_body_model_tells_adapters_apart() -> None:
    rules = [to("up", when={"body": {"model": "x"}}), to("up", when={"body": {"model": "y"}})]
    snapshot = given.snapshot(given.route("a", *rules, model=None, adapters=["x", "y", "z"]), UP)
    assert taken(snapshot, "x") == ("a", 0)
    assert taken(snapshot, "y") == ("a", 1)
    assert taken(snapshot, "z") is None
    assert snapshot.knows("z")


def test_all_conditions_of_a_rule_must_hold() -> None:
    when = {"headers": {"x-a": {"exact": "1"}, "x-b": {"prefix": "2"}}, "uri": {"regex": "chat"}}
    snapshot = given.snapshot(given.route("a", to("up", when=when)), UP)
    assert taken(snapshot, x_a="1", x_b="23") == ("a", 0)
    assert taken(snapshot, x_a="1") is None
    assert taken(snapshot, x_b="23") is None
    assert taken(snapshot, path="/v1/embeddings", x_a="1", x_b="23") is None


def test_models_are_sorted_and_each_is_listed_once() -> None:
    """Upstream lists a name twice that is both a model and an adapter."""
    snapshot = given.snapshot(
        given.route("a", to("up"), adapters=["z", "m", "z", ""]), given.route("b", model="a/b"), UP
    )
    assert snapshot.models() == ("a/b", "m", "z")


@pytest.mark.parametrize(
    ("match", "text", "expected"),
    [
        ({"exact": "a"}, "a", True),
        ({"exact": "a"}, "A", False),
        ({"exact": "a"}, "ab", False),
        ({"exact": ""}, "", True),
        ({"prefix": "a"}, "ab", True),
        ({"prefix": "a"}, "ba", False),
        ({"prefix": ""}, "x", True),
        ({"regex": "b+"}, "abbc", True),
        ({"regex": "^b"}, "ab", False),
        ({"regex": ""}, "x", True),
        ({"regex": "é$"}, "café", True),
        ({"regex": "("}, "(", False),
        ({"exact": "a", "prefix": "b", "regex": "c"}, "a", True),
        ({"exact": "a", "prefix": "b", "regex": "c"}, "b", False),
        ({"prefix": "b", "regex": "c"}, "c", False),
        ({}, "anything", True),
    ],
)
def test_a_text_is_compared_by_exact_else_prefix_else_regex(match: dict[str, str], text: str, expected: bool) -> None:
    """As upstream; the expression is RE2 and searched for anywhere."""
    by_path = given.snapshot(given.route("a", to("up", when={"uri": match})), UP)
    assert (by_path.match("m", text, []) is not None) == expected
    by_header = given.snapshot(given.route("a", to("up", when={"headers": {"X-It": match}})), UP)
    assert (by_header.match("m", PATH, [(b"x-it", text.encode())]) is not None) == expected


@pytest.mark.parametrize("match", [{"exact": ""}, {"prefix": ""}, {"regex": ".*"}])
def test_an_absent_header_counts_as_the_empty_text(match: dict[str, str]) -> None:
    snapshot = given.snapshot(given.route("a", to("up", when={"headers": {"x-it": match}})), UP)
    assert taken(snapshot) == ("a", 0)


def test_the_first_value_of_a_header_counts() -> None:
    snapshot = given.snapshot(given.route("a", to("up", when={"headers": {"x-it": {"exact": "1"}}})), UP)
    assert snapshot.match("m", PATH, [(b"x-it", b"1"), (b"x-it", b"2")]) is not None
    assert snapshot.match("m", PATH, [(b"x-it", b"2"), (b"x-it", b"1")]) is None


def test_bytes_that_are_no_text_are_compared_as_replaced() -> None:
    snapshot = given.snapshot(given.route("a", to("up", when={"headers": {"x-it": {"regex": "^a.b$"}}})), UP)
    assert snapshot.match("m", PATH, [(b"x-it", b"a\xffb")]) is not None
    uri = given.snapshot(given.route("a", to("up", when={"uri": {"regex": "^/a.b$"}})), UP)
    assert uri.match("m", "/a\udcffb", []) is not None


def test_an_expression_that_does_not_compile_never_matches_and_is_announced() -> None:
    snapshot = given.snapshot(given.route("a", to("up", when={"uri": {"regex": "(?=x)"}}), to("up")), UP)
    assert taken(snapshot) == ("a", 1)
    assert [entry.field for entry in snapshot.unsupported] == ["spec.rules.modelMatch.uri.regex"]


def test_a_match_among_ten_thousand_routes_asks_as_many_conditions_as_among_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = 0
    holds = Condition.holds

    def counted(self: Condition, path: str, headers: dict[bytes, bytes]) -> bool:
        nonlocal asked
        asked += 1
        return holds(self, path, headers)

    monkeypatch.setattr(Condition, "holds", counted)
    rules = to("up", when={"headers": {"x-it": {"exact": "1"}}}), to("up", when={"uri": {"prefix": "/v1"}})
    one = given.route("a", *rules)
    assert taken(given.snapshot(one, UP)) == ("a", 1)
    alone, asked = asked, 0
    many = given.snapshot(
        UP,
        one,
        *(
            one.model_copy(
                update={
                    "metadata": one.metadata.model_copy(update={"name": f"r-{number}"}),
                    "spec": one.spec.model_copy(update={"model_name": f"m-{number}"}),
                }
            )
            for number in range(9_999)
        ),
    )
    assert len(many.models()) == 10_000
    assert taken(many) == ("a", 1)
    assert asked == alone == 2


def test_headers_are_not_looked_at_unless_a_rule_of_the_name_asks_for_one() -> None:
    class Untouched(list[tuple[bytes, bytes]]):
        def __reversed__(self) -> Any:
            raise AssertionError("headers were read")

        __iter__ = __reversed__

    snapshot = given.snapshot(
        given.route("plain", to("up")),
        given.route("by-path", to("up", when={"uri": {"prefix": "/v1"}}), model="p"),
        given.route("by-header", to("up", when={"headers": {"x-it": {"exact": "1"}}}), model="h"),
        UP,
    )
    assert taken(snapshot) == ("plain", 0)
    assert where(snapshot.match("m", PATH, Untouched())) == ("plain", 0)
    assert where(snapshot.match("p", PATH, Untouched())) == ("by-path", 0)
    with pytest.raises(AssertionError, match="headers were read"):
        snapshot.match("h", PATH, Untouched())
