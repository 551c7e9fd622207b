"""`kthena-fast validate` and `kthena-fast crds`, as a shell sees them."""

from __future__ import annotations

from pathlib import Path

import orjson
from click.testing import CliRunner, Result
from ruamel.yaml import YAML

from kthena_fast.cli import main
from tests.sources.manifest import BAD_WEIGHT_LINE, documents, put, route, server


def run(*arguments: str | Path, given: str | bytes | None = None) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments], input=given)


def test_good_manifests_exit_with_0(tmp_path: Path) -> None:
    put(tmp_path / "a.yaml", documents(route(), server()))
    result = run("validate", tmp_path)
    assert result.exit_code == 0
    assert result.stdout == ""
    assert result.stderr == "2 objects in 1 file: 0 errors, 0 warnings\n"


def test_a_dash_is_the_standard_input() -> None:
    """Of `helm template`, say."""
    result = run("validate", "-", given=documents(server(), route(weight=101)))
    assert result.exit_code == 1
    line = len(server().splitlines()) + 1 + BAD_WEIGHT_LINE
    assert result.stdout.startswith(
        f"<stdin>:{line}: error: ModelRoute default/r: spec.rules[0].targetModels[0].weight: "
    )
    assert result.stderr == "2 objects in 1 file: 1 error, 0 warnings\n"
    result = run("validate", "-", given=b"\xff")
    assert result.stdout == "<stdin>:1: error: is not UTF-8\n"


def test_every_violation_is_a_line_and_the_exit_status_is_1(tmp_path: Path) -> None:
    put(tmp_path / "a.yaml", route(weight=101))
    put(tmp_path / "b.yaml", "a: [")
    result = run("validate", tmp_path / "a.yaml", tmp_path / "b.yaml")
    assert result.exit_code == 1
    one, two = result.stdout.splitlines()
    assert one.startswith(f"{tmp_path}/a.yaml:11: error: ModelRoute default/r: spec.rules[0].targetModels[0].weight: ")
    assert two.startswith(f"{tmp_path}/b.yaml:1: error: is not YAML: ")
    assert result.stderr == "1 object in 2 files: 2 errors, 0 warnings\n"


def test_warnings_alone_exit_with_0(tmp_path: Path) -> None:
    put(tmp_path / "a.yaml", route().replace("  modelName", "  modelNam: x\n  modelName"))
    result = run("validate", tmp_path)
    assert result.exit_code == 0
    assert "warning: ModelRoute default/r: spec.modelNam: " in result.stdout


def test_json_holds_everything_in_one_object(tmp_path: Path) -> None:
    put(tmp_path / "a.yaml", route(weight=101))
    result = run("validate", "--json", tmp_path)
    assert result.exit_code == 1
    assert orjson.loads(result.stdout) == {
        "valid": False,
        "files": 1,
        "objects": 1,
        "findings": [
            {
                "severity": "error",
                "file": f"{tmp_path}/a.yaml",
                "line": 11,
                "kind": "ModelRoute",
                "namespace": "default",
                "name": "r",
                "path": "spec.rules[0].targetModels[0].weight",
                "message": "must be between 0 and 100",
            }
        ],
    }


def test_a_path_that_is_not_there_is_a_wrong_call(tmp_path: Path) -> None:
    assert run("validate", tmp_path / "missing").exit_code == 2
    assert run("validate").exit_code == 2


def test_crds_prints_the_three_definitions_as_yaml() -> None:
    result = run("crds")
    assert result.exit_code == 0
    names = [crd["metadata"]["name"] for crd in YAML(typ="safe", pure=True).load_all(result.stdout)]
    assert names == [
        f"{plural}.networking.serving.volcano.sh"
        for plural in ("modelroutes", "modelservers", "externalmodelproviders")
    ]
