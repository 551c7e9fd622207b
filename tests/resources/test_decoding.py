from __future__ import annotations

import contextlib
import copy
import json
from collections.abc import Iterator
from datetime import UTC, date, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kthena_fast.resources import crds, decoding, structure
from kthena_fast.resources.model_route import ModelRoute
from kthena_fast.resources.model_server import ModelServer
from tests.resources import corpus, structural

named = pytest.mark.parametrize


def refusals(obj: Any) -> tuple[decoding.Violation, ...]:
    with pytest.raises(decoding.Rejected) as refused:
        decoding.decode(obj)
    return refused.value.violations


def paths(obj: Any) -> list[str]:
    try:
        decoding.decode(obj)
    except decoding.Rejected as refused:
        return [violation.path for violation in refused.violations]
    return []


@named("case", corpus.CASES, ids=lambda case: case.name)
def test_the_verdict_is_the_api_servers(case: corpus.Case) -> None:
    assert sorted(paths(case.obj)) == sorted(case.paths)


@named("case", corpus.DIFFERENT, ids=lambda case: case.name)
def test_what_upstreams_crds_let_through_and_its_router_dies_of_is_refused(case: corpus.Case) -> None:
    assert paths(case.obj)


def test_a_route_without_names_is_refused_with_the_intended_message() -> None:
    # Upstream's rule has no has(): "no such key: modelName" is what its users read.
    for obj in (corpus.thing("ModelRoute", {"rules": [corpus.rule()]}), corpus.route(modelName="")):
        (violation,) = refusals(obj)
        assert violation.message == "either modelName must be set or loraAdapters must have an entry"
        assert violation.kind == "Required"


def test_every_violation_is_told_at_once_with_what_is_allowed() -> None:
    obj = corpus.thing(
        "ModelServer",
        {
            "inferenceEngine": "vllm",
            "workloadSelector": {"matchLabels": {"app": 1}},
            "workloadPort": {"port": 0},
            "trafficPolicy": {"timeout": "soon", "retry": {"attempts": 3e9, "retryInterval": "9999999h"}},
        },
        name="Capital",
    )
    assert [(violation.path, violation.kind) for violation in refusals(obj)] == [
        ("metadata.name", "Invalid"),
        ("spec.inferenceEngine", "NotSupported"),
        ("spec.workloadSelector.matchLabels[app]", "Invalid"),
        ("spec.workloadPort.port", "Invalid"),
        ("spec.trafficPolicy.timeout", "Invalid"),
        ("spec.trafficPolicy.retry.attempts", "Invalid"),
        ("spec.trafficPolicy.retry.retryInterval", "Invalid"),
    ]
    said = {violation.path: violation.message for violation in refusals(obj)}
    assert said["spec.inferenceEngine"] == "must be one of vLLM, SGLang"
    assert said["spec.workloadPort.port"] == "must be between 1 and 65535"
    assert said["spec.trafficPolicy.timeout"] == "must be a duration such as 300ms, 10s, 5m or 1h30m"
    assert said["spec.trafficPolicy.retry.retryInterval"] == "must not exceed 2562047h47m16s"


@named(
    ("value", "more"),
    [
        (30, ', and 30 has no unit: write "30s" for seconds'),
        (1.5, ', and 1.5 has no unit: write "1.5s" for seconds'),
        ("30", ', and 30 has no unit: write "30s" for seconds'),
        (True, ""),
        (["30s"], ""),
        ("30 s", ""),
    ],
)
def test_a_number_where_a_duration_is_wanted_is_answered_with_what_to_write(value: Any, more: str) -> None:
    (violation,) = refusals(corpus.server(trafficPolicy={"timeout": value}))
    assert violation.path == "spec.trafficPolicy.timeout"
    assert violation.message == f"must be a duration such as 300ms, 10s, 5m or 1h30m{more}"


def test_a_rule_is_judged_although_another_field_is_bad() -> None:
    obj = corpus.thing("ModelRoute", {"rules": [corpus.rule(targetModels=[{"weight": 101}])]})
    assert sorted(paths(obj)) == ["spec", "spec.rules[0].targetModels[0]", "spec.rules[0].targetModels[0].weight"]


