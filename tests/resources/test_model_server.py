from __future__ import annotations

from typing import Any

import pytest

from kthena_fast.resources import decoding, endpoints
from kthena_fast.resources.external_model_provider import ExternalModelProvider
from kthena_fast.resources.model_server import ENDPOINTS, ModelServer
from tests.resources import corpus


def decoded(obj: dict[str, Any]) -> ModelServer:
    server = decoding.decode(obj)
    assert isinstance(server, ModelServer)
    return server


def annotated(text: str) -> dict[str, Any]:
    return corpus.thing("ModelServer", corpus.server()["spec"], annotations={ENDPOINTS: text})


def test_an_empty_model_does_not_blank_the_request() -> None:
    # Upstream takes "" as set and asks the engine for a model without a name.
    assert decoded(corpus.server(model="")).rewrite_model is None
    assert decoded(corpus.server()).rewrite_model is None
    assert decoded(corpus.server(model="org/weights")).rewrite_model == "org/weights"
    provider = decoding.decode(corpus.provider(model=""))
    assert isinstance(provider, ExternalModelProvider)
    assert provider.rewrite_model is None


@pytest.mark.parametrize(
    ("policy", "timeout", "attempts", "interval"),
    [
        (None, None, 1, 0.1),
        ({}, None, 1, 0.1),
        ({"timeout": "1m30s", "retry": {}}, 90.0, 1, 0.1),
        ({"timeout": "0", "retry": {"attempts": 0, "retryInterval": "0s"}}, None, 0, 0.0),
        ({"timeout": "-5s", "retry": {"attempts": -3, "retryInterval": "-1s"}}, None, 0, 0.0),
        ({"timeout": "10s", "retry": {"attempts": 3, "retryInterval": "150ms"}}, 10.0, 3, 0.15),
    ],
)
def test_the_traffic_policy_is_read_in_seconds_and_without_surprises(
    policy: dict[str, Any] | None, timeout: float | None, attempts: int, interval: float
) -> None:
    server = decoded(corpus.server(trafficPolicy=policy))
    assert (server.timeout, server.retry_attempts, server.retry_interval) == (timeout, attempts, interval)


def test_an_empty_selector_selects_nothing() -> None:
    # Upstream's router sends requests to every pod of the namespace.
    selector = decoded(corpus.server(workloadSelector={})).spec.workload_selector
    assert not selector.selects({"app": "x"})
    assert not selector.selects({})


def test_a_pod_is_selected_when_every_label_is_equal() -> None:
    selector = decoded(corpus.server(workloadSelector={"matchLabels": {"a": "1", "b": ""}})).spec.workload_selector
    assert selector.selects({"a": "1", "b": "", "c": "3"})
    assert not selector.selects({"a": "1"})
    assert not selector.selects({"a": "2", "b": ""})


def test_roles_are_taken_by_pods_of_a_group_and_decoding_comes_first() -> None:
    pd = {"groupKey": "g", "prefillLabels": {"role": "p"}, "decodeLabels": {"role": "d"}}
    group = decoded(corpus.server(workloadSelector={"pdGroup": pd})).spec.workload_selector.pd_group
    assert group is not None
    assert group.role({"g": "1", "role": "d"}) == "decode"
    assert group.role({"g": "1", "role": "p"}) == "prefill"
    assert group.role({"g": "1", "role": "x"}) is None
    assert group.role({"g": "", "role": "d"}) is None
    assert group.role({"role": "d"}) is None
    pd["prefillLabels"] = pd["decodeLabels"]
    group = decoded(corpus.server(workloadSelector={"pdGroup": pd})).spec.workload_selector.pd_group
    assert group is not None
    assert group.role({"g": "1", "role": "d"}) == "decode"


def test_engines_are_named_by_annotation() -> None:
    server = decoded(annotated(" 10.0.0.1:8000, engine.local:1,[fd00:0::1]:65535 ,10.0.0.1:8000"))
    assert server.endpoints == (("10.0.0.1", 8000), ("engine.local", 1), ("fd00::1", 65535))
    assert decoded(annotated(" ")).endpoints == ()
    assert decoded(corpus.server()).endpoints == ()


def test_endpoints_are_read_once() -> None:
    server, other = decoded(annotated("h:1")), decoded(annotated("h:1"))
    assert server.endpoints is server.endpoints
    # What is kept of them is nothing of the object.
    assert server == other
    assert server.as_object() == other.as_object()


def test_more_endpoints_than_are_read_beside_requests_set_the_object_aside(monkeypatch: pytest.MonkeyPatch) -> None:
    named = [f"h{number}:1" for number in range(endpoints.MOST + 1)]
    assert len(decoded(annotated(",".join(named[:-1]))).endpoints) == endpoints.MOST
    monkeypatch.setattr(endpoints, "_endpoint", None)
    with pytest.raises(decoding.Rejected) as refused:
        decoding.decode(annotated(",".join(named)))
    (violation,) = refused.value.violations
    assert violation.message == (
        f"{ENDPOINTS}: names more than 1,000 endpoints, more than the gateway reads: name them in several ModelServers"
    )


def test_of_a_bad_endpoint_no_more_is_told_than_helps() -> None:
    with pytest.raises(ValueError, match="is not an endpoint such as") as refused:
        endpoints.parse("x" * 100_000)
    assert len(str(refused.value)) < 500


@pytest.mark.parametrize(
    "text",
    ["host", "host:0", "host:65536", "fd00::1:80", "[::g]:80", "http://x:80", "a:80,,b:80", "a\r\nb:80", "é:80", "a:٣"],
)
def test_a_bad_endpoint_sets_the_object_aside_and_is_named(text: str) -> None:
    with pytest.raises(decoding.Rejected, match="is not an endpoint such as") as refused:
        decoding.decode(annotated(text))
    (violation,) = refused.value.violations
    assert violation.path == "metadata.annotations"
    assert violation.message.startswith(f"{ENDPOINTS}: ")
