from __future__ import annotations

from typing import Any

import pytest

from kthena_fast.resources import announcements, decoding
from kthena_fast.resources.model_server import ENDPOINTS
from tests.resources import corpus


def announced(obj: dict[str, Any]) -> list[str]:
    return [found.path for found in announcements.announcements(decoding.decode(obj))]


PD = {"groupKey": "g", "prefillLabels": {"r": "p"}, "decodeLabels": {"r": "d"}}


@pytest.mark.parametrize(
    ("obj", "paths"),
    [
        (corpus.route(), []),
        (corpus.route(rateLimit={"inputTokensPerUnit": 1}), ["spec.rateLimit"]),
        (corpus.route(rateLimit={}), []),
        (corpus.route(parentRefs=[{"name": "gw"}]), ["spec.parentRefs"]),
        (
            corpus.aimed(externalModelProviderName="p"),
            ["spec.rules[0].targetModels[0].externalModelProviderName"],
        ),
        (corpus.matching(headers={"x": {"regex": "("}}), ["spec.rules[0].modelMatch.headers[x].regex"]),
        (corpus.server(), []),
        (corpus.server(workloadSelector={}), ["spec.workloadSelector.matchLabels"]),
        (
            corpus.server(workloadSelector={"matchLabels": {"a": "b"}, "pdGroup": PD}, kvConnector={}),
            ["spec.workloadSelector.pdGroup", "spec.kvConnector"],
        ),
        (corpus.server(kvConnector={"type": "nixl"}), []),
        (corpus.provider(), ["spec"]),
        ({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}}, []),
    ],
)
def test_what_is_not_obeyed_is_announced_and_nothing_else(obj: dict[str, Any], paths: list[str]) -> None:
    assert announced(obj) == paths


def test_engines_named_by_annotation_need_no_labels() -> None:
    spec = corpus.server(workloadSelector={})["spec"]
    assert announced(corpus.thing("ModelServer", spec, annotations={ENDPOINTS: "h:1"})) == []


def test_the_field_of_an_announcement_takes_few_values() -> None:
    (found,) = announcements.announcements(decoding.decode(corpus.matching(headers={"x[1]]": {"regex": "("}})))
    assert found.field == "spec.rules.modelMatch.headers.regex"
