"""Every command line that the product was announced with works as it was written."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from ruamel.yaml import YAML

from kthena_fast import durations, settings
from tests.charts import helm
from tests.charts.generated import CHART
from tests.charts.helm import GATEWAY, WEBHOOK

EVERY_VALUES_FILE = sorted(path.name for path in CHART.glob("values*.yaml"))


def test_a_plain_install_gives_a_gateway_and_a_webhook() -> None:
    rendered = helm.default()
    assert rendered.names("Deployment") == [GATEWAY, WEBHOOK]
    assert rendered.names("CustomResourceDefinition") == [
        "externalmodelproviders.networking.serving.volcano.sh",
        "modelroutes.networking.serving.volcano.sh",
        "modelservers.networking.serving.volcano.sh",
    ]
    assert rendered.environment(GATEWAY)["ENABLE_FAIRNESS_SCHEDULING"] == "false"


def test_fairness_is_turned_on_as_the_readme_says() -> None:
    environment = helm.render(
        "networking.inferGateway.fairness.enabled=true",
        "networking.inferGateway.fairness.windowSize=10m",
        "networking.inferGateway.fairness.outputTokenWeight=3.0",
    ).environment(GATEWAY)
    assert environment["ENABLE_FAIRNESS_SCHEDULING"] == "true"
    assert environment["FAIRNESS_WINDOW_SIZE"] == "10m"
    assert float(environment["FAIRNESS_OUTPUT_TOKEN_WEIGHT"]) == 3.0


@pytest.mark.parametrize(
    ("name", "window", "input_weight", "output_weight", "replicas"),
    [
        ("values-development.yaml", "2m", 1.0, 1.0, 1),
        ("values-production.yaml", "10m", 1.0, 2.5, 3),
        ("values-cost-sensitive.yaml", "30m", 1.0, 4.0, 1),
    ],
)
def test_the_three_ways_to_run_it_are_values_files(
    name: str, window: str, input_weight: float, output_weight: float, replicas: int
) -> None:
    rendered = helm.render(files=[name])
    environment = rendered.environment(GATEWAY)
    assert environment["ENABLE_FAIRNESS_SCHEDULING"] == "true"
    assert environment["FAIRNESS_WINDOW_SIZE"] == window
    assert float(environment["FAIRNESS_INPUT_TOKEN_WEIGHT"]) == input_weight
    assert float(environment["FAIRNESS_OUTPUT_TOKEN_WEIGHT"]) == output_weight
    assert rendered.one("Deployment", GATEWAY)["spec"]["replicas"] == replicas
    said: list[str] = []
    told = settings.read(environment, said.append)
    assert (told.fairness_window_size, said) == (durations.parse(window), [])


@pytest.mark.parametrize("name", EVERY_VALUES_FILE)
def test_every_values_file_passes_helms_lint(name: str) -> None:
    assert "0 chart(s) failed" in helm.run("lint", "--strict", "--with-subcharts", CHART, "--values", CHART / name)


def test_keys_of_the_first_chart_still_mean_what_they_meant() -> None:
    """Every key that values of Kthena's first chart could have for the two programs, none as it is by default."""
    gateway = {
        "enabled": True,
        "replicas": 2,
        "port": 8081,
        "tls": {"enabled": True, "dnsName": "llm.example.org", "secretName": "llm-tls"},
        "image": {"repository": "example.org/gateway", "tag": "v7", "pullPolicy": "Always"},
        "resource": {"limits": {"cpu": "2", "memory": "1Gi"}, "requests": {"cpu": 1, "memory": "256Mi"}},
        "fairness": {"enabled": True, "windowSize": "1h", "inputTokenWeight": 1.0, "outputTokenWeight": 2.0},
        "accessLog": {"enabled": True, "format": "json", "output": "stderr"},
    }
    webhook = {
        "enabled": True,
        "replicas": 1,
        "image": {"repository": "example.org/webhook", "tag": "v8", "pullPolicy": "Never", "args": ["--port=8443"]},
        "resource": {"limits": {"cpu": "100m", "memory": "128Mi"}, "requests": {"cpu": "100m", "memory": "128Mi"}},
    }
    networking = {"enabled": True, "nameOverride": "llm", "inferGateway": gateway, "webhook": webhook}
    rendered = helm.render(values={"networking": networking})
    container, spec = rendered.container("llm-infer-gateway"), rendered.one("Deployment", "llm-infer-gateway")["spec"]
    assert spec["replicas"] == 2
    assert (container["image"], container["imagePullPolicy"]) == ("example.org/gateway:v7", "Always")
    assert container["resources"] == gateway["resource"]
    assert "--port=8081" in container["args"]
    assert "--tls-cert=/etc/kthena/tls/tls.crt" in container["args"]
    assert spec["template"]["spec"]["volumes"] == [{"name": "tls", "secret": {"secretName": "llm-tls"}}]
    environment = rendered.environment("llm-infer-gateway")
    assert environment["FAIRNESS_WINDOW_SIZE"] == "1h"
    assert (environment["ACCESS_LOG_FORMAT"], environment["ACCESS_LOG_OUTPUT"]) == ("json", "stderr")
    container = rendered.container("llm-webhook")
    assert (container["image"], container["imagePullPolicy"]) == ("example.org/webhook:v8", "Never")
    assert container["resources"] == webhook["resource"]
    assert container["args"][-1] == "--port=8443"


