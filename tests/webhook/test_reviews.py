from __future__ import annotations

import json
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kthena_fast.resources import decoding
from kthena_fast.webhook import judgement, reviews
from kthena_fast.webhook.cluster import Cluster
from tests.resources import corpus
from tests.webhook import asking

ROUTE = corpus.route()


def read(document: Any, kind: str = "ModelRoute") -> reviews.Review:
    return reviews.read(orjson.dumps(document), kind)


def without(review: dict[str, Any], *path: str) -> dict[str, Any]:
    inner = review
    for key in path[:-1]:
        inner = inner[key]
    del inner[path[-1]]
    return review


def of(kind: Any, group: Any = decoding.GROUP) -> dict[str, Any]:
    return asking.review(ROUTE, kind={"group": group, "version": "v1alpha1", "kind": kind})


MALFORMED: list[tuple[str, Any, str]] = [
    ("no JSON", b"{", "the body is not JSON: "),
    ("nothing", b"", "the body is not JSON: "),
    ("a list", [], "the body must be an AdmissionReview, which is a JSON object"),
    ("no review", ROUTE, "the body must be an AdmissionReview of admission.k8s.io/v1, not 'ModelRoute' of "),
    (
        "an older review",
        {**asking.review(ROUTE), "apiVersion": "admission.k8s.io/v1beta1"},
        "register the webhook with",
    ),
    ("no request", without(asking.review(ROUTE), "request"), "request must be an object"),
    ("a request that is none", {**asking.review(ROUTE), "request": []}, "request must be an object"),
    ("no uid", without(asking.review(ROUTE), "request", "uid"), "request.uid must be a string and not empty, not None"),
    ("an empty uid", asking.review(ROUTE, uid=""), "request.uid must be a string and not empty, not ''"),
    ("a uid that is none", asking.review(ROUTE, uid=7), "request.uid must be a string and not empty, not 7"),
    (
        "no operation",
        without(asking.review(ROUTE), "request", "operation"),
        "request.operation must be one of CREATE, ",
    ),
    ("an unknown operation", asking.review(ROUTE, operation="create"), "CONNECT, not 'create'"),
    ("no kind", without(asking.review(ROUTE), "request", "kind"), "request.kind must be an object with group"),
    ("another kind", of("ModelServer"), "this path is for ModelRoute of networking.serving.volcano.sh, and "),
    ("another group", of("ModelRoute", "apps"), "request.kind is 'ModelRoute' of 'apps': the webhook's rules and its"),
    ("a group that is none", of("ModelRoute", {}), "request.kind is 'ModelRoute' of an object: "),
    ("a kind that is none", of([]), "request.kind is a list of 'networking.serving.volcano.sh': "),
    ("a name that is none", asking.review(ROUTE, name=[]), "request.name must be a string, not a list"),
    ("no object", asking.review(ROUTE, object=None), "request.object is missing, and CREATE needs it"),
    ("an object that is none", asking.review(ROUTE, object="x"), "request.object must be an object, not 'x'"),
    ("an empty object", asking.review(ROUTE, object={}), "request.object is missing, and CREATE needs it"),
    ("no old object", asking.review(ROUTE, operation="UPDATE"), "request.oldObject is missing, and UPDATE needs it"),
    (
        "an object of another kind",
        asking.review({**ROUTE, "kind": "X"}, kind=asking.request(ROUTE)["kind"]),
        "is a 'X', and",
    ),
    (
        "an object of another version",
        asking.review({**ROUTE, "apiVersion": "x/v1"}, kind=asking.request(ROUTE)["kind"]),
        "request.object is of 'x/v1', and request.kind is of 'networking.serving.volcano.sh/v1alpha1'",
    ),
    (
        "an object without metadata",
        asking.review(ROUTE, object={**ROUTE, "metadata": []}),
        "request.object.metadata must be",
    ),
    ("another name", asking.review(ROUTE, name="b"), "request.object has the name 'a', and request.name is 'b'"),
    (
        "another namespace",
        asking.review(corpus.thing("ModelRoute", {}, namespace="a"), namespace="b"),
        "request.object has the namespace 'a', and request.namespace is 'b'",
    ),
]


