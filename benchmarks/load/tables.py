"""A report as Markdown tables, for people and for RESULTS.md."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from benchmarks.load import targets
from benchmarks.load.report import Report

COLUMNS = {
    "us_per_request": ("CPU per request, us", 1),
    "us_per_chunk": ("CPU per chunk, us", 1),
    "rps": ("requests/s", 0),
    "p50_added_ms": ("p50 added, ms", 3),
    "p99_added_ms": ("p99 added, ms", 3),
    "rss_mb": ("idle, MB", 0),
    "rss_streams_mb": ("streams, MB", 0),
    "events_per_read": ("events per read", 2),
}
PROMPTS = {"us_per_1kb_prompt": "1 kB", "us_per_100kb_prompt": "100 kB", "us_per_1mb_prompt": "1 MB"}


def markdown(report: Report) -> str:
    """Every table of a report, with what is to be known of the run above them."""
    parts = [_about(report)]
    if report["contestants"]:
        parts += [
            table(_contestants(report)),
            "CPU time, as a multiple of another's:\n",
            table(_ratios(report)),
            "CPU per request by the size of the prompt, in microseconds:\n",
            table(_prompts(report)),
        ]
    if report["growth"]:
        parts += ["CPU per request of `kthena_fast` as it has more to do with:\n", table(_growth(report))]
    parts += ["Against what is asked:\n", table(comparison(report))]
    return "\n".join(parts)


def _about(report: Report) -> str:
    machine, run = report["machine"], report["run"]
    versions = ", ".join(f"{name} {version}" for name, version in run["versions"].items())
    facts = (
        f"{machine['time']}, {machine['cores']} cores of {machine['cpu']}, Python {machine['python']}, Linux "
        f"{machine['kernel']}, load average {machine['load_average']} before. {versions}. Medians of {run['rounds']} "
        f"rounds, the least and the most in parentheses. Features that are on in `kthena_fast`: "
        f"{', '.join(report['features'])}. {_rates(run)}The run took {run['seconds']} s."
    )
    return "\n".join([f"    {run['command']}\n", facts, *run["notes"]]) + "\n"


def _rates(run: Mapping[str, Any]) -> str:
    if run["rate"] is None:
        return ""
    return (
        f"Latency at {run['rate']:,.0f} requests/s; the engine alone answers {run['engine_rps']:,.0f} requests/s, and "
        "what comes near that was held back by engine and load. "
    )


def _contestants(report: Report) -> Iterator[list[str]]:
    yield ["contestant", *(title for title, _ in COLUMNS.values())]
    for name, medians in report["contestants"].items():
        spread = report["spread"][name]
        yield [name, *(_cell(medians.get(key), spread.get(key), digits) for key, (_, digits) in COLUMNS.items())]


def _cell(median: float | None, spread: Sequence[float] | None, digits: int) -> str:
    if median is None or spread is None:
        return "-"
    least, most = spread
    return f"{median:,.{digits}f} ({least:,.{digits}f}-{most:,.{digits}f})"


def _ratios(report: Report) -> Iterator[list[str]]:
    yield ["contestant", "request / vllm-router", "request / nginx", "chunk / vllm-router", "chunk / nginx"]
    medians: Mapping[str, Mapping[str, float | None]] = report["contestants"]
    for name, own in medians.items():
        yield [
            name,
            *(
                _number(targets.ratio(own.get(figure), medians.get(other, {}).get(figure)))
                for figure in ("us_per_request", "us_per_chunk")
                for other in ("vllm_router", "nginx")
            ),
        ]


def _prompts(report: Report) -> Iterator[list[str]]:
    yield ["contestant", *PROMPTS.values()]
    for name, medians in report["contestants"].items():
        if all(key in medians for key in PROMPTS):
            spread = report["spread"][name]
            yield [name, *(_cell(medians[key], spread[key], 0) for key in PROMPTS)]


def _growth(report: Report) -> Iterator[list[str]]:
    yield ["series", "from", "to", "us at first", "us at last", "ratio"]
    for name, series in report["growth"].items():
        first, last = (f"{value:,.1f}" for value in series["us_per_request"])
        words = targets.GROWTH.get(name, name)
        yield [words, f"{series['from']:,}", f"{series['to']:,}", first, last, _number(series["ratio"])]


def comparison(report: Report) -> Iterator[list[str]]:
    """Each target with what was found."""
    yield ["figure", "against", "found", "accept", "is it", "goal", "is it"]
    for line in report["comparison"]:
        yield [
            line["figure"],
            line["against"],
            _number(line["value"]),
            *(_number(line["accept"]), _verdict(line["accept_met"])),
            *(_number(line["goal"]), _verdict(line["goal_met"])),
        ]


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}".removesuffix(".00")


def _verdict(met: bool | None) -> str:
    return {True: "met", False: "missed", None: ""}[met]


def table(rows: Iterable[Sequence[str]]) -> str:
    """Rows as Markdown, the first of them as the head."""
    head, *others = rows
    lines = [head, ["---"] * len(head), *others]
    return "".join(f"| {' | '.join(line)} |\n".replace("|  |", "| |") for line in lines)
