"""From one certificate mode to another and back, by upgrades, rollbacks and the end of the release: a Secret that the
release did not make is nobody's but its owner's."""

import itertools
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.charts import cluster, helm
from tests.charts.generated import CHART
from tests.charts.test_webhook_templates import BUNDLE
from tests.conftest import running_kube_apiserver
from tests.kube import apiserver, binaries
from tests.kube.apiserver import KubeApiServer

# Helm and the API server take seconds on a busy machine.
pytestmark = pytest.mark.timeout(180)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KubeApiServer]:
    with running_kube_apiserver(tmp_path_factory.mktemp("modes")) as running:
        running.apply(apiserver.namespace(helm.NAMESPACE))
        try:
            running.install_crds(cluster.foreign_schemas())
        except binaries.Missing as missing:
            pytest.skip(str(missing))
        yield running


def values(mode: str, secret: str = "") -> helm.Object:
    return {
        "crds": {"enabled": False},
        "global": {"certManagementMode": mode, "webhook": {"caBundle": BUNDLE if mode == "manual" else ""}},
        **helm.webhook(tls={"secretName": secret}),
    }


def secret(name: str) -> helm.Object:
    """As somebody makes it, or cert-manager."""
    meta = {"name": name, "namespace": helm.NAMESPACE}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": meta, "stringData": {"tls.crt": "x", "tls.key": "y"}}


def there(server: KubeApiServer, name: str) -> helm.Object | None:
    try:
        found = server.get(secret(name))
    except apiserver.Refused as refusal:
        if refusal.status == 404:
            return None
        raise
    assert isinstance(found, dict)
    return found


def upgrade(server: KubeApiServer, name: str, given: helm.Object) -> str:
    return cluster.release(server, "upgrade", name, helm.NAMESPACE, EVERY_REVISION, values=given)


def roll_back(server: KubeApiServer, name: str, revision: int) -> None:
    words = ("rollback", name, str(revision), "--namespace", helm.NAMESPACE, EVERY_REVISION)
    helm.run(*words, kubeconfig=server.kubeconfig)


EVERY_REVISION = "--history-max=0"
"""Helm keeps ten by default."""

EVERY_CHANGE = ("auto", "manual", "cert-manager", "auto", "cert-manager", "manual", "auto")
"""Each mode after each other."""


@pytest.mark.parametrize("configured", ["", "mine"])
def test_no_change_of_mode_forth_or_back_takes_a_secret_that_the_release_did_not_make(
    server: KubeApiServer, configured: str
) -> None:
    name = configured or "walk-webhook-certs"
    cluster.release(server, "install", "walk", helm.NAMESPACE, values=values("auto", configured))
    assert there(server, f"{name}-auto") is not None
    server.apply(secret(name))
    mine = there(server, name)
    assert mine is not None

    def is_as_it_was(mode: str) -> None:
        assert there(server, name) == mine
        assert (there(server, f"{name}-auto") is not None) == (mode == "auto")

    for mode in EVERY_CHANGE[1:]:
        upgrade(server, "walk", values(mode, configured))
        is_as_it_was(mode)
    # Each change once more, by what Helm kept of the first ones: it looks at no cluster when it renders none.
    for mode in (*EVERY_CHANGE[1:], "manual"):
        roll_back(server, "walk", EVERY_CHANGE.index(mode) + 1)
        is_as_it_was(mode)
    cluster.uninstall(server, "walk", helm.NAMESPACE)
    assert there(server, name) == mine
    assert cluster.left(server, "walk") == []
    server.delete(secret(name))


def test_of_cert_managers_secret_auto_takes_nothing_and_at_the_end_it_stays(server: KubeApiServer) -> None:
    cluster.release(server, "install", "managed", helm.NAMESPACE, values=values("cert-manager"))
    server.apply(secret("managed-webhook-certs"))
    issued = there(server, "managed-webhook-certs")
    upgrade(server, "managed", values("auto"))
    roll_back(server, "managed", 1)
    roll_back(server, "managed", 2)
    cluster.uninstall(server, "managed", helm.NAMESPACE)
    assert there(server, "managed-webhook-certs") == issued
    assert cluster.left(server, "managed") == []


def test_what_the_webhook_made_stays_over_upgrades_and_rollbacks_within_the_mode(server: KubeApiServer) -> None:
    cluster.release(server, "install", "stays", helm.NAMESPACE, values=values("auto"))
    made = server.patch(secret("stays-webhook-certs-auto"), {"data": {"tls.crt": "eA=="}})
    upgrade(server, "stays", values("auto"))
    assert server.get(made)["data"] == {"tls.crt": "eA=="}
    roll_back(server, "stays", 1)
    assert server.get(made)["data"] == {"tls.crt": "eA=="}
    cluster.uninstall(server, "stays", helm.NAMESPACE)


def test_a_secret_of_somebody_elses_under_the_name_of_the_releases_own_is_not_taken_over(server: KubeApiServer) -> None:
    server.apply(secret("before-webhook-certs-auto"))
    mine = there(server, "before-webhook-certs-auto")
    with pytest.raises(helm.Refused, match=r'Secret "before-webhook-certs-auto" .* cannot be imported into'):
        cluster.release(server, "install", "before", helm.NAMESPACE, values=values("auto"))
    assert there(server, "before-webhook-certs-auto") == mine


@pytest.fixture
def older(tmp_path: Path) -> Path:
    """The chart as it was: what `auto` made bore the name that the other modes' Secrets have."""
    folder = tmp_path / "kthena"
    shutil.copytree(CHART, folder)
    file = folder / "charts/networking/templates/webhook/_names.tpl"
    text = file.read_text()
    file.write_text(text.replace('"%s-auto"', '"%s"'))
    assert file.read_text() != text
    return folder


def test_an_upgrade_from_the_chart_as_it_was_leaves_one_secret(server: KubeApiServer, older: Path) -> None:
    cluster.release(server, "install", "old", helm.NAMESPACE, values=values("auto"), chart=older)
    assert there(server, "old-webhook-certs") is not None
    upgrade(server, "old", values("auto"))
    assert there(server, "old-webhook-certs") is None
    assert there(server, "old-webhook-certs-auto") is not None
    cluster.uninstall(server, "old", helm.NAMESPACE)
    assert cluster.left(server, "old") == []


def test_notes_know_that_the_secret_of_the_chart_as_it_was_goes_with_its_mode(
    server: KubeApiServer, older: Path
) -> None:
    cluster.release(server, "install", "old", helm.NAMESPACE, values=values("auto"), chart=older)
    notes = upgrade(server, "old", values("manual"))
    assert "The Secret old-webhook-certs is not in kthena-system yet" in notes
    assert there(server, "old-webhook-certs") is None
    cluster.uninstall(server, "old", helm.NAMESPACE)


def test_the_readme_says_what_becomes_of_which_secret() -> None:
    text = (CHART / "README.md").read_text()
    rows = re.findall(r"^\| from `(\S+)` to `(\S+)` \|", text, re.MULTILINE)
    assert sorted(rows) == sorted(itertools.pairwise(EVERY_CHANGE))