def test_a_rejection_names_the_object_and_where_each_violation_is() -> None:
    with pytest.raises(
        decoding.Rejected, match=r"^ModelServer ns/a is refused: spec.workloadPort.port: must be"
    ) as refused:
        decoding.decode({**corpus.server(workloadPort={"port": 0}), "metadata": {"name": "a", "namespace": "ns"}})
    assert (refused.value.kind, refused.value.namespace, refused.value.name) == ("ModelServer", "ns", "a")
    (violation,) = refused.value.violations
    assert violation.location == ("spec", "workloadPort", "port")
    assert violation.value == 0


def test_defaults_are_those_that_the_api_server_fills_in() -> None:
    obj = corpus.route(rateLimit={}, parentRefs=[{"name": "gw"}])
    assert decoding.decode(obj).as_object()["spec"] == {
        "modelName": "m",
        "parentRefs": [{"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": "gw"}],
        "rules": [{"targetModels": [{"modelServerName": "s", "weight": 100}]}],
        "rateLimit": {"unit": "second"},
    }
    obj = corpus.server(trafficPolicy={"retry": {}}, kvConnector={})
    spec = decoding.decode(obj).as_object()["spec"]
    assert spec["trafficPolicy"] == {"retry": {"retryInterval": "100ms"}}
    assert spec["kvConnector"] == {"type": "http"}
    assert spec["workloadPort"] == {"port": 8000, "protocol": "http"}
    assert "loraAdapters" not in spec
    spec = decoding.decode(corpus.provider(auth={"secretRef": {"key": "k"}})).as_object()["spec"]
    assert spec == {
        "baseURL": "https://api.example.com/v1",
        "providerType": "OpenAI",
        "insecureSkipVerify": False,
        "auth": {"secretRef": {"name": "", "key": "k"}},
    }


def test_what_is_given_empty_stays_given() -> None:
    spec = {"modelName": "m", "loraAdapters": [], "rules": [], "rateLimit": {"global": {}, "unit": "day"}}
    assert decoding.decode(corpus.thing("ModelRoute", spec)).as_object()["spec"] == spec


@named("case", [case for case in corpus.CASES if not case.paths], ids=lambda case: case.name)
def test_a_decoded_object_written_out_decodes_to_itself(case: corpus.Case) -> None:
    decoded = decoding.decode(case.obj)
    assert decoding.decode(json.loads(json.dumps(decoded.as_object()))) == decoded


def test_the_old_group_is_refused_with_the_name_of_the_new_one() -> None:
    (violation,) = refusals({**corpus.route(), "apiVersion": "networking.volcano.sh/v1alpha1"})
    assert violation.path == "apiVersion"
    assert violation.message == (
        "the API group networking.volcano.sh was renamed to networking.serving.volcano.sh: "
        "write networking.serving.volcano.sh/v1alpha1"
    )


def test_another_version_or_a_misspelt_kind_of_our_group_is_refused() -> None:
    (violation,) = refusals({**corpus.route(), "apiVersion": "networking.serving.volcano.sh/v1"})
    assert (violation.path, violation.kind) == ("apiVersion", "NotSupported")
    (violation,) = refusals({**corpus.route(), "kind": "ModelRoutes"})
    assert (violation.path, violation.message) == (
        "kind",
        "must be one of ModelRoute, ModelServer, ExternalModelProvider",
    )


@named("api_version", ["networking.serving.volcano.io/v1alpha1", "networking.servin.volcano.sh/v1", "v1", "apps/v1"])
def test_a_misspelt_group_of_a_kind_of_ours_is_refused(api_version: str) -> None:
    (violation,) = refusals({**corpus.route(), "apiVersion": api_version})
    assert (violation.path, violation.kind) == ("apiVersion", "NotSupported")
    assert violation.message == "must be networking.serving.volcano.sh/v1alpha1"


@named(
    ("api_version", "kind"),
    [
        ("intel.com/v1alpha1", "ModelServer"),
        ("apps/v1", "Deployment"),
        ("v1", "ConfigMap"),
        ("v2", "Pod"),
        ("workload.serving.volcano.sh/v1alpha1", "ModelServing"),
    ],
)
def test_kinds_of_others_are_unknown_and_not_wrong(api_version: str, kind: str) -> None:
    with pytest.raises(decoding.UnknownKind) as unknown:
        decoding.decode({"apiVersion": api_version, "kind": kind})
    assert (unknown.value.api_version, unknown.value.kind) == (api_version, kind)


