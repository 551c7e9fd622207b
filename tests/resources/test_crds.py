from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from ruamel.yaml import YAML

from kthena_fast import durations
from kthena_fast.resources import crds, rules

BY_KIND = {crd["spec"]["names"]["kind"]: crd for crd in crds.all()}


def version(kind: str) -> dict[str, Any]:
    (only,) = BY_KIND[kind]["spec"]["versions"]
    assert isinstance(only, dict)
    return only


def schema(kind: str) -> dict[str, Any]:
    found = version(kind)["schema"]["openAPIV3Schema"]
    assert isinstance(found, dict)
    return found


def nodes(node: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    yield path, node
    for name, child in node.get("properties", {}).items():
        yield from nodes(child, f"{path}.{name}")
    for key in ("items", "additionalProperties"):
        if key in node:
            yield from nodes(node[key], f"{path}[]")


def every_node() -> list[tuple[str, dict[str, Any]]]:
    return [(kind + path, node) for kind in BY_KIND for path, node in nodes(schema(kind))]


def at(kind: str, path: str) -> dict[str, Any]:
    return dict(nodes(schema(kind)))[path]


def test_names_scope_and_versions_are_upstreams() -> None:
    assert [crd["metadata"]["name"] for crd in crds.all()] == [
        "modelroutes.networking.serving.volcano.sh",
        "modelservers.networking.serving.volcano.sh",
        "externalmodelproviders.networking.serving.volcano.sh",
    ]
    for kind, crd in BY_KIND.items():
        assert crd["spec"]["scope"] == "Namespaced"
        assert crd["spec"]["names"]["listKind"] == f"{kind}List"
        assert version(kind)["name"] == "v1alpha1"
        assert version(kind)["served"]
        assert version(kind)["storage"]


def test_every_field_says_what_it_means() -> None:
    # The API server refuses a CRD that says anything of metadata, were it a description.
    silent = [path for path, node in every_node() if not node.get("description") and not path.endswith("[]")]
    assert silent == [f"{kind}.metadata" for kind in BY_KIND]


def test_the_schemas_are_structural() -> None:
    allowed = {
        "additionalProperties",
        "default",
        "description",
        "enum",
        "format",
        "items",
        "maxItems",
        "maxLength",
        "maximum",
        "minItems",
        "minLength",
        "minimum",
        "pattern",
        "properties",
        "required",
        "type",
        "x-kubernetes-map-type",
        "x-kubernetes-validations",
    }
    for path, node in every_node():
        assert node.keys() <= allowed, path
        assert node["type"] in {"object", "array", "string", "integer", "boolean"}, path
        assert ("items" in node) == (node["type"] == "array"), path


def test_integers_carry_the_bounds_that_their_format_does_not_enforce() -> None:
    integers = [(path, node) for path, node in every_node() if node["type"] == "integer" and ".status" not in path]
    assert len(integers) == 6
    for path, node in integers:
        assert node["format"] == "int32", path
        assert -(2**31) <= node["minimum"] < node["maximum"] <= 2**31 - 1, path


def test_no_bound_is_one_that_the_api_server_cannot_hold() -> None:
    # It keeps bounds as floats: with 2**63 - 1 as the maximum, kube-apiserver 1.34 refused an observedGeneration of 3.
    bounds = [node[key] for _, node in every_node() for key in ("minimum", "maximum") if key in node]
    assert all(abs(bound) <= 2**53 for bound in bounds)


def test_durations_have_a_pattern() -> None:
    for path in (".spec.trafficPolicy.timeout", ".spec.trafficPolicy.retry.retryInterval"):
        assert at("ModelServer", path)["pattern"] == durations.PATTERN


@pytest.mark.parametrize("kind", BY_KIND)
def test_every_kind_needs_a_spec_and_has_a_status_of_its_own(kind: str) -> None:
    # Upstream's ModelServer may lack its spec, which kills its router; its status is an empty object.
    assert schema(kind)["required"] == ["spec"]
    assert version(kind)["subresources"] == {"status": {}}
    status = schema(kind)["properties"]["status"]["properties"]
    assert list(status) == ["observedGeneration", "conditions"]
    assert status["conditions"]["items"]["required"] == ["type", "status", "lastTransitionTime", "reason", "message"]
    assert status["conditions"]["items"]["properties"]["lastTransitionTime"]["format"] == "date-time"


def test_defaults_are_upstreams_and_no_others() -> None:
    defaults = {path: node["default"] for path, node in every_node() if "default" in node}
    assert defaults == {
        "ModelRoute.spec.parentRefs[].group": "gateway.networking.k8s.io",
        "ModelRoute.spec.parentRefs[].kind": "Gateway",
        "ModelRoute.spec.rules[].targetModels[].weight": 100,
        "ModelRoute.spec.rateLimit.unit": "second",
        "ModelServer.spec.workloadPort.protocol": "http",
        "ModelServer.spec.trafficPolicy.retry.retryInterval": "100ms",
        "ModelServer.spec.kvConnector.type": "http",
        "ExternalModelProvider.spec.providerType": "OpenAI",
        "ExternalModelProvider.spec.insecureSkipVerify": False,
        "ExternalModelProvider.spec.auth.secretRef.name": "",
    }


def test_required_fields_are_upstreams() -> None:
    required = {path: node["required"] for path, node in every_node() if "required" in node and ".status" not in path}
    assert required == {
        **{kind: ["spec"] for kind in BY_KIND},
        "ModelRoute.spec": ["rules"],
        "ModelRoute.spec.parentRefs[]": ["name"],
        "ModelRoute.spec.rules[]": ["targetModels"],
        "ModelRoute.spec.rateLimit.global.redis": ["address"],
        "ModelServer.spec": ["inferenceEngine", "workloadSelector", "workloadPort"],
        "ModelServer.spec.workloadSelector.pdGroup": ["groupKey", "prefillLabels", "decodeLabels"],
        "ModelServer.spec.workloadPort": ["port"],
        "ExternalModelProvider.spec": ["baseURL"],
        "ExternalModelProvider.spec.auth": ["secretRef"],
        "ExternalModelProvider.spec.auth.secretRef": ["key"],
    }


def test_every_rule_has_its_place_and_its_other_half() -> None:
    ruled = {
        path: [entry["rule"] for entry in node["x-kubernetes-validations"]]
        for path, node in every_node()
        if "x-kubernetes-validations" in node
    }
    assert ruled == {
        "ModelRoute.spec": [rules.NAMES_A_MODEL.cel],
        "ModelRoute.spec.modelName": [rules.MODEL_NAME_STAYS.cel],
        "ModelRoute.spec.rules[].targetModels[]": [rules.ONE_TARGET.cel],
        "ModelServer.spec.trafficPolicy.timeout": [rules.DURATION_FITS.cel],
        "ModelServer.spec.trafficPolicy.retry.retryInterval": [rules.DURATION_FITS.cel],
        "ExternalModelProvider.spec.auth": [rules.SECRET_NOT_OPTIONAL.cel],
    }
    assert {cel for found in ruled.values() for cel in found} == set(rules.BY_CEL)


def test_optional_fields_are_looked_at_behind_has() -> None:
    for name in ("modelName", "loraAdapters"):
        assert f"has(self.{name}) && size(self.{name})" in rules.NAMES_A_MODEL.cel


def test_columns_show_what_upstreams_show_and_what_has_become_of_an_object() -> None:
    columns = version("ModelServer")["additionalPrinterColumns"]
    assert [column["name"] for column in columns] == ["Engine", "Port", "Protocol", "Accepted", "Resolved", "Age"]
    for kind in BY_KIND:
        assert version(kind)["additionalPrinterColumns"][-1]["name"] == "Age"


def test_the_yaml_is_the_same_objects_in_the_same_text() -> None:
    text = crds.as_yaml()
    assert text == crds.as_yaml()
    assert list(YAML(typ="safe").load_all(text)) == json.loads(json.dumps(crds.all()))
    assert not any(line.endswith(" ") for line in text.splitlines())
    assert "&id" not in text
