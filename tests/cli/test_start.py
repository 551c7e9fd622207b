"""What a command loads: a mode's libraries are there in that mode only."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

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


RUNNING = """
import os, signal, sys
from kthena_fast.cli import main
from kthena_fast.gateway import process

run = process.run

def run_until_ready(options, settings, source, on_ready=None, **more):
    def ready(gateway):
        print(*sorted(sys.modules), file=sys.stderr)
        os.kill(os.getpid(), signal.SIGTERM)
    return run(options, settings, source, ready, **more)

process.run = run_until_ready
main(sys.argv[1:])
"""


def loaded_while_serving(*arguments: str, **variables: str) -> set[str]:
    """The modules that are loaded in a gateway once it is ready."""
    ports = ["--host", "127.0.0.1", "--port", "0", "--metrics-port", "0", "--debug-port", "0"]
    done = subprocess.run(
        [sys.executable, "-c", RUNNING, "gateway", *arguments, *ports],
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
        env=os.environ | variables,
    )
    (line,) = (line for line in done.stderr.splitlines() if " kthena_fast.gateway.app " in line)
    return set(line.split())


EVERYTHING = {
    "ENABLE_FAIRNESS_SCHEDULING": "true",
    "ACCESS_LOG_ENABLED": "true",
    "ACCESS_LOG_OUTPUT": os.devnull,
}


@pytest.mark.extensions
def test_a_gateway_of_backends_holds_nothing_in_memory_that_others_need() -> None:
    """Each of these is megabytes."""
    modules = loaded_while_serving("--backend", "http://127.0.0.1:9", "--model", "m", **EVERYTHING)
    packages = {name.partition(".")[0] for name in modules}
    assert {"aiohttp", "pydantic", "uvloop"} <= packages
    assert not packages & ({"numpy", "re2", "ruamel", "cryptography", "watchfiles", "kubernetes_asyncio"} | DISPLAY)
    rooms = {name.split(".")[1] for name in modules if name.startswith("kthena_fast.")}
    assert not rooms & {"webhook", "simulator", "mock_engine", "kube", "demo"}
    assert not modules & {"kthena_fast.sources.manifests", "kthena_fast.sources.kubernetes"}


def test_a_gateway_loads_what_its_objects_need(tmp_path: Path) -> None:
    (tmp_path / "route.yaml").write_text(ROUTE_WITH_AN_EXPRESSION)
    modules = loaded_while_serving("--manifests", str(tmp_path))
    assert {"re2", "ruamel.yaml", "kthena_fast.sources.manifests"} <= modules


ROUTE_WITH_AN_EXPRESSION = """
apiVersion: networking.serving.volcano.sh/v1alpha1
kind: ModelRoute
metadata: {name: m, namespace: default}
spec:
  modelName: m
  rules:
  - modelMatch: {headers: {x-team: {regex: "^a+$"}}}
    targetModels: [{modelServerName: s}]
"""


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
