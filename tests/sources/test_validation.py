"""Manifests held to the rules without serving them: everything that is wrong, at once, with its place."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

import pytest

from kthena_fast.sources import manifest_files, validation
from kthena_fast.sources.manifests import Folder
from tests.sources.manifest import documents, put, route, server

EVERYTHING = """\
apiVersion: networking.serving.volcano.sh/v1alpha1
kind: ModelRoute
metadata:
  name: crd
spec:
  modelNam: m
  rules:
    - targetModels:
        - modelServerName: s
          weight: 500
    - targetModels: []
---
apiVersion: networking.serving.volcano.sh/v1alpha1
kind: ModelRoute
metadata:
  name: webhook
spec:
  modelName: m
  parentRefs:
    - name: gateway
  rules:
    - modelMatch:
        headers:
          x.tier:
            regex: "("
      targetModels:
        - modelServerName: s
          weight: 0
---
not: [closed
---
apiVersion: v1
kind: Service
---
apiVersion: v1
kind: List
items:
  - apiVersion: networking.serving.volcano.sh/v1alpha1
    kind: ModelRoute
    metadata:
      name: webhook
    spec:
      modelName: m
      rules: 3
"""


def found(*paths: Path) -> list[tuple[str, int, str, str]]:
    return [
        (finding.severity, finding.line, finding.name, finding.path) for finding in validation.validate(paths).findings
    ]


def test_every_violation_is_found_at_once_with_its_line_and_path(tmp_path: Path) -> None:
    put(tmp_path / "a.yaml", EVERYTHING)
    assert found(tmp_path) == [
        ("error", 5, "crd", "spec"),
        ("warning", 6, "crd", "spec.modelNam"),
        ("error", 10, "crd", "spec.rules[0].targetModels[0].weight"),
        ("error", 11, "crd", "spec.rules[1].targetModels"),
        ("warning", 19, "webhook", "spec.parentRefs"),
        ("error", 25, "webhook", "spec.rules[0].modelMatch.headers[x.tier].regex"),
        ("error", 26, "webhook", "spec.rules[0].targetModels"),
        ("error", 31, "", ""),
        ("error", 38, "webhook", ""),
        ("error", 44, "webhook", "spec.rules"),
    ]


def test_what_only_the_webhook_refuses_does_not_hide_behind_what_the_schema_refuses(tmp_path: Path) -> None:
    text = route(weight=101).replace("  rules:", '  loraAdapters: [""]\n  rules:')
    put(
        tmp_path / "a.yaml",
        text.replace("    - targetModels:", '    - modelMatch: {uri: {regex: "(?=a)"}}\n      targetModels:'),
    )
    assert found(tmp_path) == [
        ("error", 8, "r", "spec.loraAdapters[0]"),
        ("error", 10, "r", "spec.rules[0].modelMatch.uri.regex"),
        ("error", 13, "r", "spec.rules[0].targetModels[0].weight"),
    ]


def test_a_finding_reads_as_compilers_write_them(tmp_path: Path) -> None:
    put(tmp_path / "a.yaml", route(weight=101))
    (finding,) = validation.validate([tmp_path]).findings
    assert str(finding) == (
        f"{tmp_path}/a.yaml:11: error: ModelRoute default/r: spec.rules[0].targetModels[0].weight: "
        "must be between 0 and 100"
    )


def test_good_manifests_have_no_findings_and_are_counted(tmp_path: Path) -> None:
    put(tmp_path / "a.yaml", documents(route(), server(), "apiVersion: apps/v1\nkind: Deployment\n"))
    put(tmp_path / "b.yaml", "# nothing\n")
    report = validation.validate([tmp_path])
    assert report.findings == []
    assert (report.files, report.objects, report.errors) == (2, 2, 0)


def test_a_file_without_objects_is_a_warning_and_beside_an_object_what_says_no_kind_is_an_error(tmp_path: Path) -> None:
    put(tmp_path / "a.yaml", documents("apiVersion: v1\nkind: Service\n", "replicas: 3\n"))
    put(tmp_path / "b.yaml", documents(route(), "replicas: 3\n"))
    put(tmp_path / "c.yaml", route().replace("kind:", "kid:"))
    report = validation.validate([tmp_path])
    warning, *errors = report.findings
    assert str(warning) == (
        f"{tmp_path}/a.yaml: warning: is passed over: nothing in it is an object with apiVersion and kind"
    )
    line = len(route().splitlines()) + 2
    assert [(finding.severity, Path(finding.file).name, finding.line, finding.path) for finding in errors] == [
        ("error", "b.yaml", line, "apiVersion"),
        ("error", "b.yaml", line, "kind"),
        ("error", "c.yaml", 1, "kind"),
    ]


def test_a_file_that_is_named_is_read_whatever_its_suffix_and_once(tmp_path: Path) -> None:
    put(tmp_path / "a.txt", route(weight=101))
    assert found(tmp_path) == []
    assert len(found(tmp_path / "a.txt", tmp_path / "a.txt")) == 1


def test_an_object_that_is_defined_twice_is_an_error_across_files(tmp_path: Path) -> None:
    put(tmp_path / "a.yaml", route())
    put(tmp_path / "b.yaml", documents(server(), route()))
    (finding,) = validation.validate([tmp_path]).findings
    assert finding.message == f"is already defined at {tmp_path}/a.yaml:1"
    assert finding.line == len(server().splitlines()) + 2


def test_a_file_that_cannot_be_read_is_an_error_and_stops_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.yaml").write_bytes(b"# fine\n\xff")
    put(tmp_path / "b.yaml", route(weight=101))
    assert found(tmp_path) == [("error", 2, "", ""), ("error", 11, "r", "spec.rules[0].targetModels[0].weight")]

    def denied(path: Path) -> str:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(manifest_files, "read", denied)
    assert [finding.message for finding in validation.validate([tmp_path]).findings] == [
        "cannot be read: Permission denied"
    ] * 2


@pytest.mark.parametrize("weight", [0, 1, 100, 101, -1, "x", "'1'", "null"])
def test_what_the_schema_refuses_is_what_a_folder_sets_aside(tmp_path: Path, weight: int | str) -> None:
    """Except for what only the webhook refuses: it must not harm a gateway that gets it anyway."""
    put(tmp_path / "a.yaml", route(weight=weight))
    observation = Folder(tmp_path).look()
    assert observation is not None
    refused = [finding for finding in validation.validate([tmp_path]).findings if finding.severity == "error"]
    aside = [reason for rejection in observation.rejected for reason in rejection.reasons]
    if weight == 0:
        assert [finding.path for finding in refused] == ["spec.rules[0].targetModels"]
        assert aside == []
    else:
        assert [(finding.path, finding.line, finding.message) for finding in refused] == [
            (reason.path, reason.line, reason.message) for reason in aside
        ]


def test_the_example_manifests_of_the_demo_are_good_and_obeyed() -> None:
    with resources.as_file(resources.files("kthena_fast.demo") / "manifests") as folder:
        report = validation.validate([folder])
        assert report.findings == []
        assert report.objects == 5
        text = "".join(path.read_text() for path in manifest_files.listing(folder))
    for placeholder in ("127.0.0.1:18001", "127.0.0.1:18002"):
        assert placeholder in text


def test_a_file_that_went_away_is_reported(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").symlink_to("nowhere")
    assert [finding.message for finding in validation.validate([tmp_path / "a.yaml"]).findings] == [
        "cannot be read: No such file or directory"
    ]
