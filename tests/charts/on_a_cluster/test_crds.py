"""Kinds that are not Kubernetes' own: what a release needs, what it brings, and what was there before it."""

import functools
import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from kthena_fast.resources import crds
from tests.charts import cluster, helm
from tests.charts.generated import CHART
from tests.charts.running import until
from tests.kube import apiserver
from tests.kube.apiserver import KubeApiServer

# Helm and the API server take seconds on a busy machine.
pytestmark = pytest.mark.timeout(180)

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
    cluster.install_foreign_schemas(server)
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
