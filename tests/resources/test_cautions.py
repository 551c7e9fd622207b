from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kthena_fast.resources import admission, cautions, decoding
from kthena_fast.resources.model_route import ModelRoute
from kthena_fast.routing import table
from tests.resources import corpus

ALL: dict[str, Any] = corpus.rule()


def when(**match: Any) -> dict[str, Any]:
    return corpus.rule(modelMatch=match)


def tier(**text: Any) -> dict[str, Any]:
    return when(headers={"x-tier": text})


def told(obj: dict[str, Any]) -> list[str]:
    return [caution.path for caution in cautions.cautions(decoding.decode(obj))]


CASES: list[tuple[str, dict[str, Any], list[str]]] = [
    ("an ordinary route", corpus.route(), []),
    ("no rules", corpus.route(rules=[]), ["spec.rules"]),
    ("a rule after one that takes all", corpus.route(rules=[ALL, tier(exact="gold")]), ["spec.rules[1]"]),
    ("a fallback behind narrower rules", corpus.route(rules=[tier(exact="gold"), ALL]), []),
    ("an empty match takes all", corpus.route(rules=[when(), ALL]), ["spec.rules[1]"]),
    ("an empty text takes all", corpus.route(rules=[tier(), ALL]), ["spec.rules[1]"]),
    ("an empty prefix takes all", corpus.route(rules=[when(uri={"prefix": ""}), ALL]), ["spec.rules[1]"]),
    ("an empty exact text takes those without", corpus.route(rules=[tier(exact=""), ALL]), []),
    ("the same rule twice", corpus.route(rules=[tier(regex="^g"), tier(regex="^g")]), ["spec.rules[1]"]),
    (
        "headers of one name",
        corpus.route(rules=[tier(exact="g"), when(headers={"X-Tier": {"exact": "g"}})]),
        ["spec.rules[1]"],
    ),
    (
        "a rule with one more condition",
        corpus.route(rules=[tier(exact="g"), when(headers={"x-tier": {"exact": "g"}, "x-b": {"exact": "1"}})]),
        ["spec.rules[1]"],
    ),
    (
        "a prefix before what begins with it",
        corpus.route(rules=[tier(prefix="go"), tier(exact="gold")]),
        ["spec.rules[1]"],
    ),
    ("what begins with a prefix before it", corpus.route(rules=[tier(exact="gold"), tier(prefix="go")]), []),
    ("two expressions are not compared", corpus.route(rules=[tier(regex="g"), tier(regex="go")]), []),
    (
        "one adapter each",
        corpus.route(loraAdapters=["a", "b"], rules=[when(body={"model": name}) for name in "abm"]),
        [],
    ),
    (
        "adapters that use up the names together",
        corpus.route(loraAdapters=["a"], rules=[*(when(body={"model": name}) for name in "am"), ALL]),
        ["spec.rules[2]"],
    ),
    (
        "a body.model that is no name",
        corpus.route(rules=[when(body={"model": "x"})]),
        ["spec.rules[0].modelMatch.body.model"],
    ),
    (
        "a rule that never matches hides nothing",
        corpus.route(rules=[when(body={"model": "x"}), ALL]),
        ["spec.rules[0].modelMatch.body.model"],
    ),
    (
        "one header, two values",
        corpus.matching(headers={"X-A": {"exact": "1"}, "x-a": {"exact": "2"}}),
        ["spec.rules[0].modelMatch.headers[x-a]"],
    ),
    ("no header's name", corpus.matching(headers={"x a": {"exact": "1"}}), ["spec.rules[0].modelMatch.headers[x a]"]),
    ("a path that is not served", corpus.matching(uri={"exact": "/chat"}), ["spec.rules[0].modelMatch.uri"]),
    ("a path without its slash", corpus.matching(uri={"prefix": "v1/chat"}), ["spec.rules[0].modelMatch.uri"]),
    ("a path that is served", corpus.matching(uri={"prefix": "/v1/chat"}), []),
    ("the root", corpus.matching(uri={"prefix": "/"}), []),
    (
        "several fields of one text",
        corpus.matching(
            uri={"exact": "/v1/a", "prefix": "/v1", "regex": "a"}, headers={"x": {"prefix": "a", "regex": "b"}}
        ),
        ["spec.rules[0].modelMatch.headers[x]", "spec.rules[0].modelMatch.uri"],
    ),
    (
        "limits below one request",
        corpus.route(rateLimit={"inputTokensPerUnit": 10, "outputTokensPerUnit": 99, "unit": "hour"}),
        ["spec.rateLimit.inputTokensPerUnit", "spec.rateLimit.outputTokensPerUnit"],
    ),
    ("limits of requests", corpus.route(rateLimit={"inputTokensPerUnit": 100, "outputTokensPerUnit": 5000}), []),
    ("a limit of nothing", corpus.route(rateLimit={}), []),
    ("a server", corpus.server(), []),
    ("a provider", corpus.provider(), []),
]


