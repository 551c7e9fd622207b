from __future__ import annotations

from typing import Any

import pytest

from kthena_fast.resources import admission, decoding
from tests.resources import corpus

PD = {"groupKey": "g", "prefillLabels": {"role": "p"}, "decodeLabels": {"role": "d"}}


def refused(obj: dict[str, Any]) -> list[tuple[str, str]]:
    return [(violation.path, violation.kind) for violation in admission.violations(decoding.decode(obj))]


def selecting(**fields: Any) -> dict[str, Any]:
    return corpus.server(workloadSelector={"matchLabels": {"app": "x"}, **fields})


def at(url: str) -> dict[str, Any]:
    return corpus.provider(baseURL=url)


RULES: list[tuple[dict[str, Any], list[tuple[str, str]]]] = [
    (corpus.route(loraAdapters=["x", ""]), [("spec.loraAdapters[1]", "Invalid")]),
    (
        corpus.route(
            loraAdapters=["x"], rules=[corpus.rule(targetModels=[corpus.target(), {"externalModelProviderName": "p"}])]
        ),
        [("spec.rules[0].targetModels[1].externalModelProviderName", "Invalid")],
    ),
    (corpus.aimed(modelServerName="s", weight=0), [("spec.rules[0].targetModels", "Invalid")]),
    (
        corpus.matching(headers={"x": {"regex": "(?=a)"}}, uri={"regex": "("}),
        [
            ("spec.rules[0].modelMatch.headers[x].regex", "Invalid"),
            ("spec.rules[0].modelMatch.uri.regex", "Invalid"),
        ],
    ),
    (corpus.server(workloadSelector={}), [("spec.workloadSelector.matchLabels", "Required")]),
    (
        selecting(matchLabels={"a b": "x", "ok": "no good", "Ex.com/a": "x", "": "x"}),
        [("spec.workloadSelector.matchLabels", "Invalid")] * 4,
    ),
    (
        selecting(pdGroup={"groupKey": "", "prefillLabels": {}, "decodeLabels": {"-": "x"}}),
        [
            ("spec.workloadSelector.pdGroup.groupKey", "Required"),
            ("spec.workloadSelector.pdGroup.prefillLabels", "Required"),
            ("spec.workloadSelector.pdGroup.decodeLabels", "Invalid"),
        ],
    ),
    (at("https:///v1"), [("spec.baseURL", "Invalid")]),
    (at("https://x:port"), [("spec.baseURL", "Invalid")]),
    (at("https://x:70000"), [("spec.baseURL", "Invalid")]),
    (at("https://[::1"), [("spec.baseURL", "Invalid")]),
    (at("https://a b"), [("spec.baseURL", "Invalid")]),
    (at("https://a/%zz"), [("spec.baseURL", "Invalid")]),
    (at("https://a\n.example.com"), [("spec.baseURL", "Invalid")]),
    (at("https://user:secret@a"), [("spec.baseURL", "Invalid")]),
    (at("https://a/?x=1"), [("spec.baseURL", "Invalid")]),
    (at("https://a/#x"), [("spec.baseURL", "Invalid")]),
    (corpus.provider(headers={"a b": "x"}), [("spec.headers[a b]", "Invalid")]),
    (corpus.provider(headers={"X-Api-Key": "x"}), [("spec.headers[X-Api-Key]", "Invalid")]),
    (corpus.provider(headers={"x-a": "1\r\nx-b: 2"}), [("spec.headers[x-a]", "Invalid")]),
    (
        corpus.provider(auth={"secretRef": {"key": ""}}),
        [("spec.auth.secretRef.name", "Required"), ("spec.auth.secretRef.key", "Required")],
    ),
]


@pytest.mark.parametrize(("obj", "wanted"), RULES)
def test_each_rule_of_the_webhook_names_the_field(obj: dict[str, Any], wanted: list[tuple[str, str]]) -> None:
    assert refused(obj) == wanted


@pytest.mark.parametrize(
    "obj",
    [
        corpus.route(rules=[]),
        corpus.matching(uri={"exact": "a", "prefix": "b", "regex": "c"}),
        corpus.matching(headers={"x": {"regex": r"^(?i)gold\d+$"}}),
        corpus.route(loraAdapters=["x", "x", "m"]),
        corpus.route(rateLimit={"global": {"redis": {"address": ""}}}),
        corpus.route(parentRefs=[{"name": "elsewhere", "namespace": "other"}]),
        corpus.server(trafficPolicy={"timeout": "-5s", "retry": {"attempts": -1, "retryInterval": "-1s"}}),
        selecting(pdGroup=PD | {"groupKey": "not a label"}),
        selecting(pdGroup=PD | {"decodeLabels": PD["prefillLabels"]}),
        selecting(matchLabels={"modelserving.volcano.sh/entry": "true", "empty": ""}),
        corpus.provider(),
        corpus.provider(baseURL="https://[fd00::1]:8443/openai/v1/", headers={"x-a": "tab\tis fine"}),
    ],
)
def test_what_upstream_accepts_is_accepted(obj: dict[str, Any]) -> None:
    assert refused(obj) == []


@pytest.mark.parametrize("url", ["https://a/v1?", "https://a/v1#"])
def test_a_url_that_ends_in_a_bare_mark_is_refused_where_upstream_finds_out_at_run_time(url: str) -> None:
    assert refused(at(url)) == [("spec.baseURL", "Invalid")]


def test_control_characters_in_header_values_are_refused_where_upstream_finds_out_at_run_time() -> None:
    assert refused(corpus.provider(headers={"x-a": "\x00", "x-b": "\x7f"})) == [
        ("spec.headers[x-a]", "Invalid"),
        ("spec.headers[x-b]", "Invalid"),
    ]


def test_the_sentence_on_an_empty_adapter_is_upstreams_which_its_users_test_for() -> None:
    (violation,) = admission.violations(decoding.decode(corpus.route(loraAdapters=[""])))
    assert violation.message == "lora adapter name cannot be an empty string"


def test_a_bad_expression_prints_nothing_and_says_what_is_wrong(capfd: pytest.CaptureFixture[str]) -> None:
    (violation,) = admission.violations(decoding.decode(corpus.matching(uri={"regex": "(?=a)"})))
    assert violation.message.startswith("must be a regular expression that RE2 accepts: ")
    assert violation.value == "(?=a)"
    assert violation.location == ("spec", "rules", 0, "modelMatch", "uri", "regex")
    assert capfd.readouterr() == ("", "")


def test_an_expression_of_megabytes_is_refused_without_a_word_on_stderr(capfd: pytest.CaptureFixture[str]) -> None:
    (violation,) = admission.violations(decoding.decode(corpus.matching(uri={"regex": "(a|b)*" * 500_000})))
    assert violation.message.endswith("it has 3000000 characters, and 65536 are the most")
    (violation,) = admission.violations(decoding.decode(corpus.matching(uri={"regex": "(a|b)*c" * 9_000})))
    assert "it is too large: " in violation.message
    assert admission.violations(decoding.decode(corpus.matching(uri={"regex": "(a|b)*c" * 1_000}))) == []
    assert capfd.readouterr() == ("", "")


def test_pods_are_not_the_webhooks_business() -> None:
    assert refused({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}}) == []
