"""The parts of the documents that come from the code, and from the last report of the load harness: `make docs` writes
them anew.

A part stands between `<!-- generated: NAME -->` and `<!-- end -->`; NAME is a key of `PARTS`.
"""

import inspect
import json
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import click

from benchmarks.load import report, tables
from kthena_fast import errors
from kthena_fast.cli import flags
from kthena_fast.cli import settings as reference
from kthena_fast.cli.gateway import gateway
from kthena_fast.cli.webhook import webhook
from kthena_fast.routing import conditions
from kthena_fast.sources.kubernetes.status import election
from kthena_fast.telemetry import access_line, metrics, one_line
from tests.telemetry import records

ROOT = Path(__file__).parents[2]
PART = re.compile(r"(?<=<!-- generated: )([a-z-]+)( -->\n).*?(?=<!-- end -->)", re.DOTALL)


def documents() -> list[Path]:
    return [ROOT / "README.md", *sorted((ROOT / "docs").glob("**/*.md")), ROOT / "benchmarks/RESULTS.md"]


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    head = list(head)
    # A bar would end its cell.
    lines = [head, ["---"] * len(head), *([cell.replace("|", "\\|") for cell in row] for row in rows)]
    return "".join(f"| {' | '.join(line)} |\n".replace("|  |", "| |") for line in lines)


def obeyed_flags(command: click.Command) -> str:
    rows = []
    for option in command.params:
        if isinstance(option, click.Option) and not option.hidden:
            value = "PORT" if option.type is flags.PORT else option.make_metavar(click.Context(command))
            # What has no default holds a sentinel of click's own.
            default = str(option.default) if isinstance(option.default, str | int | Path) else ""
            if isinstance(option.type, flags.GoBoolean):
                default = default.lower()
            name = " ".join((", ".join(f"`{name}`" for name in option.opts), f"`{value}`"))
            rows.append((name, f"`{default}`" if default else "", option.help or ""))
    return table(("flag", "default", "meaning"), rows)


def other_flags() -> str:
    """Flags by what becomes of them, and why."""
    becomes = [
        *((flag, "accepted, no effect", why) for flag, (_, why) in flags.NO_EFFECT.items()),
        *((flag, "accepted, no effect", why) for flag, why in flags.NO_EFFECT_BOOLEANS.items()),
        *((f"{flag}=true", "refused", why) for flag, why in flags.REFUSED_WHEN_TRUE.items()),
    ]
    together: dict[tuple[str, str], list[str]] = {}
    for flag, what, why in becomes:
        together.setdefault((what, why), []).append(f"`{flag}`")
    return table(
        ("flags", "what becomes of them", "why"), ((", ".join(found), *which) for which, found in together.items())
    )


def metric_table(declared: Iterable[metrics.Metric] = metrics.ALL) -> str:
    destination = ", ".join(metrics.DESTINATION)
    return table(
        ("metric", "type", "labels", "meaning"),
        (
            (f"`{metric.name}`", metric.kind, ", ".join(metric.labels).replace(destination, "*D*"), metric.help)
            for metric in declared
        ),
    )


def access_log(form: access_line.Format) -> str:
    record = records.exchange(
        streaming=True,
        user="alice",
        policy="window",
        queue_time=0.25,
        queue_position=3,
        usage_at_admission=1200.0,
        share_at_admission=1.0,
    )
    line = access_line.formatter(form)(record, 0.0).decode()
    # The reader's zone is not that of whoever wrote the document last.
    return f"```\n{line.replace(one_line.timestamp(records.WALL), '2026-03-01T09:15:00.4821Z')}```\n"


def errors_of_all_kinds() -> Iterator[errors.GatewayError]:
    """One of each that `errors` can say."""
    for function in vars(errors).values():
        if not inspect.isfunction(function):
            continue
        parameters = inspect.signature(function).parameters
        needed = {
            name: 1 if parameter.annotation in {"int", "float"} else "x"
            for name, parameter in parameters.items()
            if parameter.default is inspect.Parameter.empty
        }
        switches = [name for name, parameter in parameters.items() if parameter.annotation == "bool"]
        yield function(**needed | dict.fromkeys(switches, False))
        yield function(**needed | dict.fromkeys(switches, True))


def reasons() -> str:
    statuses: dict[str, set[int]] = {}
    for error in errors_of_all_kinds():
        statuses.setdefault(error.reason, set()).add(error.status)
    return table(
        ("REASON", "status", "when"),
        (
            (f"`{reason}`", ", ".join(map(str, sorted(statuses[reason]))), meaning)
            for reason, meaning in errors.MEANINGS.items()
        ),
    )


def status_reasons() -> str:
    return table(
        ("condition", "status", "reason", "when"),
        (
            (f"`{reason.type}`", reason.status, f"`{reason.name}`", reason.when)
            for reason in sorted(conditions.REASONS, key=lambda reason: conditions.TYPES.index(reason.type))
        ),
    )


def election_states() -> str:
    """Drawn from the table that the code goes by, as Mermaid, which GitHub renders."""
    first, last = next(iter(election.State)), election.State.ENDED
    lines = ["stateDiagram-v2", f"    [*] --> {first.value}"]
    for state, moves in election.TRANSITIONS.items():
        for event, following in moves.items():
            lines.append(f"    {state.value} --> {following.value}: {event.value}")
    lines.append(f"    {last.value} --> [*]")
    return "\n".join(["```mermaid", *lines, "```", ""])


def load_report() -> report.Report:
    made: report.Report = json.loads((ROOT / "benchmarks/load.json").read_text())
    return made


PARTS: dict[str, Callable[[], str]] = {
    "settings": reference.as_markdown,
    "flags": lambda: obeyed_flags(gateway),
    "webhook-flags": lambda: obeyed_flags(webhook),
    "webhook-metrics": lambda: metric_table(metrics.WEBHOOK),
    "other-flags": other_flags,
    "metrics": metric_table,
    "access-log-text": lambda: access_log("text"),
    "access-log-json": lambda: access_log("json"),
    "reasons": reasons,
    "status-reasons": status_reasons,
    "election": election_states,
    "load": lambda: tables.markdown(load_report()),
    "load-comparison": lambda: tables.table(tables.comparison(load_report())),
}


def renewed(text: str) -> str:
    """A document with its generated parts as the code has them now."""
    return PART.sub(lambda found: f"{found[1]}{found[2]}\n{PARTS[found[1]]()}\n", text)


if __name__ == "__main__":
    for document in documents():
        document.write_text(renewed(document.read_text()))
