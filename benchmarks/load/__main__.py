"""`python -m benchmarks.load`: see the package."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import click

from benchmarks.load import (
    bodies,
    contestants,
    course,
    engines,
    growth,
    loads,
    plots,
    processes,
    report,
    tables,
    targets,
)
from benchmarks.load.contestants import CONTESTANTS, Contestant

FILE = click.Path(dir_okay=False, path_type=Path)


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
@click.option("--markdown", is_flag=True, help="Print the report as Markdown tables, which is what is done unasked.")
@click.option("--plot", "picture", type=FILE, metavar="FILE", help="Draw the report, too (svg or png).")
@click.option("--from", "saved", type=FILE, metavar="FILE", help="Measure nothing: take a report that --json printed.")
@click.option("--quick", is_flag=True, help="Two short rounds of the most important.")
@click.option("--rounds", type=click.IntRange(1), help="Turns that each contestant takes.  [default: 5, quick: 2]")
@click.option(
    "--only",
    multiple=True,
    type=click.Choice([*CONTESTANTS, *targets.GROWTH]),
    help="Measure this contestant or series; may be repeated.",
)
def main(
    as_json: bool,
    markdown: bool,
    picture: Path | None,
    saved: Path | None,
    quick: bool,
    rounds: int | None,
    only: tuple[str, ...],
) -> None:
    """Measure what a proxied request and a streamed chunk cost, beside other proxies."""
    if as_json and markdown:
        raise click.UsageError("--json and --markdown both print: choose one")
    if saved is not None:
        made: report.Report = json.loads(saved.read_text())
    else:
        plan = course.QUICK if quick else course.FULL
        if rounds is not None:
            plan = dataclasses.replace(plan, rounds=rounds, growth_rounds=rounds)
        made = measure(plan, chosen(only, quick=quick), [name for name in targets.GROWTH if not only or name in only])
    if picture is not None:
        plots.draw(made, picture)
    click.echo(json.dumps(made, indent=2) if as_json else tables.markdown(made))


def chosen(only: Sequence[str], *, quick: bool) -> list[Contestant]:
    """Those that were named, or all, but for the least important of them where it is to be quick."""
    if only:
        return [CONTESTANTS[name] for name in only if name in CONTESTANTS]
    return [contestant for contestant in CONTESTANTS.values() if not (quick and contestant.name in course.NOT_QUICK)]


def measure(plan: course.Plan, contenders: Sequence[Contestant], series: Sequence[str]) -> report.Report:
    """A whole run, with everything it needs started before and stopped behind it."""
    if (os.cpu_count() or 1) <= processes.LOAD_CORE:
        raise click.ClickException("two cores are needed: one for the contestant, one for engine and load")
    # Everything is stopped in order, whoever asks.
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    machine = report.machine()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="kthena-fast-load-")))
        canned = stack.enter_context(engines.canned(folder))
        paced = stack.enter_context(engines.paced(folder))
        load = loads.Load(folder)
        run = course.Course(plan, folder, load, canned, paced)
        if contenders:
            run.calibrate(contenders)
        samples = run.run(contenders)
        growing = growth.Growth(canned, load, folder)
        grown = growing.measure(series, plan.growth_rounds)
    about: dict[str, Any] = {
        "command": " ".join(["python -m benchmarks.load", *sys.argv[1:]]),
        "seconds": round(run.seconds),
        "rounds": plan.rounds,
        "rate": run.rate,
        "streams": {each.name: each.streams for each in contenders},
        "event_bytes": bodies.EVENT_BYTES,
        "pace_ms": bodies.PACE_MS,
        "engine_rps": run.engine_rps,
        "notes": [*run.notes, *growing.notes],
        "versions": {each.name: each.version for each in contenders if each.version},
    }
    return report.make(samples, grown, contestants.FEATURES, machine, about)


if __name__ == "__main__":
    main()
