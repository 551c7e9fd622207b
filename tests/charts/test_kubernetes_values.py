"""Values that go to Kubernetes: what it would refuse in the middle of an install, Helm refuses before."""

import re
from typing import Any

import pytest

from tests.charts import helm
from tests.charts.refusing import refusal


@pytest.mark.parametrize(
    ("type_", "key", "value", "types"),
    [
        ("ClusterIP", "nodePort", 30080, "LoadBalancer or NodePort"),
        ("ClusterIP", "externalTrafficPolicy", "Local", "LoadBalancer or NodePort"),
        *((of, "loadBalancerSourceRanges", ["10.0.0.0/8"], "LoadBalancer") for of in ("ClusterIP", "NodePort")),
        *((of, "loadBalancerClass", "example.org/lb", "LoadBalancer") for of in ("ClusterIP", "NodePort")),
    ],
)
def test_what_a_service_of_that_type_does_not_have_is_refused(type_: str, key: str, value: Any, types: str) -> None:
    """Left out, it would be missed when it counts: ranges keep networks away."""
    said = refusal(values=helm.gateway(service={"type": type_, key: value}))
    assert (
        f"networking.inferGateway.service.{key} is set, which a Service of type {type_} does not have: leave it out, "
        f"or set service.type to {types}\n"
    ) in said


@pytest.mark.parametrize("mode", ["manual", "cert-manager"])
def test_a_secret_cannot_bear_a_name_that_the_webhooks_own_may_have(mode: str) -> None:
    said = refusal(
        f"global.certManagementMode={mode}",
        "networking.webhook.tls.secretName=mine-auto",
        "networking.inferGateway.tls.enabled=true",
        "networking.inferGateway.tls.secretName=kthena-webhook-certs-auto",
    )
    assert "networking.webhook.tls.secretName is mine-auto: names that end in -auto are kept for Secrets" in said
    assert "networking.inferGateway.tls.secretName is kthena-webhook-certs-auto: names that end in -auto are" in said


def test_the_longest_name_of_a_secret_is_one_with_which_the_webhooks_own_is_one_too() -> None:
    longest = "s" * 248
    (secret,) = helm.render(f"networking.webhook.tls.secretName={longest}").names("Secret")
    assert secret == f"{longest}-auto"
    assert len(secret) == 253
    assert "secretName': maxLength: got 249, want 248" in refusal(f"networking.webhook.tls.secretName={longest}s")


@pytest.mark.parametrize(
    ("names", "both"),
    [
        ({"inferGateway": "llm", "webhook": "llm"}, "llm"),
        ({"inferGateway": helm.WEBHOOK}, helm.WEBHOOK),
        ({"webhook": helm.GATEWAY}, helm.GATEWAY),
    ],
)
def test_two_service_accounts_of_one_name_are_refused(names: dict[str, str], both: str) -> None:
    """Helm makes the first, and then says of the second that it is there."""
    networking = {component: {"serviceAccount": {"name": name}} for component, name in names.items()}
    said = refusal(values={"networking": networking})
    assert f"serviceAccount are both to be made under the name {both}: give them two names" in said
    for component in ("inferGateway", "webhook"):
        shared = helm.render(f"networking.{component}.serviceAccount.create=false", values={"networking": networking})
        assert shared.names("ServiceAccount") == [both]
        alone = helm.render(f"networking.{component}.enabled=false", values={"networking": networking})
        assert len(alone.names("ServiceAccount")) == 1


@pytest.mark.parametrize("component", ["inferGateway", "webhook"])
def test_a_rollout_that_could_replace_no_pod_is_refused(component: str) -> None:
    rolling: dict[str, Any]
    for rolling in ({"maxSurge": 0}, {"maxSurge": "0%"}, {"maxSurge": 0, "maxUnavailable": "00%"}):
        said = refusal(values={"networking": {component: {"strategy": {"rollingUpdate": rolling}}}})
        assert f"networking.{component}.strategy.rollingUpdate has 0 for both maxSurge and maxUnavailable" in said
    for rolling in ({"maxSurge": None}, {"maxSurge": 0, "maxUnavailable": 1}, {"maxUnavailable": "10%"}):
        helm.render(values={"networking": {component: {"strategy": {"rollingUpdate": rolling}}}})
    replaced = {"type": "Recreate", "rollingUpdate": {"maxSurge": 0}}
    helm.render(values={"networking": {component: {"strategy": replaced}}})


