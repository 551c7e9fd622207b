"""`python -m benchmarks.load`: see the package."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import click

from benchmarks.load import contestants, course, engines, processes, report, tables


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON, not as tables.")
@click.option("--quick", is_flag=True, help="Two short rounds, without LiteLLM.")
@click.option("--rounds", type=click.IntRange(1), help="Turns that each contestant takes.  [default: 5]")
@click.option("--only", multiple=True, type=click.Choice(list(contestants.CONTESTANTS)), help="May be repeated.")
@click.option(
    "--markdown",
    "shown",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Measure nothing: print the tables of a report in JSON.",
)
def main(as_json: bool, quick: bool, rounds: int | None, only: tuple[str, ...], shown: Path | None) -> None:
    """Measure what a proxied request and a streamed chunk cost, beside other proxies."""
    if shown is not None:
        click.echo(tables.markdown(json.loads(shown.read_text())))
        return
    if (os.cpu_count() or 1) <= processes.LOAD_CORE:
        raise click.ClickException("two cores are needed: one for the contestant, one for engine and load")
    plan = course.QUICK if quick else course.FULL
    if rounds is not None:
        plan = dataclasses.replace(plan, rounds=rounds)
    chosen = [contestants.CONTESTANTS[name] for name in only or contestants.CONTESTANTS]
    # Everything is stopped in order, whoever asks.
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    made = _measure(plan, chosen)
    click.echo(json.dumps(made, indent=2) if as_json else tables.markdown(made))


def _measure(plan: course.Plan, chosen: list[contestants.Contestant]) -> report.Report:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="kthena-fast-load-")))
        canned = stack.enter_context(engines.canned(folder))
        paced = stack.enter_context(engines.paced(folder))
        run = course.Course(plan, folder, canned, paced)
        run.calibrate(contestants.CONTESTANTS[course.RATE_OF])
        samples = run.run(chosen)
    about: dict[str, Any] = {
        "command": " ".join(["python -m benchmarks.load", *sys.argv[1:]]),
        "rounds": plan.rounds,
        "rate": run.rate,
        "engine_rps": run.engine_rps,
        "notes": run.notes,
        "versions": {each.name: each.version for each in chosen if each.version},
    }
    return report.make(samples, {}, contestants.FEATURES, about)


if __name__ == "__main__":
    main()
