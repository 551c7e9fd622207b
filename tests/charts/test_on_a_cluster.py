"""The chart on a real API server: every object is one that Kubernetes takes, and a release comes, changes and goes."""

import functools
import json
import re
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from kthena_fast.resources import crds
from tests.charts import cluster, helm, kubernetes, test_readme, values
from tests.charts.generated import CHART
from tests.charts.running import until
from tests.charts.test_webhook_templates import BUNDLE, MANUAL
from tests.conftest import running_kube_apiserver
from tests.kube import apiserver, binaries
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

WRITTEN: list[tuple[str, str, str, dict[str, Any]]] = [
    ("Secret", "v1", "webhook-certs-auto", {"data": {"tls.crt": "eA==", "tls.key": "eQ=="}}),
    ("Lease", "coordination.k8s.io/v1", "infer-gateway", {"spec": {"holderIdentity": "a", "leaseDurationSeconds": 15}}),
]
"""What the programs write into objects of the release."""

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


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KubeApiServer]:
    """One without CRDs of ours, which releases of this module bring and leave."""
    with running_kube_apiserver(tmp_path_factory.mktemp("charts")) as running:
        running.apply(apiserver.namespace(helm.NAMESPACE))
        yield running


@pytest.fixture
def bare(server: KubeApiServer) -> KubeApiServer:
    """The same without what the last test left of our CRDs, and so of their objects."""
    for definition in crds.all():
        server.delete(definition)
        apiserver.wait_until_gone(server, definition)
    return server


def install_foreign_schemas(server: KubeApiServer) -> None:
    try:
        server.install_crds(cluster.foreign_schemas())
    except binaries.Missing as missing:
        pytest.skip(str(missing))


@pytest.fixture(scope="module")
def with_foreign_schemas(server: KubeApiServer) -> KubeApiServer:
    install_foreign_schemas(server)
    return server


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


