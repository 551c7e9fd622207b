"""`kthena-fast version`: what is running, and on which core."""

from __future__ import annotations

import platform

import click

from kthena_fast import __version__
from kthena_fast.core import _choice


@click.command()
def version() -> None:
    """Print the version, the core that is loaded, and the Python that runs it."""
    click.echo(f"kthena-fast {__version__} ({_choice.loaded_core()} core, Python {platform.python_version()})")