@pytest.mark.parametrize(("obj", "wanted"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_what_is_likely_not_meant_is_told_with_its_path(obj: dict[str, Any], wanted: list[str]) -> None:
    assert told(obj) == wanted


@pytest.mark.parametrize("obj", [case[1] for case in CASES if case[2]])
def test_what_is_cautioned_against_is_not_refused(obj: dict[str, Any]) -> None:
    assert admission.violations(decoding.decode(obj)) == []


def test_the_sentences_say_what_happens() -> None:
    obj = corpus.route(
        rules=[ALL, when(uri={"exact": "/v1/a", "regex": "b"})], rateLimit={"inputTokensPerUnit": 10, "unit": "hour"}
    )
    fields, rule, limit = (str(caution) for caution in cautions.cautions(decoding.decode(obj)))
    assert fields == "spec.rules[1].modelMatch.uri: only exact is looked at and regex is not: set one of them"
    assert rule.startswith("spec.rules[1]: is never asked while spec.rules[0] can serve, which takes all it would")
    assert limit == (
        "spec.rateLimit.inputTokensPerUnit: 10 tokens per hour are below one request: a longer prompt never passes"
    )


TEXT = st.fixed_dictionaries(
    {},
    optional={"exact": st.sampled_from(["", "a", "ab"]), "prefix": st.sampled_from(["", "a"]), "regex": st.just("b")},
)
PATH = st.fixed_dictionaries(
    {}, optional={"exact": st.sampled_from(["/v1/a", "/x"]), "prefix": st.sampled_from(["", "/v1/"])}
)
MATCH = st.fixed_dictionaries(
    {},
    optional={
        "headers": st.dictionaries(st.sampled_from(["x", "X", "y"]), TEXT),
        "uri": PATH,
        "body": st.fixed_dictionaries({}, optional={"model": st.sampled_from(["m", "l", "other"])}),
    },
)
VALUES = st.sampled_from([None, b"", b"a", b"ab", b"b"])


@given(
    rules=st.lists(st.one_of(MATCH, st.none()), min_size=1, max_size=4),
    asked=st.lists(
        st.tuples(st.sampled_from(["m", "l"]), st.sampled_from(["/v1/a", "/v1/b"]), VALUES, VALUES), max_size=8
    ),
)
def test_no_request_is_taken_by_a_rule_that_is_said_to_take_none(
    rules: list[dict[str, Any] | None], asked: list[tuple[str, str, bytes | None, bytes | None]]
) -> None:
    obj = corpus.route(loraAdapters=["l"], rules=[when(**match) if match is not None else ALL for match in rules])
    resource = decoding.decode(obj)
    assert isinstance(resource, ModelRoute)
    idle = {
        caution.location[2]
        for caution in cautions.cautions(resource)
        if "never asked" in caution.message or "never matches" in caution.message
    }
    compiled = table.compile_table({"default/a": resource})
    for name, path, x, y in asked:
        headers = [(key, value) for key, value in ((b"x", x), (b"y", y)) if value is not None]
        match = compiled.by_name[name].choose(path, headers, lambda _: True)
        assert match is None or match.rule not in idle
