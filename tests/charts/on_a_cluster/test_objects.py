"""Every object that the chart renders is one that Kubernetes takes."""

from typing import Any

import pytest

from tests.charts import cluster, helm, kubernetes, values
from tests.charts.generated import CHART
from tests.charts.test_webhook_templates import MANUAL
from tests.kube import apiserver
from tests.kube.apiserver import KubeApiServer

# Helm and the API server take seconds on a busy machine.
pytestmark = pytest.mark.timeout(180)

AFFINITY = {
    "podAntiAffinity": {
        "preferredDuringSchedulingIgnoredDuringExecution": [
            {
                "weight": 1,
                "podAffinityTerm": {
                    "topologyKey": "kubernetes.io/hostname",
                    "labelSelector": {"matchLabels": {"app": "engine"}},
                },
            }
        ]
    }
}
ZONES = [{"maxSkew": 1, "topologyKey": "topology.kubernetes.io/zone", "whenUnsatisfiable": "DoNotSchedule"}]

EVERYTHING: dict[str, Any] = {
    "networking": {
        "nameOverride": "llm",
        "imagePullSecrets": [{"name": "registry"}],
        "inferGateway": {
            "image": {"tag": "7"},
            "metrics": {"exposeOnRouterPort": True},
            "fairness": {
                "enabled": True,
                "maxQPS": 1_000_000,
                "shares": {"groups": {"research": {"share": 3, "users": ["alice"]}}},
            },
            "routerConfiguration": {"scheduler": {"plugins": {}}},
            "engines": {"caConfigMap": "engines"},
            "trustedProxies": ["10.0.0.0/8", "fd00::/8"],
            "autoscaling": {"enabled": True},
            "podDisruptionBudget": {"enabled": True, "maxUnavailable": "25%"},
            "serviceMonitor": {"enabled": True, "labels": {"release": "prometheus"}},
            "networkPolicy": {
                "enabled": True,
                "clients": [{"podSelector": {}}],
                "scrapers": [{"namespaceSelector": {}}],
            },
            "service": {
                "port": 8000,
                "nodePort": 30080,
                "annotations": {"a": "b"},
                "loadBalancerSourceRanges": ["10.0.0.0/8"],
                "loadBalancerClass": "example.org/lb",
                "externalTrafficPolicy": "Local",
            },
            "tls": {
                "enabled": True,
                "dnsName": "llm.example.org",
                "issuerRef": {"name": "letsencrypt", "kind": "ClusterIssuer"},
            },
            "podLabels": {"team": "llm"},
            "podAnnotations": {"a": "b"},
            "nodeSelector": {"pool": "cpu"},
            "tolerations": [{"key": "cpu", "operator": "Exists"}],
            "affinity": AFFINITY,
            "topologySpreadConstraints": ZONES,
            "priorityClassName": "system-cluster-critical",
            "strategy": {"type": "Recreate"},
            "startupProbe": {"initialDelaySeconds": 1},
            "livenessProbe": {"initialDelaySeconds": 1},
            "readinessProbe": {"initialDelaySeconds": 1},
            "extraEnv": [{"name": "TZ", "value": "UTC"}],
            "extraArgs": ["--v=4"],
            "extraVolumes": [{"name": "logs", "emptyDir": {}}],
            "extraVolumeMounts": [{"name": "logs", "mountPath": "/logs"}],
            "serviceAccount": {"name": "gateway", "annotations": {"a": "b"}},
            "accessLog": {"output": "/logs/access.log"},
        },
        "webhook": {
            "podDisruptionBudget": {"minAvailable": 1, "maxUnavailable": None},
            "serviceMonitor": {"enabled": True, "labels": {"release": "prometheus"}},
            "networkPolicy": {"enabled": True},
            "replicas": 3,
            "image": {"tag": "7", "args": ["--v=4"]},
            "tls": {"secretName": "own"},
            "serviceAccount": {"name": "checker", "annotations": {"a": "b"}},
            "podLabels": {"team": "llm"},
            "podAnnotations": {"a": "b"},
            "nodeSelector": {"pool": "system"},
            "tolerations": [{"key": "CriticalAddonsOnly", "operator": "Exists"}],
            "affinity": AFFINITY,
            "topologySpreadConstraints": ZONES,
            "priorityClassName": "system-cluster-critical",
            "strategy": {"rollingUpdate": {"maxSurge": "50%", "maxUnavailable": 1}},
            "startupProbe": {"initialDelaySeconds": 1},
            "livenessProbe": {"initialDelaySeconds": 1},
            "readinessProbe": {"initialDelaySeconds": 1},
            "extraEnv": [{"name": "TZ", "value": "UTC"}],
            "extraVolumes": [{"name": "more", "emptyDir": {}}],
            "extraVolumeMounts": [{"name": "more", "mountPath": "/more"}],
        },
    }
}

