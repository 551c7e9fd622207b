"""What a run needs and how it comes here: Debian's tools, Python contestants at pinned versions, our own programs.

Environments lie under the user's cache folder, outside the clone, and are made once.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import venv
from collections.abc import Sequence
from pathlib import Path

import click

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "kthena_fast" / "benchmarks"

SOURCES = Path(__file__).parent

_SYSTEM = "/usr/local/sbin:/usr/sbin:/sbin"
"""Where Debian keeps nginx, and not everybody looks."""


class CannotInstall(click.ClickException):
    """Names what is missing, and the command that installs it."""


def tool(name: str, package: str) -> str:
    """The path of a program of a Debian package, installed where that needs no password."""
    found = _which(name)
    if found is None and os.geteuid() == 0 and shutil.which("apt-get"):
        _apt_get(package)
        found = _which(name)
    if found is None:
        raise CannotInstall(f"{name} is needed: sudo apt-get install {package}")
    return found


def _which(name: str) -> str | None:
    return shutil.which(name) or shutil.which(name, path=_SYSTEM)


def _apt_get(package: str) -> None:
    say(f"installing {package}")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for words in (["update"], ["install", "--yes", "--no-install-recommends", package]):
        done = subprocess.run(["apt-get", "-qq", *words], check=False, env=environment, capture_output=True, text=True)
        if done.returncode:
            raise CannotInstall(f"apt-get {' '.join(words)} failed:\n{done.stderr}")


def environment(name: str, requirement: str, *, extra: str = "", without: Sequence[str] = ()) -> Path:
    """The folder of the programs of a virtual environment with this package, made at first use.

    `extra` is installed too, but for the packages of it that are named in `without`.
    """
    folder = CACHE / name
    mark = folder / ".installed"
    wanted = " ".join([requirement, extra, *without])
    if not mark.exists() or mark.read_text() != wanted:
        say(f"installing {requirement} into {folder}")
        venv.create(folder, with_pip=True, clear=True)
        python = str(folder / "bin" / "python")
        _pip_install(python, requirement)
        if extra:
            package = requirement.partition("=")[0]
            listed = subprocess.run(
                [python, "-c", _OF_EXTRA, package, extra, *without], check=True, capture_output=True, text=True
            )
            _pip_install(python, *listed.stdout.splitlines())
        mark.write_text(wanted)
    return folder / "bin"


_OF_EXTRA = """
import importlib.metadata, sys
from pip._vendor.packaging.requirements import Requirement
package, extra, *without = sys.argv[1:]
for requirement in map(Requirement, importlib.metadata.requires(package)):
    if requirement.marker and requirement.marker.evaluate({"extra": extra}) and requirement.name not in without:
        requirement.marker = None
        print(requirement)
"""


def _pip_install(python: str, *requirements: str) -> None:
    command = [python, "-m", "pip", "--disable-pip-version-check", "-q", "install", *requirements]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        raise CannotInstall(f"{' '.join(command)} failed:\n{done.stderr[-2000:]}")


def compiled(name: str, folder: Path) -> str:
    """The path of the program that `NAME.c` beside this file becomes, in `folder`."""
    compiler = os.environ.get("CC") or tool("cc", "gcc")
    program = folder / name
    if not program.exists():
        subprocess.run([compiler, "-O2", "-Wall", "-o", program, SOURCES / f"{name}.c"], check=True)
    return str(program)


def say(what: str) -> None:
    """Progress, on stderr: stdout is for the figures."""
    print(what, file=sys.stderr, flush=True)