def test_an_autoscaler_without_a_request_to_scale_by_is_refused() -> None:
    def scaled(resource: dict[str, Any] | None) -> dict[str, Any]:
        return helm.gateway(autoscaling={"enabled": True}, resource=resource)

    for resource in (None, {"requests": None, "limits": {"cpu": None}}, {"requests": {"cpu": 0}}):
        said = refusal(values=scaled(resource))
        assert "the autoscaler scales by a share of resource.requests.cpu, which is not there or 0: set it" in said
    # Kubernetes asks for the limit where nothing else is said.
    helm.render(values=scaled({"requests": {"cpu": None}}))
    helm.render(values=helm.gateway(resource=None))


@pytest.mark.parametrize("component", ["inferGateway", "webhook"])
@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"podSecurityContext": {"runAsRoot": False}}, "podSecurityContext': additional properties 'runAsRoot'"),
        ({"securityContext": {"capabilities": {"dropp": ["ALL"]}}}, "capabilities': additional properties 'dropp'"),
        ({"securityContext": {"runAsUser": "root"}}, "securityContext/runAsUser': got string, want integer"),
        ({"tolerations": [{"key": "gpu", "operater": "Exists"}]}, "tolerations/0': additional properties 'operater'"),
        ({"tolerations": [{"effect": "NoStart"}]}, "tolerations/0/effect': value must be one of 'NoExecute',"),
        ({"affinity": {"nodeAfinity": {}}}, "affinity': additional properties 'nodeAfinity'"),
        ({"affinity": {"nodeAffinity": {"required": {}}}}, "nodeAffinity': additional properties 'required'"),
        ({"topologySpreadConstraints": [{"maxSkew": 1}]}, "0': missing properties 'topologyKey', 'whenUnsatisfiable'"),
        ({"topologySpreadConstraints": [{"skew": 1}]}, "topologySpreadConstraints/0': additional properties 'skew'"),
        ({"strategy": {"rollingUpdate": {"maxSurges": 1}}}, "rollingUpdate': additional properties 'maxSurges'"),
        ({"strategy": {"type": "Rolling"}}, "strategy/type': value must be one of 'Recreate', 'RollingUpdate'"),
        ({"resource": {"limits": {"cpus": "1"}}}, "resource/limits': additional properties 'cpus'"),
        ({"resource": {"requests": {"mem": "1Gi"}}}, "resource/requests': additional properties 'mem'"),
        ({"resource": {"claims": []}}, "resource': additional properties 'claims'"),
        ({"extraEnv": [{"name": "A", "val": "b"}]}, "extraEnv/0': additional properties 'val'"),
        ({"extraEnv": [{"name": "A", "value": 1}]}, "extraEnv/0/value': got number, want string"),
        ({"extraVolumes": [{"name": "a", "emptydir": {}}]}, "extraVolumes/0': additional properties 'emptydir'"),
        ({"extraVolumeMounts": [{"name": "a", "mountpath": "/a"}]}, "additional properties 'mountpath' not allowed"),
        ({"livenessProbe": {"period": 1}}, "livenessProbe': additional properties 'period'"),
    ],
)
def test_a_field_that_kubernetes_does_not_have_is_refused(component: str, given: dict[str, Any], said: str) -> None:
    assert f"/networking/{component}/" in (told := refusal(values={"networking": {component: given}}))
    assert said in told


LABELS = ("podLabels", "nodeSelector", "serviceMonitor.labels")

ANNOTATIONS = ("podAnnotations", "serviceAccount.annotations")


def _nested(name: str, value: Any) -> Any:
    for key in reversed(name.split(".")):
        value = {key: value}
    return value


