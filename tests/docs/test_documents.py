"""The documents say what is so: their tables, links, commands, variables, errors and manifests are held to the code."""

from __future__ import annotations

import ast
import asyncio
import os
import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import click
import pytest
from click.testing import CliRunner

import kthena_fast
from kthena_fast import errors
from kthena_fast import settings as knobs
from kthena_fast.cli import main
from kthena_fast.cli import settings as reference
from kthena_fast.sources import validation
from kthena_fast.wire import malformed
from tests.docs import generated
from tests.gateway import processes

DOCUMENTS = generated.documents()
every_document = pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(generated.ROOT)))

LINK = re.compile(r"\[[^]]*\]\(([^)\s]+)\)")
FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
COMMAND = re.compile(r"^\$ ((?:[A-Z_]+=\S+ )*kthena-fast .*(?:\\\n.*)*)$", re.MULTILINE)
INLINE = re.compile(r"`(kthena-fast [^`]+)`")
VARIABLE = re.compile(r"\b[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+\b")

BEYOND_SETTINGS = {"KTHENA_FAST_NO_EXTENSIONS", "KTHENA_FAST_CI", "KUBEBUILDER_ASSETS"}
"""Read by the build, the core's choosers and the suite."""


@every_document
def test_generated_parts_are_up_to_date(document: Path) -> None:
    text = document.read_text()
    assert text == generated.renewed(text), "run `make docs`"


def test_every_generated_part_stands_in_a_document() -> None:
    standing = {found[1] for document in DOCUMENTS for found in generated.PART.finditer(document.read_text())}
    assert standing == set(generated.PARTS)


def test_every_variable_has_a_meaning() -> None:
    assert [variable.name for variable in reference.variables() if not variable.meaning] == []


def test_a_default_is_written_as_the_environment_would_give_it() -> None:
    written = {variable.name: variable.default for variable in reference.variables()}
    assert knobs.read(written, lambda _: None) == knobs.Settings()


def _anchor(heading: str) -> str:
    """As GitHub makes it."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


@every_document
def test_links_lead_somewhere(document: Path) -> None:
    for target in LINK.findall(document.read_text()):
        if "://" in target:
            continue
        name, _, anchor = target.partition("#")
        path = (document.parent / name).resolve() if name else document
        assert path.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.*)$", path.read_text(), re.MULTILINE)
            assert anchor in [_anchor(heading) for heading in headings], target


def _command_lines() -> Iterator[str]:
    for document in DOCUMENTS:
        text = document.read_text()
        found = [*COMMAND.findall(text), *INLINE.findall(text)]
        yield from (line.replace("\\\n", " ") for line in found if "..." not in line)


@pytest.mark.parametrize("line", sorted(set(_command_lines())))
def test_command_lines_are_understood(line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    # What its output goes into is another's.
    words = [word for word in shlex.split(line.partition(" | ")[0], comments=True) if not re.match(r"[A-Z_]+=", word)]
    assert words.pop(0) == "kthena-fast"
    for word in words:
        if word.endswith("/") or word == "DIR":
            Path(word).mkdir()
        elif word.endswith((".yaml", ".pem", ".log", ".csv")):
            Path(word).touch()
    with click.Context(main) as context:
        name, command, arguments = main.resolve_command(context, words)
        assert command is not None
        command.make_context(name, arguments, parent=context).close()


@every_document
def test_variables_are_read_by_somebody(document: Path) -> None:
    named = set(VARIABLE.findall(document.read_text()))
    unknown = {
        name
        for name in named - BEYOND_SETTINGS - set(knobs.variables())
        # `FAIRNESS_MAX_*` stands for several.
        if not any(variable.startswith(name) for variable in knobs.variables())
    }
    assert unknown == set()


def test_the_table_of_errors_is_complete() -> None:
    rows = re.findall(
        r"^\| (\d{3}) \| `(\w+)` \| `(\w+)` \|", (generated.ROOT / "docs/running.md").read_text(), re.MULTILINE
    )
    said = {(str(error.status), error.type, error.code) for error in generated.errors_of_all_kinds()}
    said |= {("400", errors.INVALID_REQUEST, code) for code in get_args(malformed.Code)}
    assert sorted(rows) == sorted(said)


def test_every_reason_has_a_meaning_and_an_error() -> None:
    reasons = set(get_args(errors.Reason))
    assert errors.MEANINGS.keys() == reasons
    assert {error.reason for error in generated.errors_of_all_kinds()} == reasons


async def test_the_sample_of_the_readme_works_as_pasted_with_the_demo() -> None:
    (sample,) = (
        text for language, text in FENCED.findall((generated.ROOT / "README.md").read_text()) if language == "python"
    )
    ports = ("--port", "0", "--metrics-port", "0", "--debug-port", "0")
    async with processes.program("demo", *ports) as program:
        await program.says("Ctrl-C")
        (address,) = set(re.findall(r"curl (?:-N )?http://(\S+)/v1/chat", "\n".join(program.lines)))
        pasted = sample.replace("localhost:8080", address)
        assert pasted != sample
        shell = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-c", pasted),
            # A proxy of the machine's would be asked for it.
            env={**os.environ, "NO_PROXY": "*"},
            stdout=asyncio.subprocess.PIPE,
        )
        printed, _ = await shell.communicate()
        assert shell.returncode == 0
        whole, streamed = printed.decode().split("\n")
        assert whole
        assert whole == streamed


def _manifests() -> Iterator[str]:
    for document in DOCUMENTS:
        for language, text in FENCED.findall(document.read_text()):
            if language == "yaml" and "apiVersion" in text:
                yield text


@pytest.mark.parametrize("text", list(_manifests()))
def test_manifests_are_good_and_obeyed(text: str, tmp_path: Path) -> None:
    (tmp_path / "shown.yaml").write_text(text)
    assert validation.validate([tmp_path]).findings == []


def test_modules_that_are_named_exist() -> None:
    package = Path(kthena_fast.__file__).parent
    named = {name for path in DOCUMENTS for name in re.findall(r"`([a-z]+/[a-z_]+\.py)`", path.read_text())}
    assert [name for name in named if not name.startswith("room/") and not (package / name).exists()] == []


def test_tests_that_are_named_exist() -> None:
    """A difference from upstream is named with the test that holds it."""
    there = {
        node.name
        for path in (generated.ROOT / "tests").rglob("test_*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    named = {name for document in DOCUMENTS for name in re.findall(r"`(test_\w{20,})`", document.read_text())}
    assert named - there == set()


def test_the_settings_command_prints_every_variable_and_nothing_of_the_environment() -> None:
    result = CliRunner().invoke(main, ["settings"], env={"REDIS_PASSWORD": "a-secret"})
    assert result.exit_code == 0
    assert all(f"{name}=" in result.stdout for name in knobs.variables())
    assert "a-secret" not in result.stdout
