"""Objects with several faults, of the CRD's kind and of the webhook's: all of them are found, and no others."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kthena_fast.resources import admission, decoding, structure
from tests.resources import corpus

ONE_OF_EACH = (
    corpus.route(
        loraAdapters=["a"],
        rules=[
            corpus.rule(modelMatch={"headers": {"x": {"regex": "a"}}, "uri": {"exact": "/"}, "body": {"model": "m"}})
        ],
        parentRefs=[{"name": "gw", "namespace": "ns", "sectionName": "s", "port": 1}],
        rateLimit={"inputTokensPerUnit": 1, "global": {"redis": {"address": "r:1"}}},
    ),
    corpus.server(
        model="m",
        workloadSelector={
            "matchLabels": {"app": "x"},
            "pdGroup": {"groupKey": "g", "prefillLabels": {"r": "p"}, "decodeLabels": {"r": "d"}},
        },
        trafficPolicy={"timeout": "1s", "retry": {"attempts": 1, "retryInterval": "1s"}},
        kvConnector={"type": "nixl"},
    ),
    corpus.provider(
        model="m",
        headers={"x-a": "1"},
        insecureSkipVerify=True,
        auth={"scheme": "Bearer", "secretRef": {"name": "s", "key": "k"}},
    ),
    {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "p", "labels": {"a": "b"}, "creationTimestamp": "2026-01-31T12:00:00Z"},
        "spec": {"nodeName": "n"},
        "status": {
            "podIP": "10.0.0.1",
            "podIPs": [{"ip": "10.0.0.1"}],
            "conditions": [{"type": "Ready", "status": "True"}],
        },
    },
    {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "data": {"k": "eA=="}, "stringData": {"k": "x"}},
)
GARBAGE: tuple[Any, ...] = (
    *(None, 0, 101, -1, 2**40, 1.5, True),
    *("", "(", "a b", "x" * 300),
    *([], ["", None, 1], [{}] * 20),
    *({}, {"": "", "a b": 1}, {1: 2, "x": {}}),
)
"""One of each type, and one beyond each bound."""


def everything(obj: dict[str, Any]) -> list[str]:
    try:
        resource = decoding.decode(obj)
    except decoding.Rejected as refusal:
        return [violation.path for violation in (*refusal.violations, *admission.further_violations(obj, refusal))]
    return [violation.path for violation in admission.violations(resource)]


def places(value: Any) -> Iterator[tuple[Any, ...]]:
    entries = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in entries:
        yield (key,)
        yield from ((key, *below) for below in places(part))


def spoilt(obj: dict[str, Any], place: tuple[Any, ...], value: Any) -> dict[str, Any]:
    changed = copy.deepcopy(obj)
    inside: Any = changed
    for key in place[:-1]:
        inside = inside[key]
    inside[place[-1]] = value
    return changed


def decodes(obj: dict[str, Any]) -> bool:
    try:
        decoding.decode(obj)
    except decoding.Rejected:
        return False
    return True


def without(obj: dict[str, Any], place: tuple[Any, ...]) -> dict[str, Any] | None:
    changed = copy.deepcopy(obj)
    inside: Any = changed
    for key in place[:-1]:
        inside = inside[key]
    if isinstance(inside, list):
        return None
    del inside[place[-1]]
    return changed


@pytest.mark.parametrize(
    ("obj", "wanted"),
    [
        (
            corpus.route(
                loraAdapters=[""],
                rules=[{"modelMatch": {"uri": {"regex": "(?=a)"}}, "targetModels": [corpus.target(weight=101)]}],
            ),
            ["spec.rules[0].targetModels[0].weight", "spec.loraAdapters[0]", "spec.rules[0].modelMatch.uri.regex"],
        ),
        (
            corpus.route(
                modelName=7, loraAdapters=["", 5], rules=[corpus.rule(targetModels=[corpus.target(weight=0)])]
            ),
            ["spec.modelName", "spec.loraAdapters[1]", "spec.loraAdapters[0]", "spec.rules[0].targetModels"],
        ),
        (
            corpus.route(modelName="", rules=[corpus.rule(modelMatch={"uri": {"regex": "("}})]),
            ["spec", "spec.rules[0].modelMatch.uri.regex"],
        ),
        (
            corpus.server(
                workloadSelector={
                    "matchLabels": {"a b": "x"},
                    "pdGroup": {"groupKey": "", "prefillLabels": {}, "decodeLabels": {"a": 1}},
                },
                workloadPort={"port": 0},
            ),
            [
                "spec.workloadSelector.pdGroup.decodeLabels[a]",
                "spec.workloadPort.port",
                "spec.workloadSelector.pdGroup.groupKey",
                "spec.workloadSelector.matchLabels",
                "spec.workloadSelector.pdGroup.prefillLabels",
            ],
        ),
        (
            corpus.provider(model="m" * 257, baseURL="https://a?x#y", headers={"host": "x", "x-a": 1}),
            ["spec.model", "spec.headers[x-a]", "spec.baseURL", "spec.headers[host]"],
        ),
    ],
)
def test_what_the_crd_and_what_the_webhook_refuses_is_told_at_once(obj: dict[str, Any], wanted: list[str]) -> None:
    assert everything(obj) == wanted


@pytest.mark.parametrize(
    ("obj", "wanted"),
    [
        (corpus.server(workloadSelector={"matchLabels": "x"}), ["spec.workloadSelector.matchLabels"]),
        (corpus.server(workloadSelector={"matchLabels": {"a": 1}}), ["spec.workloadSelector.matchLabels[a]"]),
        (corpus.server(workloadSelector={"matchLabels": {1: "a"}}), ["spec.workloadSelector.matchLabels[1]"]),
        (corpus.server(workloadSelector="x"), ["spec.workloadSelector"]),
        (
            corpus.server(workloadSelector={"matchLabels": {"a": "b"}, "pdGroup": {}}),
            [
                "spec.workloadSelector.pdGroup.groupKey",
                "spec.workloadSelector.pdGroup.prefillLabels",
                "spec.workloadSelector.pdGroup.decodeLabels",
            ],
        ),
        (
            corpus.provider(auth={"secretRef": {"name": 5, "key": 5}}),
            ["spec.auth.secretRef.name", "spec.auth.secretRef.key"],
        ),
        (corpus.provider(auth={"secretRef": "x"}), ["spec.auth.secretRef"]),
        (corpus.provider(baseURL=5), ["spec.baseURL"]),
        (corpus.provider(baseURL="http://u@a?x"), ["spec.baseURL"]),
        (corpus.aimed(modelServerName="s", weight="0"), ["spec.rules[0].targetModels[0].weight"]),
        (corpus.route(rules=[corpus.rule(targetModels=[])]), ["spec.rules[0].targetModels"]),
        (
            corpus.route(rules=[corpus.rule(targetModels=[corpus.target(weight=0), None])]),
            ["spec.rules[0].targetModels[1]"],
        ),
        (corpus.without_spec("ModelRoute"), ["spec"]),
        ({"apiVersion": corpus.API, "kind": "ModelRout", "spec": {"loraAdapters": [""]}}, ["kind"]),
    ],
)
def test_nothing_is_said_about_what_is_missing_only_because_it_is_faulty(
    obj: dict[str, Any], wanted: list[str]
) -> None:
    assert everything(obj) == wanted


def test_faults_within_a_list_that_is_too_long_do_not_hide_behind_its_length() -> None:
    bad = corpus.rule(modelMatch={"uri": {"regex": "("}}, targetModels=[corpus.target(weight=101)])
    assert everything(corpus.route(rules=[bad] + [corpus.rule()] * 16)) == [
        "spec.rules[0].targetModels[0].weight",
        "spec.rules",
        "spec.rules[0].modelMatch.uri.regex",
    ]


@pytest.mark.parametrize("case", [case for case in corpus.CASES if case.paths], ids=lambda case: case.name)
def test_an_object_with_one_fault_gets_no_second_one_from_the_mending(case: corpus.Case) -> None:
    # Some of these leave out what only the webhook asks for.
    left_out = {"spec.workloadSelector.matchLabels", "spec.auth.secretRef.name"}
    told = everything(case.obj)
    assert len(told) == len(set(told))
    assert set(case.paths) <= set(told) <= set(case.paths) | left_out


@pytest.mark.parametrize("obj", ONE_OF_EACH, ids=lambda obj: obj["kind"])
def test_whatever_is_in_whatever_field_everything_can_be_told(obj: dict[str, Any]) -> None:
    assert everything(obj) == []
    for place in places(obj):
        for value in GARBAGE:
            if place not in (("kind",), ("apiVersion",)):
                everything(spoilt(obj, place, value))


@given(st.data())
def test_what_either_verdict_says_is_among_what_is_told(data: st.DataObject) -> None:
    good = data.draw(st.sampled_from(ONE_OF_EACH[:3]))
    here = st.sampled_from(list(places(good["spec"])))
    obj = good
    for _ in range(data.draw(st.integers(1, 4))):
        # A place that another fault has taken away is no place any more.
        if (place := ("spec", *data.draw(here))) in set(places(obj)):
            obj = spoilt(obj, place, data.draw(st.sampled_from(GARBAGE)))
    told = everything(obj)
    if decodes(obj):
        assert told == [violation.path for violation in admission.violations(decoding.decode(obj))]
    else:
        with pytest.raises(decoding.Rejected) as refused:
            decoding.decode(obj)
        assert {violation.path for violation in refused.value.violations} <= set(told)
        # The webhook's verdict on the object without any one of its fields that can be left out.
        for place in places(obj):
            less = without(obj, place)
            if less is not None and decodes(less):
                schema = structure.schema(type(decoding.decode(less)))
                taken = structure.path(schema, place)
                missed = set(everything(less)) - set(told)
                assert all(taken.startswith(path) for path in missed)
