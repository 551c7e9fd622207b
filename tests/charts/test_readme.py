"""The chart's README says what is so: its commands work, its links lead somewhere, its keys are keys."""

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from tests.charts import helm, values
from tests.charts.generated import CHART

TEXT = (CHART / "README.md").read_text()
VALUES = (CHART / "values.yaml").read_text()
WALK = (CHART.parents[1] / "docs" / "kubernetes.md").read_text()
EXAMPLE = CHART.parents[1] / "docs" / "examples" / "mock-engines.yaml"
BARE = "helm install kthena ./charts/kthena"
"""The one line that names no namespace."""

INSTALL = re.compile(r"^(?:    |\$ |#   )(helm (?:install|upgrade --install) (?:.*\\\n)*.*)$", re.MULTILINE)
FILES = sorted(CHART.glob("values-*.yaml"))
LINES = [
    re.sub(r"\\\n#?", " ", line)
    for text in (TEXT, WALK, *(file.read_text() for file in FILES))
    for line in INSTALL.findall(text)
]
"""Every install that is written somewhere."""

LATER = re.findall(r"`(helm (?:test|uninstall|template) [^`]+)`", TEXT)
"""And what is said to be run beside them."""


@pytest.mark.parametrize("line", LINES)
def test_every_install_works_as_written(line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(CHART.parents[1])
    words = [word for word in shlex.split(line)[2:] if word not in ("--install", "--create-namespace")]
    rendered = helm.Rendered(helm.run("template", *words))
    assert rendered.names("Deployment") == [helm.GATEWAY, helm.WEBHOOK]


def test_all_lines_but_the_first_are_of_one_release_in_one_namespace() -> None:
    assert LINES[0] == BARE
    # Whoever pastes the next one too has two releases.
    assert "Or, in the place of that line" in TEXT.partition(BARE)[2].partition(LINES[1].strip())[0]
    for line in (*LINES[1:], *LATER):
        words = shlex.split(line)
        if words[1] == "template":
            # It leaves nothing anywhere.
            continue
        assert words[words.index("--namespace") :][:2] == ["--namespace", helm.NAMESPACE], line
        assert helm.RELEASE in words
        if words[1] == "upgrade":
            # So that it is the first of these lines as well as the next.
            assert {"--install", "--create-namespace"} <= set(words)
    commands = re.findall(r"kubectl .*?-n(?:amespace)? (\S+)", TEXT)
    assert set(commands) == {helm.NAMESPACE}


def test_values_of_kthenas_router_are_looked_at_by_the_line_that_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(CHART.parents[1])
    file = tmp_path / "values.yaml"
    file.write_text("networking: {inferGateway: {drainTimeout: 5m, sessionBoost: {enabled: true}}}")
    (line,) = (line for line in LATER if line.startswith("helm template"))
    with pytest.raises(helm.Refused) as refused:
        helm.run(*shlex.split(line.replace("FILE", str(file)))[1:])
    assert "networking.inferGateway.drainTimeout is not a key here" in str(refused.value)
    assert "networking.inferGateway.sessionBoost is not a key here" in str(refused.value)


def test_the_image_that_one_builds_is_the_one_that_is_pulled() -> None:
    image = helm.default().container(helm.GATEWAY)["image"]
    assert image == helm.default().container(helm.WEBHOOK)["image"]
    for text in (TEXT, WALK):
        built, loaded = re.findall(
            r"^(?:    |\$ )(?:docker build -t|kind load docker-image) (\S+)(?: \.)?$", text, re.MULTILINE
        )
        assert (built, loaded) == (image, image)
    assert f"`{image}`" in TEXT
    # The engines that one document has the reader apply are pods of the image that the other had him build.
    (engine,) = re.findall(r"^ +image: (\S+)$", EXAMPLE.read_text(), re.MULTILINE)
    assert engine == image
    assert f"$ sed s#{image}#" in WALK


def test_the_webhook_alone_is_printed_as_its_document_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(CHART.parents[1])
    (line,) = re.findall(
        r"^\$ helm (template .*)$", (CHART.parents[1] / "docs" / "webhook.md").read_text(), re.MULTILINE
    )
    rendered = helm.Rendered(helm.run(*shlex.split(line)))
    assert rendered.names("Deployment") == ["webhook-webhook"]
    assert {found["metadata"]["labels"]["app.kubernetes.io/component"] for found in rendered} == {"webhook"}


def test_a_pipeline_that_applies_what_is_rendered_makes_no_pod_of_a_test(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(CHART.parents[1])
    (line,) = re.findall(r"^    helm (template .*) \| kubectl apply ", TEXT, re.MULTILINE)
    rendered = helm.Rendered(helm.run(*shlex.split(line)))
    assert rendered.names("Deployment") == [helm.GATEWAY, helm.WEBHOOK]
    assert rendered.of("Pod") == []
    assert {found["metadata"].get("namespace", helm.NAMESPACE) for found in rendered} == {helm.NAMESPACE}


def test_there_are_lines_to_try() -> None:
    assert len(LINES) == 9
    assert [line.split()[1] for line in LATER] == ["test", "uninstall", "template"]
    assert len(FILES) == 3


def test_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\(([^)\s#]+)(?:#[^)]*)?\)", TEXT):
        assert "://" in target or (CHART / target).exists(), target


def test_the_table_of_values_files_is_what_they_say() -> None:
    rows = re.findall(r"^\| `(values-\S+\.yaml)` \| (\S+) \| ([\d.]+), ([\d.]+) \|", TEXT, re.MULTILINE)
    found = []
    for file in FILES:
        fairness = YAML(typ="safe", pure=True).load(file.read_text())["networking"]["inferGateway"]["fairness"]
        weights = (fairness["inputTokenWeight"], fairness["outputTokenWeight"])
        found.append((file.name, fairness["windowSize"], *map(str, weights)))
    assert sorted(rows) == sorted(found)


def _names(node: Any, path: str = "") -> set[str]:
    names = {path} if path else set()
    for key, child in node.get("properties", {}).items():
        names |= _names(child, f"{path}.{key}" if path else key)
    return names


def test_every_value_that_is_named_is_one() -> None:
    """In the text; in the table of upstream's keys the left column is upstream's."""
    before, _, after = TEXT.partition("| `networking.kthenaRouter...`")
    text = before + after.partition("\n\n")[2]
    known = _names(values.schema(VALUES))
    known |= {name.partition(prefix)[2] for name in known for prefix in ("networking.inferGateway.", "networking.")}
    named = re.findall(r"`((?:[a-z][A-Za-z]+\.)+[a-z][A-Za-z]+)(?:=\S*)?`", text)
    strangers = {name for name in named if name not in known and not name.endswith((".yaml", ".md"))}
    # A key of Kthena's first chart, one of its router's configuration, and one of a ConfigMap.
    assert strangers == {"global.certManager.enabled", "kthenaRouter.enabled", "auth.jwksUri", "ca.crt"}