@pytest.mark.parametrize("component", ["inferGateway", "webhook"])
@pytest.mark.parametrize("key", LABELS)
@pytest.mark.parametrize("text", ["a b", "-a", "a.", "ä", "a/b", "a" * 64])
def test_what_is_no_value_of_a_label_is_refused(component: str, key: str, text: str) -> None:
    said = refusal(values={"networking": {component: _nested(key, {"team": text})}})
    assert f"/networking/{component}/{key.replace('.', '/')}/team': value must be 'a text of at most 63 letters" in said


@pytest.mark.parametrize("component", ["inferGateway", "webhook"])
@pytest.mark.parametrize("key", [*LABELS, *ANNOTATIONS])
@pytest.mark.parametrize("name", ["a b", "-a", "/a", "Example.org/a", "a/b/c", "a" * 64, ""])
def test_what_is_no_key_of_a_label_is_refused(component: str, key: str, name: str) -> None:
    said = refusal(values={"networking": {component: _nested(key, {name: "x"})}})
    assert f"/networking/{component}/{key.replace('.', '/')}': value must be 'keys of letters, digits" in said


@pytest.mark.parametrize("key", [*LABELS, *ANNOTATIONS])
def test_labels_and_annotations_are_taken_as_kubernetes_takes_them(key: str) -> None:
    given = {"a" * 63: "a" * 63, "example.org/A.b_c-d": "", "t3am": "A.b_c-d"}
    assert helm.render(values=helm.gateway(**_nested(key, given))).text
    assert helm.render(values=helm.gateway(podAnnotations={"a": "any text: ä"})).text


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"autoscaling": {"behavior": {"scaledown": {}}}}, "autoscaling/behavior': additional properties 'scaledown'"),
        ({"networkPolicy": {"clients": [{"podselector": {}}]}}, "clients/0': additional properties 'podselector'"),
        ({"networkPolicy": {"scrapers": [{"ipBlock": {}}]}}, "scrapers/0/ipBlock': missing property 'cidr'"),
    ],
)
def test_so_it_is_where_only_the_gateway_has_it(given: dict[str, Any], said: str) -> None:
    assert said in refusal(values=helm.gateway(**given))


@pytest.mark.parametrize(
    ("component", "own", "path"),
    [("inferGateway", "tls", "/etc/kthena/tls"), ("webhook", "certs", "/etc/webhook/certs")],
)
def test_a_volume_beside_the_charts_own_has_a_name_and_a_place_of_its_own(component: str, own: str, path: str) -> None:
    """The API server, or the kubelet, would say so in the middle of an install, or never to whoever installs."""
    empty: dict[str, Any] = {"emptyDir": {}}
    mode = "cert-manager" if component == "webhook" else "auto"

    def given(volumes: list[Any], mounts: list[Any]) -> dict[str, Any]:
        extra = {"extraVolumes": volumes, "extraVolumeMounts": mounts}
        section = {**({"tls": {"enabled": True}} if component == "inferGateway" else {}), **extra}
        return {"global": {"certManagementMode": mode}, "networking": {component: section}}

    section = f"networking.{component}"
    for volumes in ([{"name": own, **empty}], [{"name": "a", **empty}, {"name": "a", **empty}]):
        name = volumes[-1]["name"]
        said = refusal(values=given(volumes, []))
        assert f'{section}.extraVolumes has "{name}", and another volume of the pod is called so' in said
    said = refusal(values=given([], [{"name": "a", "mountPath": "/a"}]))
    assert f'{section}.extraVolumeMounts mounts "a", which is no volume of the pod: it must be one of' in said
    for place in (path, f"{path}/", "/b"):
        mounts = [{"name": "a", "mountPath": "/b"}, {"name": "a", "mountPath": place}]
        said = refusal(values=given([{"name": "a", **empty}], mounts))
        assert f'{section}.extraVolumeMounts mounts "a" at {place}, where another volume is mounted' in said
    # The chart's may be seen elsewhere too, and a name that it does not use is anybody's.
    helm.render(values=given([], [{"name": own, "mountPath": "/again"}]))
    helm.render(values={"networking": {component: {"extraVolumes": [{"name": own, **empty}]}}})