NOT_BESIDE_THE_REST = {
    "global.webhook.caBundle",
    "networking.namespaces",
    "networking.inferGateway.fairness.sharesConfigMap",
    "networking.inferGateway.podDisruptionBudget.minAvailable",
}
"""What is off or empty by default, and cannot be set beside the rest."""

VARIANTS: dict[str, dict[str, Any]] = {
    "nothing asked for": {},
    "everything": {**EVERYTHING, "global": {"certManagementMode": "cert-manager"}},
    "everything, with certificates of one's own": {**EVERYTHING, **MANUAL},
    "certificates of cert-manager's, self-signed": {
        "global": {"certManagementMode": "cert-manager"},
        "networking": {"inferGateway": {"tls": {"enabled": True}}},
    },
    "two namespaces": {"networking": {"namespaces": ["default", "kube-public"]}},
}


def test_everything_has_all_that_is_off_or_empty_by_default() -> None:
    left_out = set()
    for entry in values.entries((CHART / "values.yaml").read_text()):
        if entry.default is False or (not entry.default and entry.default != 0):
            found: Any = EVERYTHING
            for key in entry.path:
                found = found.get(key, {}) if isinstance(found, dict) else {}
            if found in ({}, None):
                left_out.add(entry.name)
    assert left_out == NOT_BESIDE_THE_REST


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_object_is_one_that_the_api_server_knows_every_field_of(
    with_foreign_schemas: KubeApiServer, variant: str
) -> None:
    rendered = helm.render(values=VARIANTS[variant])
    assert len(rendered.objects) > 20
    cluster.dry_run(with_foreign_schemas, *rendered)


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_object_says_of_which_release_it_is(variant: str) -> None:
    """That is what `cluster.left` finds them by, and people."""
    rendered = helm.render(values=VARIANTS[variant])
    told = {found["metadata"].get("labels", {}).get("app.kubernetes.io/instance") for found in rendered}
    assert told == {helm.RELEASE}


@pytest.mark.parametrize("name", sorted(path.name for path in CHART.glob("values-*.yaml")))
def test_every_values_file_renders_what_the_api_server_takes(server: KubeApiServer, name: str) -> None:
    cluster.dry_run(server, *helm.render(files=[name]))


@pytest.mark.parametrize("variant", VARIANTS)
def test_pods_are_let_into_a_namespace_that_takes_only_restricted_ones(server: KubeApiServer, variant: str) -> None:
    """By the API server's own Pod Security admission."""
    rendered = helm.render(values=VARIANTS[variant], namespace="restricted")
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    server.apply({**apiserver.namespace("restricted"), "metadata": {"name": "restricted", "labels": labels}})
    pods = [
        {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "namespace": "restricted"}, "spec": spec}
        for spec in (
            *(found["spec"]["template"]["spec"] for found in rendered.of("Deployment")),
            *(found["spec"] for found in rendered.of("Pod")),
        )
    ]
    assert len(pods) == 3
    for pod in pods:
        # A class that not every cluster has.
        pod["spec"].pop("priorityClassName", None)
        server.apply(pod, dry_run=True)
        pod["spec"]["containers"][0].pop("securityContext")
        with pytest.raises(apiserver.Refused, match="violates PodSecurity"):
            server.apply(pod, dry_run=True)


def test_the_types_that_values_pass_on_are_the_api_servers_own(server: KubeApiServer) -> None:
    told = {group: server.request("GET", f"/openapi/v3/{group}") for group in kubernetes.TYPES}
    assert kubernetes.read(told) == kubernetes.load(), "run `python -m tests.charts.kubernetes`"


def test_the_dry_run_would_find_a_field_that_is_none(server: KubeApiServer) -> None:
    deployment = helm.default().one("Deployment", helm.GATEWAY)
    broken = {**deployment, "spec": {**deployment["spec"], "replica": 1}}
    with pytest.raises(apiserver.Refused, match="replica"):
        cluster.dry_run(server, broken)