@pytest.mark.parametrize(("document", "said"), [case[1:] for case in MALFORMED], ids=[case[0] for case in MALFORMED])
def test_a_malformed_review_is_told_what_is_wrong_with_it(document: Any, said: str) -> None:
    body = document if isinstance(document, bytes) else orjson.dumps(document)
    with pytest.raises(reviews.BadReview) as caught:
        reviews.read(body, "ModelRoute")
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("nested", [b"[" * 100_000, b'{"a":' * 1000 + b"1" + b"}" * 1000])
def test_a_review_nested_without_end_is_malformed(nested: bytes) -> None:
    with pytest.raises(reviews.BadReview):
        reviews.read(nested, "ModelRoute")


@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}")])
@pytest.mark.parametrize("depth", [100, 900, 1010])
def test_an_object_nested_deeper_than_any_of_ours_is_malformed_or_refused(
    opening: str, closing: str, depth: int
) -> None:
    deep = opening * depth + "1" + closing * depth
    for name in ("m", "n"):
        obj = corpus.route(loraAdapters="HERE", modelName=name)
        body = json.dumps(asking.review(obj, corpus.route(loraAdapters="HERE"))).replace('"HERE"', deep).encode()
        answer = answered(body, "ModelRoute")
        assert answer is None or answer["response"]["allowed"] == (name == "m")


def test_what_is_nested_too_deep_can_be_deleted_labelled_and_finalized() -> None:
    """It may be there, under a CRD that keeps unknown fields, since before the webhook was."""
    deep = '{"a":' * 3000 + "1" + "}" * 3000

    def judged(obj: Any, old: Any, **fields: Any) -> judgement.Verdict:
        body = json.dumps(asking.review(obj, old, **fields)).replace('"HERE"', deep).encode()
        return judgement.judge(reviews.read(body, "ModelRoute"))

    stored = corpus.route(unknown="HERE")
    labelled = {**stored, "metadata": {**stored["metadata"], "labels": {"a": "b"}}}
    assert judged(labelled, stored) == judgement.ALLOWED
    assert judged(stored, stored, operation="DELETE", object=None) == judgement.ALLOWED
    with pytest.raises(reviews.BadReview, match="nested deeper than any object of ours"):
        judged(stored, None)
    with pytest.raises(reviews.BadReview, match="nested deeper than any object of ours"):
        judged(corpus.route(unknown="HERE", loraAdapters=["b"]), stored)


def test_the_old_group_is_a_bad_object_and_no_bad_call() -> None:
    old = {**ROUTE, "apiVersion": "networking.volcano.sh/v1alpha1"}
    verdict = judgement.judge(read(asking.review(old)))
    assert [reason.path for reason in verdict.reasons] == ["apiVersion"]
    assert "was renamed to networking.serving.volcano.sh" in verdict.reasons[0].message


def test_a_subresource_may_be_of_another_kind() -> None:
    scale = {"apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": {"name": "a"}}
    review = read(asking.review(scale, scale, subResource="scale"))
    assert judgement.judge(review) == judgement.ALLOWED


def test_a_deletion_needs_no_object() -> None:
    for fields in ({}, {"oldObject": ROUTE}, {"oldObject": {"kind": "rubbish"}}):
        review = read(asking.review(ROUTE, operation="DELETE", **{"object": None, **fields}))
        assert judgement.judge(review) == judgement.ALLOWED


def test_an_answer_is_a_review_with_the_uid_and_without_the_request() -> None:
    review = read(asking.review(ROUTE))
    answer = json.loads(reviews.allow(review.uid, ["w"]))
    assert answer == {
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "response": {"uid": review.uid, "allowed": True, "warnings": ["w"]},
    }
    assert "warnings" not in json.loads(reviews.allow(review.uid, []))["response"]


