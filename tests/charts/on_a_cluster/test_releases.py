"""A release comes, changes and goes: its README finds what it leaves, and its notes say what it lacks."""

import re
import shlex
from typing import Any

import pytest

from tests.charts import cluster, helm, test_readme
from tests.charts.generated import CHART
from tests.charts.test_webhook_templates import BUNDLE, MANUAL
from tests.kube.apiserver import KubeApiServer

# Helm and the API server take seconds on a busy machine.
pytestmark = pytest.mark.timeout(180)

WRITTEN: list[tuple[str, str, str, dict[str, Any]]] = [
    ("Secret", "v1", "webhook-certs-auto", {"data": {"tls.crt": "eA==", "tls.key": "eQ=="}}),
    ("Lease", "coordination.k8s.io/v1", "infer-gateway", {"spec": {"holderIdentity": "a", "leaseDurationSeconds": 15}}),
]
"""What the programs write into objects of the release."""


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
    # Definitions of an earlier test are there, and a dry run does not look for them.
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
