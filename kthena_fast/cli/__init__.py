"""The command line: flags and the environment become settings, and one program is started."""

from __future__ import annotations

import click

from kthena_fast import __version__


class _Group(click.Group):
    """Commands are imported when they are asked for: `kthena-fast version` need not load a server."""

    _commands = {  # noqa: RUF012 - click reads it from the class
        "gateway": ("kthena_fast.cli.gateway", "Run the gateway, with exactly one source of objects."),
        "webhook": (
            "kthena_fast.cli.webhook",
            "Run the admission webhook, which the API server asks about every object of ours before it is stored.",
        ),
        "mock-engine": ("kthena_fast.mock_engine.command", "An engine without a model, with vLLM's API."),
        "demo": ("kthena_fast.cli.demo", "Run a gateway over two mock engines and example manifests."),
        "simulate": (
            "kthena_fast.cli.simulate",
            "Play workloads against a model of an engine, and show who would have been served what under each policy.",
        ),
        "validate": ("kthena_fast.cli.validate", "Check manifests, and report every violation at once."),
        "crds": ("kthena_fast.cli.crds", "Print the three CustomResourceDefinitions as YAML."),
        "settings": ("kthena_fast.cli.settings", "Print every environment variable that the gateway reads."),
        "version": ("kthena_fast.cli.version", "Print the version, the core that is loaded, and the Python."),
    }
    """Name -> module, and the first line of its help, which click would import the module for."""

    def list_commands(self, context: click.Context) -> list[str]:
        return list(self._commands)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        import importlib

        if name not in self._commands:
            return None
        module, _ = self._commands[name]
        command = getattr(importlib.import_module(module), name.replace("-", "_"))
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in self._commands.items()])


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="kthena-fast")
def main() -> None:
    """The inference gateway of Kthena: OpenAI-compatible, fair between users."""