@pytest.mark.parametrize(("component", "name"), [("inferGateway", GATEWAY), ("webhook", WEBHOOK)])
def test_a_component_that_is_off_leaves_nothing(component: str, name: str) -> None:
    everything = {
        "autoscaling": {"enabled": True},
        "podDisruptionBudget": {"enabled": True},
        "serviceMonitor": {"enabled": True},
        "networkPolicy": {"enabled": True},
        "tls": {"enabled": True},
        "routerConfiguration": {"scheduler": {}},
        "fairness": {"enabled": True, "shares": {"default": {"share": 1}}},
    }
    given = {
        key: value
        for key, value in everything.items()
        if component == "inferGateway" or "Budget" in key or key in ("serviceMonitor", "networkPolicy")
    }
    for mode in ("auto", "cert-manager"):
        on = {"global": {"certManagementMode": mode}, "networking": {component: {**given, "enabled": True}}}
        off = {"global": {"certManagementMode": mode}, "networking": {component: {**given, "enabled": False}}}
        ours = [found for found in helm.render(values=on) if _is_of(found, name) and found["kind"] != "Pod"]
        assert len(ours) > 8
        assert [found for found in helm.render(values=off) if _is_of(found, name)] == []


def _is_of(found: helm.Object, name: str) -> bool:
    return bool(found["metadata"]["name"].startswith(name))


def test_everything_off_renders_nothing() -> None:
    assert helm.render("networking.enabled=false").objects == []


def test_objects_are_called_after_the_release_and_the_component() -> None:
    rendered = helm.render(
        "global.certManagementMode=cert-manager",
        "networking.inferGateway.tls.enabled=true",
        "networking.webhook.networkPolicy.enabled=true",
        "networking.webhook.serviceMonitor.enabled=true",
        files=["values-production.yaml"],
        release="prod",
    )
    webhooks = [found for found in rendered if found["metadata"]["labels"]["app.kubernetes.io/component"] == "webhook"]
    assert webhooks
    for found in rendered:
        if found["kind"] != "CustomResourceDefinition":
            expected = "prod-webhook" if found in webhooks else "prod-infer-gateway"
            assert found["metadata"]["name"].startswith(expected)
    assert "infer-gateway" not in str([found["metadata"]["name"] for found in webhooks])
    assert len(
        {(found["kind"], found["metadata"].get("namespace"), found["metadata"]["name"]) for found in rendered}
    ) == len(rendered.objects)


@pytest.mark.parametrize("release", ["a", "r" * 53, "x" * 40, "y" * 41, "with-dashes-" * 4 + "end"])
def test_the_longest_release_has_names_that_kubernetes_takes(release: str) -> None:
    names = {found["metadata"]["name"] for found in helm.render(release=release) if found["kind"] == "Service"}
    assert len(names) == 4
    assert all(re.fullmatch("[a-z]([-a-z0-9]*[a-z0-9])?", name) and len(name) <= 63 for name in names)


