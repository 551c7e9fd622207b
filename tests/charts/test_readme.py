"""The chart's README says what is so: its commands work, its links lead somewhere, its keys are keys."""

import re
import shlex
from typing import Any

import pytest
from ruamel.yaml import YAML

from tests.charts import helm, values
from tests.charts.generated import CHART

TEXT = (CHART / "README.md").read_text()
VALUES = (CHART / "values.yaml").read_text()
WALK = (CHART.parents[1] / "docs" / "kubernetes.md").read_text()
INSTALLS = [
    line.replace("\\\n", " ")
    for line in re.findall(r"^(?:    |\$ )(helm install (?:.*\\\n)*.*)$", TEXT + WALK, re.MULTILINE)
]
FILES = sorted(CHART.glob("values-*.yaml"))
LINES = [*INSTALLS, *(re.findall(r"helm install .*", file.read_text())[0] for file in FILES)]
"""Every install that is written somewhere."""


@pytest.mark.parametrize("line", LINES)
def test_every_install_works_as_written(line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(CHART.parents[1])
    words = shlex.split(line)[2:]
    rendered = helm.Rendered(helm.run("template", *(word for word in words if word != "--create-namespace")))
    assert rendered.names("Deployment") == [helm.GATEWAY, helm.WEBHOOK]


def test_the_webhook_alone_is_printed_as_its_document_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(CHART.parents[1])
    (line,) = re.findall(
        r"^\$ helm (template .*)$", (CHART.parents[1] / "docs" / "webhook.md").read_text(), re.MULTILINE
    )
    rendered = helm.Rendered(helm.run(*shlex.split(line)))
    assert rendered.names("Deployment") == ["webhook-webhook"]
    assert {found["metadata"]["labels"]["app.kubernetes.io/component"] for found in rendered} == {"webhook", "test"}


def test_there_are_installs_to_try() -> None:
    assert len(INSTALLS) == 5
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