@pytest.mark.parametrize("component", ["inferGateway", "webhook"])
@pytest.mark.parametrize(
    ("name", "request_", "limit"),
    [
        *(("cpu", "501m", "500m"), ("cpu", 0.6, "500m"), ("cpu", "1", "999m"), ("cpu", 2, 1.5), ("cpu", "1e3", 999)),
        *(("memory", "1Gi", "1G"), ("memory", "1Mi", 1048575), ("memory", "2e9", "1Gi"), ("memory", "1025Mi", "1Gi")),
        *(("memory", 3e9, "2.5Gi"), ("memory", "1Ti", "1023Gi"), ("memory", "1E", "1000Ti"), ("memory", "1.5M", "1e6")),
        ("ephemeral-storage", "2Gi", "1Gi"),
    ],
)
def test_a_request_above_the_limit_is_refused(component: str, name: str, request_: Any, limit: Any) -> None:
    resource = {"requests": {name: request_}, "limits": {name: limit}}
    said = refusal(values={"networking": {component: {"resource": resource}}})
    requests = rf"networking\.{component}\.resource\.requests\.{name}"
    found = re.search(rf"{requests} is (\S+): it must be at most limits\.{name}, which is (\S+)", said)
    assert found is not None
    for written, value in zip(found.groups(), (request_, limit), strict=True):
        assert written == value or float(written) == float(value)


def test_a_request_above_the_limit_of_the_chart_is_refused_too() -> None:
    said = refusal("networking.webhook.resource.requests.cpu=1")
    assert "networking.webhook.resource.requests.cpu is 1: it must be at most limits.cpu, which is 500m" in said


@pytest.mark.parametrize(
    ("name", "request_", "limit"),
    [
        *(("cpu", "100m", 0.1), ("cpu", 0.7, "700m"), ("cpu", "1.1", "1100m"), ("cpu", "1000m", 1)),
        *(("cpu", "1k", "1e3"), ("cpu", 0, "1m"), ("cpu", "999m", "1"), ("cpu", "1e3", "1E3"), ("cpu", 1, "1.")),
        *(("memory", "1G", "1Gi"), ("memory", "1024Mi", "1Gi"), ("memory", 1048576, "1Mi"), ("memory", "2e9", "2G")),
        *(("memory", "1Pi", "1024Ti"), ("memory", "1Ei", "1.2E"), ("memory", "1000T", "1P"), ("memory", 0, "1Mi")),
        ("memory", "536870912000m", "512Mi"),
    ],
)
def test_a_request_up_to_the_limit_is_taken(name: str, request_: Any, limit: Any) -> None:
    resource = {"requests": {name: request_}, "limits": {name: limit}}
    rendered = helm.render(values=helm.gateway(resource=resource))
    assert rendered.container(helm.GATEWAY)["resources"]["requests"][name] == request_


def test_what_has_no_limit_may_ask_for_anything() -> None:
    resource = {"requests": {"cpu": 8, "memory": "8Gi"}, "limits": None}
    rendered = helm.render(values=helm.gateway(resource=resource))
    assert rendered.container(helm.GATEWAY)["resources"] == {"requests": {"cpu": 8, "memory": "8Gi"}}


@pytest.mark.parametrize("component", ["inferGateway", "webhook"])
@pytest.mark.parametrize("kind", ["limits", "requests"])
@pytest.mark.parametrize("memory", [512, "512", "512m", 0.5, "900k", "1023Ki", 1048575])
def test_memory_of_a_few_bytes_is_refused_with_how_to_write_more(component: str, kind: str, memory: Any) -> None:
    resource = {"requests": {"memory": 0}, kind: {"memory": memory}}
    said = refusal(values={"networking": {component: {"resource": resource}}})
    assert f"networking.{component}.resource.{kind}.memory is {memory}, which is less than a MiB" in said
    assert "it must be a quantity such as 512Mi, since a bare number is of bytes" in said


def test_resources_of_other_names_that_kubernetes_has_are_taken() -> None:
    limits = {"ephemeral-storage": "1Gi", "hugepages-2Mi": "4Mi", "example.org/card": 1}
    rendered = helm.render(values=helm.gateway(resource={"limits": limits}))
    assert limits.items() <= rendered.container(helm.GATEWAY)["resources"]["limits"].items()
