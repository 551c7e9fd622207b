"""What a command loads: a mode's libraries are there in that mode only."""

from __future__ import annotations

import subprocess
import sys

import pytest
from click.testing import CliRunner

from kthena_fast import __version__
from kthena_fast.cli import main

SERVERS = {"aiohttp", "uvloop", "prometheus_client", "watchfiles", "kubernetes_asyncio"}
TYPES = {"pydantic", "ruamel"}
DISPLAY = {"rich", "matplotlib"}

SCRIPT = """
import sys
from kthena_fast.cli import main
try:
    main(sys.argv[1:])
except SystemExit as end:
    assert not end.code, end.code
print(*sorted({name.partition(".")[0] for name in sys.modules}), file=sys.stderr)
"""


def loaded(*arguments: str) -> set[str]:
    """The packages that are loaded at the end of a command."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, *arguments], check=True, capture_output=True, text=True, timeout=60
    )
    return set(done.stderr.splitlines()[-1].split())


@pytest.mark.parametrize("arguments", [["--help"], ["--version"]])
def test_help_loads_no_library_of_any_mode(arguments: list[str]) -> None:
    assert not loaded(*arguments) & (SERVERS | TYPES | DISPLAY | {"asyncio", "numpy"})


def test_version_loads_what_twins_need_and_nothing_else() -> None:
    # An extension is only there if it loads, so all of them are imported.
    assert not loaded("version") & (SERVERS | TYPES | DISPLAY)


def test_crds_load_the_types_and_no_server() -> None:
    packages = loaded("crds")
    assert "pydantic" in packages
    assert not packages & SERVERS


def test_the_programs_run_as_a_module_and_say_their_version() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "kthena_fast", "version"], check=True, capture_output=True, text=True, timeout=60
    )
    assert done.stdout.startswith(f"kthena-fast {__version__} (")


def test_the_list_of_commands_shows_the_first_line_of_each_ones_help() -> None:
    runner = CliRunner()
    # Wide enough for every line to stay one.
    listed = runner.invoke(main, ["--help"], terminal_width=200).output.partition("Commands:\n")[2]
    lines = dict(line.split(maxsplit=1) for line in listed.splitlines())
    assert "gateway" in lines
    for name, line in lines.items():
        own = runner.invoke(main, [name, "--help"], terminal_width=200)
        assert own.exit_code == 0
        assert line in own.output.replace("\n  ", " ")
