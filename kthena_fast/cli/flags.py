"""Option types and groups of flags shared by commands."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

import click

Command = TypeVar("Command", bound=Callable[..., Any])


class GoBoolean(click.ParamType):  # type: ignore[type-arg]  # generic since 8.5, and 8.2 is enough
    """A boolean as Go's flags take it: `--x`, `--x=true`, `--x=false`, and the other spellings of strconv.ParseBool."""

    name = "boolean"

    def convert(self, value: Any, parameter: click.Parameter | None, context: click.Context | None) -> bool:
        if isinstance(value, bool):
            return value
        if value in {"1", "t", "T", "TRUE", "true", "True"}:
            return True
        if value in {"0", "f", "F", "FALSE", "false", "False"}:
            return False
        raise click.BadParameter(f"{value!r} is not a boolean; true and false are allowed", context, parameter)


class Verbosity(click.ParamType):  # type: ignore[type-arg]  # the same
    """A whole number behind `-v`, also as Go's users write it: `-v=4`."""

    name = "integer"

    def convert(self, value: Any, parameter: click.Parameter | None, context: click.Context | None) -> int:
        try:
            return int(str(value).removeprefix("="))
        except ValueError:
            raise click.BadParameter(f"{value!r} is not a whole number", context, parameter) from None


def boolean(name: str, default: bool | None, help: str) -> Callable[[Command], Command]:  # noqa: A002 - click's own word
    """A boolean flag in all of Go's spellings."""
    return click.option(
        name,
        type=GoBoolean(),
        is_flag=False,
        flag_value="true",
        default=default,
        show_default=default is not None,
        help=help,
    )


PORT = click.IntRange(0, 65535)
"""0 takes a free one, which is then printed."""

_LEVEL = "LOG_LEVEL sets the level of the application log"
_LAYOUT = "LOG_FORMAT sets the layout of the application log"
_STDERR = "the application log goes to stderr"
_OWN_PROCESS = "the webhook is a process of its own here"
_LISTS = "there is one list and one watch of each kind, and little else"

KLOG: dict[str, tuple[Any, str]] = {
    "--vmodule": (str, _LEVEL),
    "--log_dir": (str, _STDERR),
    "--log_file": (str, _STDERR),
    "--log_file_max_size": (str, _STDERR),
    "--log_backtrace_at": (str, _LEVEL),
    "--stderrthreshold": (str, _STDERR),
    "--alsologtostderrthreshold": (str, _STDERR),
}
"""Flags of klog, which every program of Kthena has, that take a value; accepted without effect, with the reason."""

KLOG_BOOLEANS: dict[str, str] = {
    "--logtostderr": _STDERR,
    "--alsologtostderr": _STDERR,
    "--one_output": _STDERR,
    "--legacy_stderr_threshold_behavior": _STDERR,
    "--skip_headers": _LAYOUT,
    "--skip_log_headers": _LAYOUT,
    "--add_dir_header": _LAYOUT,
}

NO_EFFECT: dict[str, tuple[Any, str]] = {
    "--webhook-port": (str, _OWN_PROCESS),
    "--webhook-tls-cert-file": (str, _OWN_PROCESS),
    "--webhook-tls-private-key-file": (str, _OWN_PROCESS),
    "--cert-secret-name": (str, _OWN_PROCESS),
    "--webhook-service-name": (str, _OWN_PROCESS),
    "--kube-api-qps": (float, _LISTS),
    "--kube-api-burst": (int, _LISTS),
    **KLOG,
}
"""Flags of Kthena's router that take a value, are accepted and change nothing, each with the reason."""

NO_EFFECT_BOOLEANS: dict[str, str] = {"--enable-webhook": _OWN_PROCESS, **KLOG_BOOLEANS}

REFUSED_WHEN_TRUE: dict[str, str] = {
    "--enable-gateway-api": "the Gateway API is not built yet",
    "--enable-gateway-api-inference-extension": "the Gateway API inference extension is not built yet",
}
"""Upstream's flags that ask for what is not built."""


def field_of(flag: str) -> str:
    """The keyword that click passes a flag's value by."""
    return flag.lstrip("-").replace("-", "_").lower()


def routers_own(command: Command) -> Command:
    """Add every flag of Kthena's router that the gateway accepts without obeying, hidden from the help."""
    valued = {flag: kind for flag, (kind, _) in NO_EFFECT.items()}
    return _hidden(command, valued, [*NO_EFFECT_BOOLEANS, *REFUSED_WHEN_TRUE])


def klogs_own(command: Command) -> Command:
    """Add every flag of klog but `-v`, likewise."""
    return _hidden(command, {flag: kind for flag, (kind, _) in KLOG.items()}, KLOG_BOOLEANS)


def _hidden(command: Command, valued: Mapping[str, Any], booleans: Iterable[str]) -> Command:
    for flag, kind in valued.items():
        command = click.option(flag, field_of(flag), type=kind, default=None, hidden=True)(command)
    for flag in booleans:
        command = click.option(
            flag, field_of(flag), type=GoBoolean(), is_flag=False, flag_value="true", default=None, hidden=True
        )(command)
    return command


def settle_upstreams_own(values: Mapping[str, Any], say: Callable[[str], None]) -> None:
    """Say one line for each accepted flag that was given; UsageError for one that asks for what is not built."""
    for flag, why in REFUSED_WHEN_TRUE.items():
        if values.get(field_of(flag)):
            raise click.UsageError(f"{flag}=true is refused: {why}")
    reasons = {flag: why for flag, (_, why) in NO_EFFECT.items()} | NO_EFFECT_BOOLEANS
    for flag, why in reasons.items():
        if values.get(field_of(flag)) is not None:
            say(f"{flag} is accepted and has no effect: {why}")
