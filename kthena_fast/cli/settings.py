"""`kthena-fast settings`: the reference of environment variables, from the fields that they are read into."""

from __future__ import annotations

import ast
import functools
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import click

from kthena_fast import settings as knobs


class Variable(NamedTuple):
    """One environment variable; `default` is written as the environment would give it, empty where there is none."""

    name: str
    default: str
    allowed: str
    meaning: str
    is_upstreams: bool


def variables() -> Iterator[Variable]:
    """Every variable, in the order of declaration."""
    meanings = _meanings()
    for name, field in knobs.variables().items():
        yield Variable(
            name, knobs.default(field), knobs.allowed(field), meanings.get(field, ""), name in knobs.UPSTREAMS_OWN
        )


@functools.cache
def _meanings() -> dict[str, str]:
    # pydantic could keep these texts itself, and would read its own source each time a gateway starts.
    module = ast.parse(Path(knobs.__file__).read_text(encoding="utf-8"))
    settings = next(
        node for node in module.body if isinstance(node, ast.ClassDef) and node.name == knobs.Settings.__name__
    )
    found: dict[str, str] = {}
    for field, text in zip(settings.body, settings.body[1:], strict=False):
        match field, text:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(said))):
                found[name] = " ".join(_with_variables(said).split())
    return found


def _with_variables(text: str) -> str:
    """Fields that a text speaks of, as the variables they are."""
    return re.sub(
        r"\b[a-z]+(?:_[a-z]+)+\b",
        lambda word: word[0].upper() if word[0] in knobs.Settings.model_fields else word[0],
        text,
    )


def as_text() -> str:
    """For a terminal."""
    return "\n".join(
        f"{variable.name}={variable.default}\n"
        + textwrap.indent("\n".join(textwrap.wrap(f"{variable.meaning} Allowed: {variable.allowed}.", 96)), "    ")
        + "\n"
        for variable in variables()
    )


def as_markdown() -> str:
    """For docs/settings.md."""
    rows = "".join(
        f"| `{variable.name}`{' *' if variable.is_upstreams else ''} "
        f"| {f'`{variable.default}`' if variable.default else ''} | {variable.allowed} | {variable.meaning} |\n"
        for variable in variables()
    )
    return f"| variable | default | allowed | meaning |\n|---|---|---|---|\n{rows}"


@click.command()
@click.option("--markdown", is_flag=True, help="Print a table in Markdown.")
def settings(markdown: bool) -> None:
    """Print every environment variable that the gateway reads.

    Each with its default, its meaning, and what is allowed; what the environment holds is not shown.
    """
    click.echo(as_markdown() if markdown else as_text(), nl=False)
