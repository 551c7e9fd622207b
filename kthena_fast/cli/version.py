"""`kthena-fast version`: what is running, and on which core."""

from __future__ import annotations

import importlib
import platform
from pathlib import Path

import click

import kthena_fast
from kthena_fast.core import _choice


def _import_every_twin() -> None:
    # An extension is there when it loads, not when there is a file of its name.
    root = Path(kthena_fast.__file__).parent
    for source in root.glob("*/_*_py.py"):
        chooser = source.with_stem(source.stem.removeprefix("_").removesuffix("_py"))
        # One without a chooser is a part of another twin, which imports it.
        if chooser.exists():
            importlib.import_module(f"kthena_fast.{chooser.parent.name}.{chooser.stem}")


@click.command()
def version() -> None:
    """Print the version, the core that is loaded, and the Python."""
    _import_every_twin()
    core = _choice.loaded_core()
    click.echo(f"kthena-fast {kthena_fast.__version__} ({core} core, Python {platform.python_version()})")