def test_a_refusal_has_upstreams_layout_and_a_cause_for_each_reason() -> None:
    reasons = [
        reviews.Reason("FieldValueInvalid", "spec.a", "is bad"),
        reviews.Reason("FieldValueRequired", "", "x\ny"),
    ]
    answer = json.loads(reviews.refuse(read(asking.review(ROUTE)), reasons, []))["response"]
    assert not answer["allowed"]
    assert answer["status"] == {
        "status": "Failure",
        "code": 422,
        "reason": "Invalid",
        "message": "validation failed:\n  - spec.a: is bad\n  - x\\ny",
        "details": {
            "name": "a",
            "group": "networking.serving.volcano.sh",
            "kind": "ModelRoute",
            "causes": [
                {"reason": "FieldValueInvalid", "field": "spec.a", "message": "is bad"},
                {"reason": "FieldValueRequired", "field": "", "message": "x\\ny"},
            ],
        },
    }


def test_more_reasons_than_a_person_reads_are_counted() -> None:
    reasons = [reviews.Reason("FieldValueInvalid", "spec", "x" * 5000)] * (reviews.MAX_REASONS + 7)
    body = reviews.refuse(read(asking.review(ROUTE)), reasons, [])
    causes = json.loads(body)["response"]["status"]["details"]["causes"]
    assert len(causes) == reviews.MAX_REASONS + 1
    assert causes[-1]["message"] == "and at least 7 further reasons"
    assert len(causes[0]["message"]) == reviews.MAX_REASON
    assert len(body) < 300_000


NUMBERS = st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False)
JSON = st.recursive(
    st.none() | st.booleans() | NUMBERS | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=8,
)


def replaced(document: Any, choose: Any) -> Any:
    """The document with some of its parts replaced by something else, or left out."""
    if isinstance(document, dict):
        result = {}
        for key, part in document.items():
            what = choose(st.integers(0, 30))
            if what == 0:
                continue
            result[key] = choose(JSON) if what == 1 else replaced(part, choose)
        return result
    if isinstance(document, list):
        return [choose(JSON) if choose(st.integers(0, 30)) == 0 else replaced(part, choose) for part in document]
    return document


def answered(body: bytes, kind: str) -> Any:
    """The answer to a review; None: it is malformed."""
    try:
        review = reviews.read(body, kind)
        verdict = judgement.judge(review)
    except reviews.BadReview as problem:
        # It is one line of plain text.
        if not str(problem).isprintable():
            raise
        return None
    warnings = judgement.warnings(verdict, Cluster())
    if verdict.reasons:
        return json.loads(reviews.refuse(review, verdict.reasons, warnings))
    return json.loads(reviews.allow(review.uid, warnings))


def test_what_a_caller_sent_is_one_line_in_a_reason() -> None:
    document = asking.review(ROUTE)
    document["request"]["kind"]["version"] = "v1\n\x1b[1m"
    assert answered(orjson.dumps(document), "ModelRoute") is None
    document = asking.review(ROUTE)
    document["request"]["name"] = "a\u2028b"
    assert answered(orjson.dumps(document), "ModelRoute") is None


# How fast reviews are drawn says nothing about them.
@settings(suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_whatever_is_asked_is_answered_or_malformed(data: st.DataObject) -> None:
    obj = data.draw(st.sampled_from([ROUTE, corpus.server(), corpus.provider()]))
    document = replaced(asking.review(obj, data.draw(st.sampled_from([None, obj]))), data.draw)
    answer = answered(orjson.dumps(document), obj["kind"])
    assert answer is None or answer["response"]["uid"] == document["request"]["uid"]


@given(st.binary(max_size=200) | JSON.map(orjson.dumps))
def test_rubbish_is_malformed(body: bytes) -> None:
    assert answered(body, "ModelRoute") is None
