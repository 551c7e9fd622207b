"""The command line: flags and the environment become settings, and one program is started."""

from __future__ import annotations

import click

from kthena_fast import __version__


class _Group(click.Group):
    """Commands are imported when they are asked for: `kthena-fast version` need not load a server."""

    _commands = {  # noqa: RUF012 - click reads it from the class
        "gateway": "kthena_fast.cli.gateway",
        "mock-engine": "kthena_fast.mock_engine.command",
        "demo": "kthena_fast.cli.demo",
        "simulate": "kthena_fast.cli.simulate",
        "validate": "kthena_fast.cli.validate",
        "crds": "kthena_fast.cli.crds",
        "settings": "kthena_fast.cli.settings",
        "version": "kthena_fast.cli.version",
    }

    def list_commands(self, context: click.Context) -> list[str]:
        return list(self._commands)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        import importlib

        module = self._commands.get(name)
        if module is None:
            return None
        command = getattr(importlib.import_module(module), name.replace("-", "_"))
        assert isinstance(command, click.Command)
        return command


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="kthena-fast")
def main() -> None:
    """The inference gateway of Kthena: OpenAI-compatible, fair between users."""
