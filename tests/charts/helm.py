"""Real Helm on the chart, and what it renders as objects."""

from __future__ import annotations

import copy
import functools
import json
import os
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from tests.charts.generated import CHART as CHART
from tests.kube import binaries

Object = dict[str, Any]

RELEASE, NAMESPACE = "kthena", "kthena-system"
GATEWAY, WEBHOOK = "kthena-infer-gateway", "kthena-webhook"
"""How the two programs' objects are called in such a release."""

PATIENCE = 120.0


class Refused(Exception):
    """Helm's exit status was not 0; the text is what it said."""


def run(*arguments: str | Path, kubeconfig: Path | None = None) -> str:
    """What `helm ARGUMENTS` prints; Refused where it fails. Nothing of the user's own Helm is read or written."""
    with tempfile.TemporaryDirectory() as home:
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("HELM_", "KUBE"))}
        environment |= {"HELM_CACHE_HOME": home, "HELM_CONFIG_HOME": home, "HELM_DATA_HOME": home}
        environment["KUBECONFIG"] = str(kubeconfig or os.devnull)
        done = subprocess.run(
            [binaries.helm(), *arguments],
            check=False,
            capture_output=True,
            text=True,
            env=environment,
            timeout=PATIENCE,
        )
    if done.returncode:
        raise Refused(done.stderr)
    return done.stdout


class Rendered:
    """The objects of a release."""

    def __init__(self, text: str) -> None:
        self.text = text

    @functools.cached_property
    def objects(self) -> list[Object]:
        # Copies: a test may change what it looks at.
        documents = [copy.deepcopy(_parsed(document)) for document in self.text.split("\n---\n")]
        return [document for document in documents if document]

    def __iter__(self) -> Iterator[Object]:
        return iter(self.objects)

    def of(self, kind: str) -> list[Object]:
        return [found for found in self.objects if found["kind"] == kind]

    def one(self, kind: str, name: str) -> Object:
        (found,) = (found for found in self.of(kind) if found["metadata"]["name"] == name)
        return found

    def names(self, kind: str) -> list[str]:
        return sorted(found["metadata"]["name"] for found in self.of(kind))

    def container(self, name: str) -> Object:
        """The one container of a Deployment."""
        (container,) = self.one("Deployment", name)["spec"]["template"]["spec"]["containers"]
        assert isinstance(container, dict)
        return container

    def environment(self, name: str) -> dict[str, str]:
        """What the chart itself sets of a Deployment's environment; the namespace is Kubernetes' to say."""
        return {entry["name"]: entry["value"] for entry in self.container(name)["env"] if "value" in entry}


@functools.lru_cache(maxsize=512)
def _parsed(document: str) -> Any:
    # Parsed anew for each test, the CRDs alone would take a second.
    return YAML(typ="safe", pure=True).load(document)


def render(
    *sets: str,
    values: Mapping[str, Any] | None = None,
    files: Sequence[str] = (),
    release: str = RELEASE,
    namespace: str = NAMESPACE,
    chart: Path = CHART,
) -> Rendered:
    """The chart rendered with `--set` of each of `sets`, values files of its own, and values as a file has them."""
    arguments: list[str | Path] = ["template", release, chart, "--namespace", namespace]
    for name in files:
        arguments += ["--values", chart / name]
    for assignment in sets:
        arguments += ["--set", assignment]
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        if values is not None:
            # JSON is YAML, and leaves no doubt about what is a text.
            json.dump(values, file)
            file.flush()
            arguments += ["--values", file.name]
        return Rendered(run(*arguments))


def default() -> Rendered:
    """What a plain install gives."""
    return Rendered(_default_text())


@functools.cache
def _default_text() -> str:
    return render().text


def pod(rendered: Rendered, name: str = GATEWAY) -> Object:
    """What a Deployment says of its pods."""
    spec = rendered.one("Deployment", name)["spec"]["template"]["spec"]
    assert isinstance(spec, dict)
    return spec


def gateway(**values: Any) -> dict[str, Any]:
    """Values of the gateway, from where a values file begins."""
    return {"networking": {"inferGateway": values}}


def webhook(**values: Any) -> dict[str, Any]:
    return {"networking": {"webhook": values}}
