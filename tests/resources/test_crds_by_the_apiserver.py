"""What a real API server makes of objects by the CRDs alone, beside what it makes of them by upstream's.

Upstream's verdicts are those of its CRDs as they are today; where ours differ, the reason stands at the case.
"""

import copy
from typing import Any

import pytest

from tests.kube import apiserver
from tests.kube.apiserver import KubeApiServer

Object = dict[str, Any]

RULES: list[Object] = [{"targetModels": [{"modelServerName": "s"}]}]
SERVER: Object = {
    "inferenceEngine": "vLLM",
    "workloadSelector": {"matchLabels": {"app": "s"}},
    "workloadPort": {"port": 8000},
}
NAMES = "either modelName must be set or loraAdapters must have an entry"


def route(**spec: Any) -> Object:
    return {"kind": "ModelRoute", "spec": {"modelName": "m", "rules": RULES, **spec}}


def nameless(**spec: Any) -> Object:
    return {"kind": "ModelRoute", "spec": {"rules": RULES, **spec}}


def model_server(**spec: Any) -> Object:
    return {"kind": "ModelServer", "spec": {**SERVER, **spec}}


def provider(**spec: Any) -> Object:
    return {"kind": "ExternalModelProvider", "spec": {"baseURL": "https://api.example.org", **spec}}


def written(server: KubeApiServer, namespace: str, obj: Object) -> Object:
    """Create an object as a client would that knows nothing of the schema; what is stored of it."""
    whole = {"apiVersion": "networking.serving.volcano.sh/v1alpha1", **copy.deepcopy(obj)}
    whole["metadata"] = {"name": "it", "namespace": namespace}
    stored = server.request("POST", apiserver.path_of(whole).rpartition("/")[0], whole)
    assert isinstance(stored, dict)
    return stored


MATCH_ALL = {"exact": "a", "prefix": "b", "regex": "c"}

ACCEPTED: dict[str, Object] = {
    "an adapter without a name": nameless(loraAdapters=[""]),
    "adapters twice": nameless(loraAdapters=["a", "a"]),
    "an adapter of the model's name": route(loraAdapters=["m"]),
    "no rules": route(rules=[]),
    "all three of a StringMatch": route(rules=[{**RULES[0], "modelMatch": {"uri": MATCH_ALL}}]),
    "a regular expression that is none": route(rules=[{**RULES[0], "modelMatch": {"uri": {"regex": "("}}}]),
    "a limit of nothing": route(rateLimit={}),
    "a parent by its name alone": route(parentRefs=[{"name": "g"}]),
    "negative attempts": model_server(trafficPolicy={"retry": {"attempts": -3}}),
    "a secret without a name": provider(auth={"secretRef": {"key": "k"}}),
}
"""As by upstream's; what of it cannot be served, the webhook refuses or warns of."""

REFUSED: dict[str, tuple[Object, str]] = {
    # Upstream's refuse these two with "no such key: modelName".
    "a route that names nothing": (nameless(), NAMES),
    "a route with an empty name": (nameless(modelName=""), NAMES),
    "a route with an empty name and no adapters": (nameless(modelName="", loraAdapters=[]), NAMES),
    # Upstream's accept these. Its router dies of the first, and is blind to all ModelServers for the next.
    "a ModelServer without spec": ({"kind": "ModelServer"}, "spec: Required value"),
    "a provider without spec": ({"kind": "ExternalModelProvider"}, "spec: Required value"),
    "a timeout that is none": (model_server(trafficPolicy={"timeout": "soon"}), "spec.trafficPolicy.timeout"),
    "a timeout beyond Go's": (model_server(trafficPolicy={"timeout": "9999999h"}), "must not exceed 2562047h47m16s"),
    "attempts beyond 32 bits": (model_server(trafficPolicy={"retry": {"attempts": 3_000_000_000}}), "attempts"),
    "tokens beyond 32 bits": (route(rateLimit={"inputTokensPerUnit": 5_000_000_000}), "inputTokensPerUnit"),
}


@pytest.mark.parametrize("case", ACCEPTED)
def test_what_upstreams_crds_accept_is_accepted(kube_apiserver: KubeApiServer, kube_namespace: str, case: str) -> None:
    written(kube_apiserver, kube_namespace, ACCEPTED[case])


@pytest.mark.parametrize("case", REFUSED)
def test_what_nobody_could_serve_is_refused_with_the_reason(
    kube_apiserver: KubeApiServer, kube_namespace: str, case: str
) -> None:
    obj, reason = REFUSED[case]
    with pytest.raises(apiserver.Refused) as refused:
        written(kube_apiserver, kube_namespace, obj)
    assert refused.value.status == 422
    assert reason in str(refused.value)


def test_a_limit_of_nothing_is_by_the_second(kube_apiserver: KubeApiServer, kube_namespace: str) -> None:
    stored = written(kube_apiserver, kube_namespace, route(rateLimit={}))
    assert stored["spec"]["rateLimit"] == {"unit": "second"}


def test_a_parent_is_a_gateway_unless_it_says_otherwise(kube_apiserver: KubeApiServer, kube_namespace: str) -> None:
    stored = written(kube_apiserver, kube_namespace, route(parentRefs=[{"name": "g"}]))
    assert stored["spec"]["parentRefs"] == [{"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": "g"}]


def test_a_secret_without_a_name_is_stored_with_an_empty_one(
    kube_apiserver: KubeApiServer, kube_namespace: str
) -> None:
    stored = written(kube_apiserver, kube_namespace, provider(auth={"secretRef": {"key": "k"}}))
    assert stored["spec"]["auth"]["secretRef"] == {"key": "k", "name": ""}


def test_what_is_not_known_is_dropped(kube_apiserver: KubeApiServer, kube_namespace: str) -> None:
    assert "surprise" not in written(kube_apiserver, kube_namespace, route(surprise=1))["spec"]


def test_a_models_name_cannot_be_changed(kube_apiserver: KubeApiServer, kube_namespace: str) -> None:
    """That it can be taken away and put back in two updates, only the webhook can refuse."""
    stored = written(kube_apiserver, kube_namespace, route())
    with pytest.raises(apiserver.Refused, match="modelName is immutable"):
        kube_apiserver.patch(stored, {"spec": {"modelName": "other"}})
    kube_apiserver.patch(stored, {"spec": {"modelName": None, "loraAdapters": ["a"]}})
    kube_apiserver.patch(stored, {"spec": {"modelName": "other"}})