@pytest.mark.parametrize("mode", ["auto", "cert-manager"])
def test_names_that_yaml_has_another_meaning_for_stay_names(mode: str) -> None:
    component: dict[str, Any] = {"serviceAccount": {"name": "8"}, "priorityClassName": "null"}
    webhook = {**component, "serviceAccount": {"name": "7"}, "tls": {"secretName": "9"}}
    gateway = {
        **component,
        "tls": {"enabled": True, "secretName": "9"},
        "engines": {"caConfigMap": "10"},
        "fairness": {"enabled": True, "sharesConfigMap": "11"},
    }
    networking = {"namespaces": ["12"], "inferGateway": gateway, "webhook": webhook}
    rendered = helm.render(
        values={"global": {"certManagementMode": mode}, "networking": networking}, release="true", namespace="1000000"
    )

    def strings(node: Any) -> Iterator[Any]:
        if isinstance(node, list):
            for each in node:
                yield from strings(each)
        elif isinstance(node, dict):
            for key, value in node.items():
                yield from (strings(value) if isinstance(value, dict | list) else [])
                if key in {"name", "namespace", "secretName", "serviceAccountName", "priorityClassName"}:
                    yield value
            yield from node.get("resourceNames", [])
            yield from (node.get("labels") or {}).values()

    found = [each for each in strings(rendered.objects) if not isinstance(each, dict)]
    assert {"true", "1000000", "8", "9", "null", "10", "11", "12"} <= set(found)
    assert [each for each in found if not isinstance(each, str)] == []


def test_long_releases_that_begin_alike_do_not_share_names() -> None:
    one, other = (helm.render(release="r" * 45 + end) for end in "ab")
    assert set(one.names("Service")).isdisjoint(other.names("Service"))


def test_objects_outside_namespaces_of_one_release_name_in_two_namespaces_differ() -> None:
    one, other = (helm.render(namespace=namespace) for namespace in ("a", "b"))
    for kind in ("ClusterRole", "ClusterRoleBinding", "ValidatingWebhookConfiguration"):
        assert set(one.names(kind)).isdisjoint(other.names(kind))


def test_large_numbers_are_never_written_with_an_exponent() -> None:
    limits = {
        "maxBodyBytes": 100_000_000,
        "maxBufferedBytes": 4_000_000_000,
        "maxHeaderBytes": 1_000_000,
        "maxHeaders": 1_000_000,
        "maxConnections": 10_000_000,
    }
    fairness = {
        "enabled": True,
        "maxQueue": 10_000_000,
        "maxUsers": 1_000_000,
        "maxQPS": 1_000_000,
        "outputTokenWeight": 1_000_000.0,
        "inputTokenWeight": 0.5,
        "shares": {"users": {"1000000": {"share": 1_000_000}}, "weights": {"inputToken": 1_000_000}},
    }  # fmt: skip
    plugin = {"name": "prefix-cache", "args": {"maxHashCacheSize": 50_000_000}}
    passed_on = {
        "replicas": 1_000_000,
        "resource": {"limits": {"memory": 4_000_000_000}},
        "podSecurityContext": {"runAsUser": 1_000_680_000},
        "startupProbe": {"failureThreshold": 1_000_000},
        "tolerations": [{"operator": "Exists", "tolerationSeconds": 3_000_000}],
    }
    values = helm.gateway(
        limits=limits, fairness=fairness, routerConfiguration={"scheduler": {"pluginConfig": [plugin]}}, **passed_on
    )
    values["networking"]["webhook"] = passed_on
    rendered = helm.render(values=values)
    # As written: read, one with an exponent is a number like others.
    written = [text for text in rendered.text.split("\n---\n") if "\nkind: CustomResourceDefinition\n" not in text]
    assert len(written) == len(rendered.objects) - len(rendered.of("CustomResourceDefinition"))
    assert [found for text in written for found in re.findall(r".*\d[eE]\+?\d{2}\b.*", text)] == []
    environment = rendered.environment(GATEWAY)
    assert environment["MAX_BUFFERED_BYTES"] == "4000000000"
    assert environment["FAIRNESS_MAX_USERS"] == "1000000"
    assert environment["FAIRNESS_OUTPUT_TOKEN_WEIGHT"] == "1000000"
    assert environment["FAIRNESS_INPUT_TOKEN_WEIGHT"] == "0.5"
    assert rendered.container(GATEWAY)["resources"]["limits"]["memory"] == 4_000_000_000
    shares = YAML(typ="safe", pure=True).load(rendered.one("ConfigMap", f"{GATEWAY}-shares")["data"]["shares.yaml"])
    assert shares == fairness["shares"]
