"""`kthena-fast simulate`: policies compared on synthetic workloads, traces and one's own access log."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from kthena_fast import durations

if TYPE_CHECKING:
    from kthena_fast.queueing.shares import Shares
    from kthena_fast.queueing.tariff import Tariff
    from kthena_fast.simulator.arrivals import Workload
    from kthena_fast.simulator.policies import Policy

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command(context_settings={"show_default": True})
@click.argument("names", nargs=-1, metavar="[WORKLOAD]...")
@click.option("--policy", "policies", multiple=True, metavar="NAME", help="May be repeated. Default: all of them.")
@click.option("--seed", type=int, default=42, help="Of the random phases and the Poisson arrivals.")
@click.option("--window", default="5m", metavar="DURATION", help="FAIRNESS_WINDOW_SIZE, 1m to 1h.")
@click.option("--weights", default="1,2", metavar="IN,OUT[,REQUEST]", help="What tokens and requests cost.")
@click.option("--shares", type=_FILE, metavar="FILE", help="FAIRNESS_SHARES_FILE, for --trace and --replay.")
@click.option("--pool", type=click.IntRange(min=1), default=10_000, help="Tokens that the engine has room for.")
@click.option(
    "--concurrency",
    metavar="N|auto[:START]",
    help="FAIRNESS_MAX_CONCURRENT, or the adaptive limit. Default: as much as the engine has room for.",
)
@click.option("--max-qps", type=click.FloatRange(min=0, min_open=True), help="FAIRNESS_MAX_QPS.")
@click.option("--trace", type=_FILE, metavar="FILE", help="Play a CSV of client,time,input,output[,limit].")
@click.option("--replay", type=_FILE, metavar="FILE", help="Play this gateway's access log, text or JSON.")
@click.option("--model", metavar="NAME", help="Of --replay; default: the one with most requests.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of tables.")
@click.option("--plot", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE", help="Draw a png or svg.")
def simulate(
    names: tuple[str, ...],
    policies: tuple[str, ...],
    seed: int,
    window: str,
    weights: str,
    shares: Path | None,
    pool: int,
    concurrency: str | None,
    max_qps: float | None,
    trace: Path | None,
    replay: Path | None,
    model: str | None,
    as_json: bool,
    plot: Path | None,
) -> None:
    """Play workloads against a model of an engine, and show who would have been served what under each policy.

    \b
    Workloads: overload proportional on_off_less on_off_overload poisson_short_long poisson_short_long_2
               increase dist_shift overload-multi overload-weighted overload-weighted_2
               (all of them where none is named, nor --trace nor --replay)
    Policies:  fcfs rpm:N lcf window window-predict vtc vtc-predict vtc-oracle
    """
    # Loading the ledger takes longer than `kthena-fast --help` should.
    from kthena_fast.simulator import plots, run, tables
    from kthena_fast.simulator import policies as kinds

    if plot is not None:
        if plot.suffix not in {".png", ".svg"}:
            raise click.BadParameter(f"{str(plot)!r} must end in .png or .svg", param_hint="--plot")
        try:
            plots.check()
        except plots.PlotFailed as problem:
            raise click.ClickException(str(problem)) from problem
    compared = [_policy(name) for name in policies or kinds.EVERY]
    standings = _shares(shares)
    setup = run.Setup(
        tariff=_tariff(weights, standings),
        window=_window(window),
        pool=pool,
        max_qps=max_qps,
        **_concurrency(concurrency, max_qps),
    )
    workloads = _workloads(names, seed, trace, replay, model, standings)
    results = [run.simulate(workload, policy, setup) for workload in workloads for policy in compared]
    if as_json:
        click.echo(tables.as_json(results, seed), nl=False)
    else:
        tables.show(results, tables.console())
    if plot is not None:
        try:
            plots.draw(results, plot)
        except plots.PlotFailed as problem:
            raise click.ClickException(str(problem)) from problem


def _policy(name: str) -> Policy:
    from kthena_fast.simulator import policies

    try:
        return policies.policy(name)
    except ValueError as problem:
        raise click.BadParameter(str(problem), param_hint="--policy") from problem


def _window(text: str) -> int:
    from kthena_fast.simulator.arrivals import SECOND

    try:
        seconds = durations.parse(text)
    except ValueError as problem:
        raise click.BadParameter(str(problem), param_hint="--window") from problem
    if not 60 <= seconds <= 3600:
        raise click.BadParameter(f"{text!r} is not from 1m to 1h", param_hint="--window")
    return round(seconds * SECOND)


def _tariff(weights: str, shares: Shares) -> Tariff:
    from kthena_fast.queueing.tariff import Tariff

    parts = weights.split(",")
    try:
        if len(parts) not in {2, 3}:
            raise ValueError(f"{weights!r} is not IN,OUT or IN,OUT,REQUEST")
        of_input, of_output, *of_request = (float(part) for part in parts)
        return Tariff.of(
            of_input if shares.input_weight is None else shares.input_weight,
            of_output if shares.output_weight is None else shares.output_weight,
            *of_request,
        )
    except ValueError as problem:
        raise click.BadParameter(str(problem), param_hint="--weights") from problem


def _concurrency(text: str | None, max_qps: float | None) -> dict[str, int]:
    """The fields of `run.Setup` that say how many go at once."""
    if text is None:
        return {}
    if max_qps is not None:
        raise click.UsageError("--concurrency and --max-qps are two modes; choose one")
    kind, _, start = text.partition(":")
    number = (start or "32") if kind == "auto" else text
    if not number.isascii() or not number.isdigit() or int(number) < 1:
        raise click.BadParameter(f"{text!r} is not a number above 0, auto or auto:START", param_hint="--concurrency")
    return {"auto" if kind == "auto" else "concurrency": int(number)}


def _shares(path: Path | None) -> Shares:
    from kthena_fast.queueing import shares

    if path is None:
        return shares.EQUAL
    try:
        return shares.read(path)
    except shares.BadShares as problem:
        raise click.BadParameter(str(problem), param_hint="--shares") from problem


def _workloads(
    names: tuple[str, ...], seed: int, trace: Path | None, replay: Path | None, model: str | None, shares: Shares
) -> list[Workload]:
    from kthena_fast.simulator import replay as logs
    from kthena_fast.simulator import traces, workloads
    from kthena_fast.telemetry.one_line import counted

    unknown = [name for name in names if name not in workloads.SYNTHETIC]
    if unknown:
        raise click.BadParameter(
            f"{unknown[0]!r} is not a workload; there are {', '.join(workloads.SYNTHETIC)}", param_hint="WORKLOAD"
        )
    if not names and trace is None and replay is None:
        names = tuple(workloads.SYNTHETIC)
    played = [workloads.synthetic(name, seed) for name in names]
    try:
        if trace is not None:
            played.append(traces.read(trace, shares))
        if replay is not None:
            found = logs.read(replay, model, shares)
            told = f"{counted(len(found.workload.arrivals), 'request')} of {found.model!r}"
            told += f", {counted(found.left_out, 'line')} left out"
            if found.passed_over:
                told += f", {counted(found.passed_over, 'line')} passed over that are none of the access log"
            click.echo(f"{replay}: {told}", err=True)
            played.append(found.workload)
    except traces.BadFile as problem:
        raise click.ClickException(str(problem)) from problem
    return played
