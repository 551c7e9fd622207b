"""What a run needs and how it comes here: Debian's tools, Python contestants at pinned versions, our own programs.

Environments lie under the user's cache folder, outside the clone, and are made once.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import click

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "kthena-fast" / "benchmarks"

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


def environment(name: str, *requirements: str) -> Path:
    """The folder of the programs of a virtual environment with these packages, made at first use."""
    folder = CACHE / name
    mark = folder / ".installed"
    wanted = "\n".join(requirements)
    if not mark.exists() or mark.read_text() != wanted:
        say(f"installing {', '.join(requirements)} into {folder}")
        venv.create(folder, with_pip=True, clear=True)
        pip = [str(folder / "bin" / "python"), "-m", "pip", "--disable-pip-version-check", "-q", "install"]
        done = subprocess.run([*pip, *requirements], check=False, capture_output=True, text=True)
        if done.returncode:
            raise CannotInstall(f"{' '.join([*pip, *requirements])} failed:\n{done.stderr[-2000:]}")
        mark.write_text(wanted)
    return folder / "bin"


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