@named("document", [None, [], "text", 7, {}, {"kind": 1}, {"apiVersion": [], "kind": {}}])
def test_what_is_no_object_is_refused(document: Any) -> None:
    assert refusals(document)


@named(
    "document",
    [
        None,
        7,
        "text",
        [],
        ["text", {"name": "a"}],
        {},
        {"apiVersion": "v2", "name": "kthena", "version": "1.0.0"},
        {"global": {}, "networking": {"enabled": True}},
        {"kind": "Kustomization", "resources": []},
        {"kind": 1, "metadata": {}},
    ],
)
def test_what_is_not_like_an_object_is_foreign(document: Any) -> None:
    assert decoding.is_foreign(document)
    assert refusals(document)


@named(
    "document",
    [
        {"kind": "ModelRoute"},
        {"apiVersion": corpus.API},
        {"apiVersion": corpus.API, "kid": "ModelRoute"},
        {"apiVersion": "networking.volcano.sh/v1alpha1"},
        {"apiversion": corpus.API, "kid": "ModelRoute", "metadata": {}, "spec": {}},
        {"kind": "Pod"},
        [{"kind": "ModelServer"}],
    ],
)
def test_an_object_with_its_kind_misspelt_is_not_foreign(document: Any) -> None:
    assert not decoding.is_foreign(document)
    assert refusals(document)


def test_an_empty_namespace_is_the_default_one() -> None:
    assert decoding.decode(corpus.route()).metadata.key == "default/a"
    assert decoding.decode(corpus.thing("ModelRoute", corpus.route()["spec"], namespace="")).metadata.key == "default/a"


@named(
    "text",
    [
        "2026-01-31T12:00:00Z",
        "2026-01-31T13:00:00+01:00",
        datetime(2026, 1, 31, 12),  # noqa: DTZ001 - what YAML makes of a time without a zone
        datetime(2026, 1, 31, 12, tzinfo=UTC),
    ],
)
def test_times_are_read_from_json_and_from_yaml(text: Any) -> None:
    spec = corpus.route()["spec"]
    decoded = decoding.decode(corpus.thing("ModelRoute", spec, creationTimestamp=text))
    assert decoded.metadata.creation_timestamp == datetime(2026, 1, 31, 12, tzinfo=UTC)


@named("text", ["yesterday", 7, date(2026, 1, 31), "2026-13-01T00:00:00Z"])
def test_what_is_no_time_is_refused(text: Any) -> None:
    assert paths(corpus.thing("ModelRoute", {"rules": []}, creationTimestamp=text))[0] == "metadata.creationTimestamp"


def test_generated_manifests_say_that_a_time_is_null() -> None:
    decoded = decoding.decode(corpus.thing("ModelRoute", corpus.route()["spec"], creationTimestamp=None))
    assert decoded.metadata.creation_timestamp is None


def test_unknown_fields_are_dropped_and_listed_with_the_nearest_name() -> None:
    obj = corpus.server(workloadPort={"port": 1, "protocl": "https"}, zzz=1)
    obj["metadata"] |= {"lables": {}, "managedFields": [], "labels": {"anything": "goes"}}
    obj["status"] = {"anything": "goes"}
    obj["sepc"] = {}
    assert isinstance(decoding.decode(obj), ModelServer)
    found = [(field.path, field.nearest) for field in decoding.unknown_fields(obj)]
    assert found == [
        ("sepc", "spec"),
        ("metadata.lables", "labels"),
        ("spec.zzz", None),
        ("spec.workloadPort.protocl", "protocol"),
    ]
    assert str(decoding.unknown_fields(obj)[3]) == "spec.workloadPort.protocl: unknown field; did you mean protocol?"


def test_fields_of_kinds_that_are_read_in_part_are_not_called_unknown() -> None:
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": {"containers": []}}
    assert decoding.unknown_fields(pod) == []
    assert decoding.unknown_fields({"kind": []}) == []


def test_decoded_values_do_not_change() -> None:
    route = decoding.decode(corpus.matching(headers={"x": {"exact": "y"}}))
    assert isinstance(route, ModelRoute)
    with pytest.raises(ValueError, match="frozen"):
        setattr(route.spec, "model_name", "other")  # noqa: B010 - mypy knows that it cannot be set
    match = route.spec.rules[0].model_match
    assert match is not None
    with pytest.raises(TypeError):
        match.headers["z"] = match.headers["x"]  # type: ignore[index]  # that is what must fail


SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text()


def nested(scalars: st.SearchStrategy[Any], keys: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.recursive(
        scalars,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3),
        max_leaves=8,
    )


FROM_JSON = nested(SCALARS, st.text())
# A YAML reader gives keys and values that JSON has not; nothing gives lone surrogates, but they must do no harm.
ANYTHING = nested(
    SCALARS | st.binary(max_size=3) | st.dates() | st.just("\ud800"), st.text() | st.integers() | st.none()
)


def _places(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield at
    for key, part in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from _places(part, (*at, key))


@st.composite
def spoilt(draw: st.DrawFn, values: st.SearchStrategy[Any]) -> Any:
    """An object of the corpus with something else in one place or two."""
    obj = copy.deepcopy(draw(st.sampled_from(corpus.CASES)).obj)
    for _ in range(draw(st.integers(1, 2))):
        *above, last = draw(st.sampled_from(list(_places(obj))[1:]))
        inside = obj
        for key in above:
            inside = inside[key]
        inside[last] = draw(values)
    return obj


@given(
    ANYTHING | st.fixed_dictionaries({"apiVersion": st.just(corpus.API), "kind": st.sampled_from(("ModelRoute", "X"))})
)
def test_arbitrary_documents_are_refused_or_unknown_and_nothing_else(document: Any) -> None:
    with pytest.raises((decoding.Rejected, decoding.UnknownKind)):
        decoding.decode(document)
    assert not (decoding.is_of_others(document) and decoding.is_foreign(document))


@given(spoilt(ANYTHING))
def test_spoilt_objects_decode_or_are_refused_and_nothing_else(obj: Any) -> None:
    with contextlib.suppress(decoding.Rejected, decoding.UnknownKind):
        decoding.decode(obj)
    decoding.unknown_fields(obj)


@given(spoilt(FROM_JSON))
def test_the_types_and_the_crds_agree_on_every_verdict(obj: Any) -> None:
    obj |= {"apiVersion": corpus.API, "metadata": {"name": "a"}}
    if obj["kind"] not in ("ModelRoute", "ModelServer", "ExternalModelProvider"):
        return
    (crd,) = (crd for crd in crds.all() if crd["spec"]["names"]["kind"] == obj["kind"])
    schema = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    admitted = structure.admit({"properties": {"spec": schema}}, obj)
    wanted = list(structural.faults(schema, admitted["spec"], "spec")) if "spec" in admitted else ["spec"]
    assert bool(paths(obj)) == bool(wanted)


def test_of_an_object_with_very_many_faults_the_first_are_told() -> None:
    """Each takes a kilobyte once it is told: with all of them told, an object of 2.5 MB took 270 MB."""
    labels: dict[str, object] = {f"k{number}": "v" for number in range(decoding.MAX_VIOLATIONS)}
    faulty = {**{f"bad{number}": number for number in range(3 * decoding.MAX_VIOLATIONS)}, **labels}
    with pytest.raises(decoding.Rejected) as caught:
        decoding.decode(corpus.server(workloadSelector={"matchLabels": faulty}))
    locations = [violation.location for violation in caught.value.violations]
    assert locations == [("spec", "workloadSelector", "matchLabels", f"bad{number}") for number in range(1000)]
    # Those that stand behind many that are sound are found too.
    faulty = {**labels, **{f"bad{number}": number for number in range(2 * decoding.MAX_VIOLATIONS)}}
    with pytest.raises(decoding.Rejected) as caught:
        decoding.decode(corpus.server(workloadSelector={"matchLabels": faulty}))
    assert len(caught.value.violations) == decoding.MAX_VIOLATIONS


def test_of_very_many_rules_that_are_broken_the_first_are_told() -> None:
    rules = [{"targetModels": [{"weight": 1}]}] * 5000
    with pytest.raises(decoding.Rejected) as caught:
        decoding.decode(corpus.route(rules=rules))
    violations = caught.value.violations
    assert violations[0].message == "must have at most 16 items"
    assert len(violations) <= 2 * decoding.MAX_VIOLATIONS