def test_a_release_comes_changes_and_goes_and_leaves_its_crds(bare: KubeApiServer) -> None:
    shares = {"networking": {"inferGateway": {"fairness": {"enabled": True, "shares": {"default": {"share": 2}}}}}}
    cluster.release(bare, "install", "life", helm.NAMESPACE, values=shares)
    came = cluster.left(bare, "life")
    assert "Deployment life-infer-gateway" in came
    assert "ValidatingWebhookConfiguration life-webhook-kthena-system" in came
    # As the programs do, whose work an upgrade must not undo.
    for kind, version, name, change in WRITTEN:
        meta = {"name": f"life-{name}", "namespace": helm.NAMESPACE}
        bare.patch({"apiVersion": version, "kind": kind, "metadata": meta}, change)
    cluster.release(bare, "upgrade", "life", helm.NAMESPACE, values=shares, chart=CHART)
    for kind, version, name, change in WRITTEN:
        meta = {"name": f"life-{name}", "namespace": helm.NAMESPACE}
        assert change.items() <= bare.get({"apiVersion": version, "kind": kind, "metadata": meta}).items()
    configuration = {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": "life-webhook-kthena-system"},
    }
    entries = bare.get(configuration)["webhooks"]
    for entry in entries:
        entry["clientConfig"]["caBundle"] = BUNDLE
    bare.patch(configuration, {"webhooks": entries})
    cluster.release(bare, "upgrade", "life", helm.NAMESPACE, values=shares, chart=CHART)
    assert {entry["clientConfig"].get("caBundle") for entry in bare.get(configuration)["webhooks"]} == {BUNDLE}
    route = {
        "apiVersion": f"{cluster.GROUP}/v1alpha1",
        "kind": "ModelRoute",
        "metadata": {"name": "mine", "namespace": "default"},
        "spec": {"modelName": "m", "rules": [{"targetModels": [{"modelServerName": "s"}]}]},
    }
    # The webhook has no pods here: what is being shown is the release.
    changed_shares = {"enabled": True, "shares": {"default": {"share": 5}}}
    without = {"networking": {"webhook": {"enabled": False}, "inferGateway": {"fairness": changed_shares}}}
    cluster.release(bare, "upgrade", "life", helm.NAMESPACE, values=without)
    changed = cluster.left(bare, "life")
    assert [found for found in changed if "webhook" in found] == []
    meta = {"name": "life-infer-gateway-shares", "namespace": helm.NAMESPACE}
    config = bare.get({"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta})
    assert config["data"]["shares.yaml"] == "default:\n  share: 5\n"
    bare.apply(route)
    assert "kept" in cluster.uninstall(bare, "life", helm.NAMESPACE)
    assert cluster.left(bare, "life") == []
    assert bare.get(route)["spec"]["modelName"] == "m"
    # And comes again.
    cluster.release(bare, "install", "life", helm.NAMESPACE)
    assert cluster.left(bare, "life") != []
    cluster.uninstall(bare, "life", helm.NAMESPACE)


@pytest.mark.parametrize("line", test_readme.LINES)
def test_every_install_that_is_written_somewhere_is_taken(
    server: KubeApiServer, line: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As it is written, to a real API server."""
    monkeypatch.chdir(CHART.parents[1])
    words = shlex.split(line)[1:]
    helm.run(*words, kubeconfig=server.kubeconfig)
    assert f"Deployment {helm.GATEWAY}" in cluster.left(server, helm.RELEASE)
    if line == test_readme.BARE:
        cluster.uninstall(server, helm.RELEASE, "default")
    else:
        # The line is one of those that may follow, and the others that are written follow on it.
        helm.run(*words, kubeconfig=server.kubeconfig)
        test, uninstall = (shlex.split(later)[1:] for later in test_readme.LATER[:2])
        # Nobody here runs its pod.
        helm.run(*test, "--filter", "name=none", kubeconfig=server.kubeconfig)
        helm.run(*uninstall, kubeconfig=server.kubeconfig)
    assert cluster.left(server, helm.RELEASE) == []


def test_secrets_that_cert_manager_leaves_are_found_by_the_line_that_says_so(
    with_foreign_schemas: KubeApiServer,
) -> None:
    server = with_foreign_schemas
    managed = {"global": {"certManagementMode": "cert-manager"}, **helm.gateway(tls={"enabled": True})}
    cluster.release(server, "install", helm.RELEASE, helm.NAMESPACE, values=managed)
    certificates = helm.render(values=managed).of("Certificate")
    # As cert-manager does, which is not here.
    for certificate in certificates:
        asked = certificate["spec"]
        meta = {"name": asked["secretName"], "namespace": helm.NAMESPACE, **asked["secretTemplate"]}
        server.apply({"apiVersion": "v1", "kind": "Secret", "metadata": meta})
    cluster.uninstall(server, helm.RELEASE, helm.NAMESPACE)
    assert len(certificates) == 4
    assert len(cluster.left(server, helm.RELEASE)) == 4
    ((namespace, selector),) = re.findall(
        r"^    kubectl --namespace (\S+) delete secret -l (\S+)$", (CHART / "README.md").read_text(), re.MULTILINE
    )
    server.request("DELETE", f"/api/v1/namespaces/{namespace}/secrets?labelSelector={selector}")
    assert cluster.left(server, helm.RELEASE) == []


def test_the_pod_of_a_failed_test_is_found_by_the_line_that_says_so(server: KubeApiServer) -> None:
    """Its log is what one looks at, so it stays; and what a hook has made is nobody's to Helm, so it stays for ever."""
    cluster.release(server, "install", helm.RELEASE, helm.NAMESPACE, "--set", "crds.enabled=false")
    with pytest.raises(helm.Refused, match="timed out"):
        # Nobody here runs it.
        helm.run("test", helm.RELEASE, "-n", helm.NAMESPACE, "--timeout", "2s", kubeconfig=server.kubeconfig)
    cluster.uninstall(server, helm.RELEASE, helm.NAMESPACE)
    assert cluster.left(server, helm.RELEASE) == [f"Pod {helm.GATEWAY}-test"]
    ((namespace, selector),) = re.findall(
        r"^    kubectl --namespace (\S+) delete pod -l (\S+)$", (CHART / "README.md").read_text(), re.MULTILINE
    )
    server.request("DELETE", f"/api/v1/namespaces/{namespace}/pods?labelSelector={selector}")
    assert cluster.left(server, helm.RELEASE) == []


NEEDS = {
    "global": {"certManagementMode": "cert-manager"},
    "networking": {"webhook": {"serviceMonitor": {"enabled": True}}},
}
"""Values of a release of which two kinds are not Kubernetes' own."""


def test_a_release_that_needs_what_the_cluster_lacks_is_refused_with_what_to_do(
    own_kube_apiserver: KubeApiServer,
) -> None:
    """Helm's own words are of kinds without matches, one for each object."""
    server = own_kube_apiserver
    for dry_run in ("server", "none"):
        with pytest.raises(helm.Refused) as refused:
            cluster.release(server, "install", "needs", "new", f"--dry-run={dry_run}", values=NEEDS)
        manager, monitors = refused.value.args[0].rstrip().splitlines()[-2:]
        assert manager == (
            "  global.certManagementMode is cert-manager, which this cluster does not have: install cert-manager "
            "first, or set it to auto, by which the webhook makes its own certificate, or to manual"
        )
        assert monitors == (
            "  networking.webhook.serviceMonitor.enabled is true, and this cluster does not know ServiceMonitors: "
            "install the Prometheus operator first, or set it to false"
        )
    cluster.release(server, "install", "needs", "new")
    with pytest.raises(helm.Refused, match="which this cluster does not have: install cert-manager first"):
        cluster.release(server, "upgrade", "needs", "new", values=NEEDS)
    install_foreign_schemas(server)
    cluster.release(server, "upgrade", "needs", "new", values=NEEDS)


@pytest.mark.parametrize(
    "told", [(), ("--dry-run=server",), ("--api-versions", "v1/Pod", "--api-versions", "apps/v1/Deployment")]
)
def test_what_is_rendered_for_later_may_need_what_the_cluster_does_not_have_yet(
    server: KubeApiServer, tmp_path: Path, told: tuple[str, ...]
) -> None:
    """Argo CD, for one, passes on which kinds its cluster has, and brings cert-manager in the same sync."""
    file = tmp_path / "values.json"
    file.write_text(json.dumps(NEEDS))
    rendered = helm.Rendered(helm.run("template", "a", CHART, "--values", file, *told, kubeconfig=server.kubeconfig))
    assert rendered.of("Certificate")
    assert rendered.of("ServiceMonitor")


def test_turning_the_autoscaler_on_takes_no_pods_away(server: KubeApiServer) -> None:
    """Nor does an upgrade while it is on: 1 is what the API server makes of a number that is taken away."""
    deployment = helm.default().one("Deployment", helm.GATEWAY)
    deployment["metadata"]["name"] = "scaled-infer-gateway"

    def replicas(verb: str, count: int, autoscaling: dict[str, Any]) -> int:
        values = {
            "crds": {"enabled": False},
            **helm.gateway(replicas=count, autoscaling=autoscaling),
        }
        cluster.release(server, verb, "scaled", helm.NAMESPACE, values=values)
        found = server.get(deployment)["spec"]["replicas"]
        assert isinstance(found, int)
        return found

    on = {"enabled": True, "minReplicas": 2, "maxReplicas": 9}
    assert replicas("install", 3, {}) == 3
    assert replicas("upgrade", 3, on) == 3
    # As the autoscaler does.
    server.patch(deployment, {"spec": {"replicas": 7}})
    assert replicas("upgrade", 3, on) == 7
    server.patch(deployment, {"spec": {"replicas": 1}})
    assert replicas("upgrade", 3, on) == 2
    assert replicas("upgrade", 3, {}) == 3
    cluster.uninstall(server, "scaled", helm.NAMESPACE)
    assert replicas("install", 5, on) == 2
    cluster.uninstall(server, "scaled", helm.NAMESPACE)


def test_an_upgrade_reaches_the_crds(bare: KubeApiServer, tmp_path: Path) -> None:
    older = tmp_path / "kthena"
    shutil.copytree(CHART, older)
    file = older / "files/crds/modelroutes.yaml"
    definition = YAML(typ="safe", pure=True).load(file.read_text())
    del definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]["rateLimit"]
    YAML().dump(definition, file)
    cluster.release(bare, "install", "older", helm.NAMESPACE, chart=older)
    assert "rateLimit" not in str(cluster.crd(bare, "modelroutes"))
    cluster.release(bare, "upgrade", "older", helm.NAMESPACE)
    assert "rateLimit" in str(cluster.crd(bare, "modelroutes"))
    cluster.uninstall(bare, "older", helm.NAMESPACE)


def test_a_second_release_leaves_the_crds_of_the_first_alone_and_says_so(bare: KubeApiServer) -> None:
    cluster.release(bare, "install", "first", helm.NAMESPACE)
    bare.apply(apiserver.namespace("elsewhere"))
    notes = cluster.release(bare, "install", "second", "elsewhere")
    assert f"modelroutes.{cluster.GROUP} (the release first in {helm.NAMESPACE})" in notes
    annotations = cluster.crd(bare, "modelroutes")["metadata"]["annotations"]
    assert annotations["meta.helm.sh/release-name"] == "first"
    cluster.uninstall(bare, "second", "elsewhere")
    cluster.uninstall(bare, "first", helm.NAMESPACE)
    assert cluster.crd(bare, "modelroutes")


def upstreams(kind_of_ours: helm.Object) -> helm.Object:
    """A CRD of ours as upstream has it where the two differ most: less is required, nothing is bounded or told."""
    version = kind_of_ours["spec"]["versions"][0]
    openapi = version["schema"]["openAPIV3Schema"]
    properties = {**openapi["properties"], "status": {"type": "object"}}
    loose = {"type": "object", "properties": _without_bounds(properties)}
    bare_version = {key: version[key] for key in ("name", "served", "storage", "subresources")}
    return {
        **kind_of_ours,
        "metadata": {
            "name": kind_of_ours["metadata"]["name"],
            "annotations": {"controller-gen.kubebuilder.io/version": "v0.17.2"},
        },
        "spec": {**kind_of_ours["spec"], "versions": [{**bare_version, "schema": {"openAPIV3Schema": loose}}]},
    }


def _without_bounds(node: Any) -> Any:
    dropped = {"description", "minimum", "maximum", "pattern", "maxLength", "x-kubernetes-validations"}
    if isinstance(node, dict):
        return {
            key: _without_bounds(part) for key, part in node.items() if key not in dropped or isinstance(part, dict)
        }
    return [_without_bounds(part) for part in node] if isinstance(node, list) else node


SPEC = {
    "inferenceEngine": "vLLM",
    "workloadSelector": {"matchLabels": {"app": "m"}},
    "workloadPort": {"port": 8000},
    "trafficPolicy": {"timeout": "soon"},
}
"""What upstream's CRD lets in, and ours does not."""


def test_an_install_over_upstreams_crds_takes_them_over_only_when_told(
    bare: KubeApiServer,
) -> None:
    bare.install_crds([upstreams(definition) for definition in crds.all()])
    server = {
        "apiVersion": f"{cluster.GROUP}/v1alpha1",
        "kind": "ModelServer",
        "metadata": {"name": "poison", "namespace": "default"},
        "spec": SPEC,
    }
    bare.apply(server)
    notes = cluster.release(bare, "install", "over", helm.NAMESPACE, "--set", "networking.webhook.enabled=false")
    assert "were left as they are" in notes
    assert "whoever applied it without Helm" in notes
    assert "pattern" not in str(cluster.crd(bare, "modelservers"))
    # What NOTES says, as it says it.
    commands = re.findall(r"^  kubectl (annotate|label) crd --overwrite (.*)\\\n    (.*)$", notes, re.MULTILINE)
    assert [what for what, _, _ in commands] == ["annotate", "label"]
    for what, names, pairs in commands:
        change = dict(pair.split("=") for pair in pairs.split())
        for name in names.split():
            definition = cluster.crd(bare, name.partition(".")[0])
            bare.patch(definition, {"metadata": {f"{what}s".replace("annotates", "annotations"): change}})
    notes = cluster.release(bare, "upgrade", "over", helm.NAMESPACE, "--set", "networking.webhook.enabled=false")
    assert "were left as they are" not in notes
    assert "pattern" in str(cluster.crd(bare, "modelservers"))
    assert bare.get(server)["spec"]["trafficPolicy"]["timeout"] == "soon"
    # It can be labelled, and mended, but not written anew as it is.
    bare.patch(server, {"metadata": {"labels": {"seen": "true"}}})
    bare.patch(server, {"spec": {"trafficPolicy": {"timeout": "10s"}}})
    with pytest.raises(apiserver.Refused, match="timeout"):
        bare.patch(server, {"spec": {"trafficPolicy": {"timeout": "soon"}}})
    cluster.uninstall(bare, "over", helm.NAMESPACE)


def test_objects_that_predate_the_rules_are_labelled_and_got_rid_of_while_no_webhook_answers(
    bare: KubeApiServer,
) -> None:
    bare.install_crds([upstreams(definition) for definition in crds.all()])
    # Upstream's definition of ModelServers takes one without a spec.
    old = [
        {
            "apiVersion": f"{cluster.GROUP}/v1alpha1",
            "kind": "ModelServer",
            "metadata": {"name": name, "namespace": "default", "finalizers": ["example.org/wait"]},
            **rest,
        }
        for name, rest in (("soon", {"spec": SPEC}), ("empty", {}))
    ]
    bare.apply(*old)
    cluster.release(bare, "install", "silent", helm.NAMESPACE)
    for server in old:
        until(functools.partial(is_asked, bare, server), "the webhook is asked")
        bare.patch(server, {"metadata": {"labels": {"seen": "true"}}})
        bare.delete(server)
        bare.patch(server, {"metadata": {"finalizers": None}})
        with pytest.raises(apiserver.Refused, match="404"):
            bare.get(server)
    cluster.uninstall(bare, "silent", helm.NAMESPACE)


def is_asked(server: KubeApiServer, obj: helm.Object) -> bool:
    """Whether a change of the spec is refused for want of an answer."""
    try:
        server.apply({**obj, "spec": {**SPEC, "model": "m"}}, dry_run=True)
    except apiserver.Refused as refusal:
        return "failed calling webhook" in str(refusal)
    return False


@pytest.mark.parametrize(
    ("limit", "bodies", "needed"),
    [
        ("405Mi", "256MiB", "406Mi"),
        ("406Mi", "256MiB", ""),
        ("512Mi", "1GiB", "1174Mi"),
        (300_000_000, "256MiB", "406Mi"),
        ("1G", 1_000_000_000, "1104Mi"),
        (None, "256MiB", ""),
    ],
)
def test_notes_warn_of_memory_that_the_bodies_of_requests_may_come_to_exceed(
    server: KubeApiServer, limit: str | int | None, bodies: str | int, needed: str
) -> None:
    values = helm.gateway(resource={"limits": {"memory": limit}}, limits={"maxBufferedBytes": bodies})
    # Definitions of the last test are there, and a dry run does not look for them.
    words = ("--dry-run=client", "--set", "crds.enabled=false")
    notes = cluster.release(server, "install", "memory", helm.NAMESPACE, *words, values=values)
    told = re.findall(
        r"memory is limited to (\S+), and it may come to need (\S+): bodies of requests up to\n(\S+) ", notes
    )
    assert told == ([(str(limit), needed, str(bodies))] if needed else [])


def test_notes_say_which_secrets_are_still_to_be_made(bare: KubeApiServer) -> None:
    values = {**MANUAL, "networking": {"inferGateway": {"tls": {"enabled": True}}}}
    notes = cluster.release(bare, "install", "secrets", helm.NAMESPACE, values=values)
    assert "The Secret infer-gateway-tls is not in kthena-system yet" in notes
    assert "The Secret secrets-webhook-certs is not in kthena-system yet" in notes
    for name in ("infer-gateway-tls", "secrets-webhook-certs"):
        meta = {"name": name, "namespace": helm.NAMESPACE}
        bare.apply(
            {"apiVersion": "v1", "kind": "Secret", "metadata": meta, "stringData": {"tls.crt": "x", "tls.key": "y"}}
        )
    notes = cluster.release(bare, "upgrade", "secrets", helm.NAMESPACE, values=values)
    assert "is not in kthena-system yet" not in notes
    cluster.uninstall(bare, "secrets", helm.NAMESPACE)
