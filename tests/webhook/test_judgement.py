from __future__ import annotations

from typing import Any

import orjson
import pytest

from kthena_fast.resources import decoding, size, structure
from kthena_fast.resources.model_server import ENDPOINTS
from kthena_fast.webhook import judgement, reviews
from kthena_fast.webhook.cluster import Cluster
from tests.resources import corpus
from tests.webhook import asking

REFUSED = corpus.aimed(modelServerName="s", weight=0)
"""A route that cannot be created."""


def judge(obj: dict[str, Any], old: dict[str, Any] | None = None, **fields: Any) -> judgement.Verdict:
    return judgement.judge(reviews.read(orjson.dumps(asking.review(obj, old, **fields)), obj["kind"]))


def paths(verdict: judgement.Verdict) -> list[str]:
    return [reason.path for reason in verdict.reasons]


def with_metadata(obj: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {**obj, "metadata": {**obj["metadata"], **fields}}


def test_what_cannot_be_created_can_be_deleted_labelled_and_finalized() -> None:
    assert paths(judge(REFUSED)) == ["spec.rules[0].targetModels"]
    assert judge(REFUSED, operation="DELETE", oldObject=REFUSED, object=None) == judgement.ALLOWED
    stored = with_metadata(REFUSED, finalizers=["a/b"])
    changes: list[dict[str, Any]] = [
        {"finalizers": []},
        {"labels": {"a": "b"}},
        {"annotations": {"a": "b"}},
        {"ownerReferences": []},
    ]
    for fields in changes:
        assert judge(with_metadata(stored, **fields), stored) == judgement.ALLOWED
    assert judge(REFUSED | {"status": {"conditions": []}}, REFUSED) == judgement.ALLOWED
    assert judge(corpus.route(), corpus.route(modelName="n"), subResource="status") == judgement.ALLOWED


def test_an_object_without_a_spec_can_be_labelled_too() -> None:
    obj = corpus.without_spec("ModelServer")
    assert paths(judge(obj)) == ["spec"]
    assert judge(with_metadata(obj, labels={"a": "b"}), obj) == judgement.ALLOWED


def test_a_spec_that_is_changed_is_judged_whole() -> None:
    assert paths(judge(asking.changed(REFUSED, loraAdapters=["a"]), REFUSED)) == ["spec.rules[0].targetModels"]


def test_what_the_crd_and_what_the_webhook_refuse_come_together() -> None:
    bad = corpus.route(
        loraAdapters=[""] * 11,
        rules=[corpus.rule(targetModels=[corpus.target(weight="heavy")]), *REFUSED["spec"]["rules"]],
    )
    assert paths(judge(asking.changed(bad, modelName=None), corpus.route())) == [
        "spec.loraAdapters",
        "spec.rules[0].targetModels[0].weight",
        *(f"spec.loraAdapters[{index}]" for index in range(10)),
        "spec.rules[1].targetModels",
        "spec.modelName",
    ]


@pytest.mark.parametrize(("before", "after"), [("m", "n"), ("m", None), ("m", ""), (None, "m"), ("", "m")])
def test_model_name_stays_what_it_was_at_creation(before: str | None, after: str | None) -> None:
    names = {"loraAdapters": ["a"]}
    old = asking.changed(corpus.route(**names), modelName=before)
    (reason,) = judge(asking.changed(corpus.route(**names), modelName=after), old).reasons
    assert reason.path == "spec.modelName"
    assert reason.message.startswith("modelName is immutable: ")


def test_an_empty_model_name_is_none() -> None:
    old = asking.changed(corpus.route(loraAdapters=["a"]), modelName=None)
    assert judge(corpus.route(loraAdapters=["a"], modelName=""), old).reasons == []


def test_reasons_name_the_value_and_what_is_allowed() -> None:
    (reason,) = judge(corpus.timed("soon")).reasons
    assert (reason.kind, reason.path) == ("FieldValueInvalid", "spec.trafficPolicy.timeout")
    assert reason.message == 'Invalid value: "soon": must be a duration such as 300ms, 10s, 5m or 1h30m'
    (reason,) = judge(corpus.server(inferenceEngine="vllm")).reasons
    assert (reason.kind, reason.message) == (
        "FieldValueNotSupported",
        'Unsupported value: "vllm": must be one of vLLM, SGLang',
    )
    (reason,) = judge(corpus.server(workloadPort={})).reasons
    assert (reason.kind, reason.message) == ("FieldValueRequired", "is required")
    (reason,) = judge(corpus.timed("9" * 1000)).reasons
    assert len(reason.message) < 300


def test_what_may_be_a_credential_is_not_repeated() -> None:
    for obj in (
        corpus.provider(headers={"x-key": "top secret\n"}),
        corpus.provider(baseURL="https://alice:secret@example.com"),
    ):
        (reason,) = judge(obj).reasons
        assert "secret" not in reason.message
        assert "(hidden)" in reason.message


def test_a_name_to_be_generated_is_no_missing_name() -> None:
    obj = {**corpus.route(), "metadata": {"generateName": "x" * 100}}
    assert judge(obj, name="", namespace="n").reasons == []
    assert paths(judge({**corpus.route(), "metadata": {}}, name="", namespace="n")) == ["metadata.name"]
    assert paths(judge({**corpus.route(), "metadata": {"generateName": 7}}, name="")) == ["metadata.name"]


def test_the_namespace_of_the_request_is_that_of_the_object() -> None:
    verdict = judge(corpus.route(), namespace="elsewhere")
    assert verdict.route is not None
    assert verdict.route.metadata.key == "elsewhere/a"


def test_a_bad_annotation_is_warned_of_where_only_metadata_changed_and_refused_with_a_new_spec() -> None:
    good = corpus.server()
    bad = with_metadata(good, annotations={ENDPOINTS: "nowhere"})
    (warning,) = judge(bad, good).warnings
    assert warning.startswith(f"metadata.annotations[{ENDPOINTS}]: 'nowhere' is not an endpoint")
    assert warning.endswith("the gateway sets the ModelServer aside until it is mended")
    assert judge(bad, good).reasons == []
    # It is told to whoever writes it, and not at every change.
    assert judge(with_metadata(bad, labels={"a": "b"}), bad) == judgement.ALLOWED
    assert paths(judge(bad)) == ["metadata.annotations"]
    assert judge(with_metadata(good, annotations={ENDPOINTS: "engine:8000"}), good) == judgement.ALLOWED


def test_warnings_keep_within_what_the_api_server_passes_on() -> None:
    names = {f"x-{'n' * 300}-{number}": {"exact": "a", "prefix": "b"} for number in range(30)}
    verdict = judge(corpus.matching(headers=names))
    told = judgement.warnings(verdict, Cluster())
    assert len(told) == judgement.MAX_WARNINGS
    assert told[-1] == "and 19 further warnings"
    assert all(len(text) <= 256 for text in told)
    assert sum(map(len, told)) <= 4096


def test_warnings_hold_nothing_that_a_header_may_not() -> None:
    verdict = judge(corpus.matching(headers={"x\r\ny\x1b": {"exact": "a", "prefix": "b"}}))
    assert all(text.isprintable() for text in judgement.warnings(verdict, Cluster()))


def test_of_very_many_faults_the_first_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Mending such an object fault by fault, to find what hides behind them, would take hours."""
    monkeypatch.setattr(structure, "mended", None)
    faulty = {f"k{number}": number for number in range(20_000)}
    verdict = judge(corpus.server(workloadSelector={"matchLabels": faulty}, workloadPort={}))
    assert len(verdict.reasons) == decoding.MAX_VIOLATIONS
    bad = {f"k {number}": "v" for number in range(20_000)}
    assert len(judge(corpus.server(workloadSelector={"matchLabels": bad})).reasons) == decoding.MAX_VIOLATIONS


@pytest.mark.parametrize(
    ("obj", "warning"),
    [
        (
            corpus.route(rateLimit={"inputTokensPerUnit": 1000, "unit": "minute"}),
            "spec.rateLimit: tokens are not limited yet: the route is served without limit",
        ),
        (
            corpus.server(
                workloadSelector={
                    "matchLabels": {"app": "m"},
                    "pdGroup": {
                        "groupKey": "g",
                        "prefillLabels": {"role": "prefill"},
                        "decodeLabels": {"role": "decode"},
                    },
                }
            ),
            "spec.workloadSelector.pdGroup: prefill and decode are not split yet: the pods that decode do both",
        ),
        (
            corpus.provider(),
            "spec: providers cannot be called yet: targets that name one are never ready",
        ),
    ],
    ids=["rateLimit", "pdGroup", "provider"],
)
def test_what_the_gateway_does_not_obey_is_warned_of(obj: dict[str, Any], warning: str) -> None:
    verdict = judge(obj)
    assert verdict.reasons == []
    assert verdict.warnings == [warning]


def test_what_is_refused_is_not_warned_of_too() -> None:
    verdict = judge(corpus.matching(headers={"x": {"regex": "("}}))
    assert [reason.path for reason in verdict.reasons] == ["spec.rules[0].modelMatch.headers[x].regex"]
    assert verdict.warnings == []


def test_an_object_that_the_gateway_is_not_going_to_read_is_warned_of() -> None:
    large = corpus.matching(headers={f"x-{number}": {"exact": "v"} for number in range(5000)})
    verdict = judge(large)
    assert verdict.reasons == []
    assert verdict.warnings[0] == f"spec: {size.TOO_LARGE}"
