"""A report, drawn: what each contestant costs, and how the gateway's cost grows. Needs the extra `plots`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from benchmarks.load import targets
from benchmarks.load.report import Report

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PANELS: Final = {
    "us_per_request": "CPU per request, us",
    "us_per_chunk": "CPU per streamed chunk, us",
    "p99_added_ms": "p99 added latency, ms",
    "rss_streams_mb": "memory with 1,000 streams, MB",
}
COLORS: Final = {"ours": "#d1495b", "others": "#8d99ae"}
BEYOND: Final = 4.0
"""Times vllm-router's: a bar that is longer is cut, or it would leave nothing to see of the others."""


def draw(report: Report, path: Path) -> None:
    """Write a picture whose kind the file's ending names (png or svg)."""
    import matplotlib as mpl

    # No window, the same file for the same report, and text that stays text.
    mpl.use("agg")
    mpl.rcParams["svg.hashsalt"] = "kthena-fast"
    mpl.rcParams["svg.fonttype"] = "none"
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 9), layout="constrained")
    grid: Any = figure.subplots(3, 2)
    for axes, (key, title) in zip(grid.flat, PANELS.items(), strict=False):
        _bars(axes, report, key, title)
    _growth(grid[2][0], report)
    _prompts(grid[2][1], report)
    machine = report["machine"]
    figure.suptitle(
        f"{report['run']['command']}\n{machine['cpu']}, Python {machine['python']}, {machine['time'][:10]}; "
        f"medians of {report['run']['rounds']} rounds, least and most",
        fontsize="medium",
    )
    figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)


def _bars(axes: Axes, report: Report, key: str, title: str) -> None:
    """A bar for each contestant, shortest first, with its least and most, and where it must not go beyond."""
    medians = {name: row[key] for name, row in report["contestants"].items() if row.get(key) is not None}
    axes.set_title(title, fontsize="medium")
    if not medians:
        axes.set_axis_off()
        return
    names = sorted(medians, key=lambda name: medians[name], reverse=True)
    longest = BEYOND * medians.get("vllm_router", max(medians.values()))
    for place, name in enumerate(names):
        value, (least, most) = medians[name], report["spread"][name][key]
        shown = min(value, longest)
        axes.barh(place, shown, color=COLORS["ours" if name.startswith(targets.OURS) else "others"])
        if shown == value:
            axes.hlines(place, least, min(most, longest), color="black", linewidth=1)
        axes.annotate(f" {value:,.1f}", (max(shown, 0), place), va="bottom", fontsize="x-small")
    axes.set_yticks(range(len(names)), names, fontsize="small")
    for most_allowed in _limits(report, key):
        axes.axvline(most_allowed, color="black", linestyle=":", linewidth=1)


def _limits(report: Report, key: str) -> list[float]:
    """Where the accepted value of a figure of ours ends."""
    limits = []
    for target in targets.TARGETS:
        if target.figure == key and target.of == targets.OURS and target.accept is not None:
            other = report["contestants"].get(target.against, {}).get(key) if target.against else 1.0
            if other is not None:
                limits.append(target.accept * other)
    return limits


def _growth(axes: Axes, report: Report) -> None:
    axes.set_title("growth of CPU per request (dotted: accepted)", fontsize="medium")
    names = list(report["growth"])
    for place, name in enumerate(names):
        ratio = report["growth"][name]["ratio"]
        axes.barh(place, ratio, color=COLORS["ours"])
        axes.annotate(f" {ratio:.2f}", (ratio, place), va="center", fontsize="x-small")
    labels = [
        f"{targets.GROWTH[name]}\n{report['growth'][name]['from']:,} to {report['growth'][name]['to']:,}"
        for name in names
    ]
    axes.set_yticks(range(len(names)), labels, fontsize="small")
    axes.axvline(targets.GROWTH_ACCEPT, color="black", linestyle=":", linewidth=1)


def _prompts(axes: Axes, report: Report) -> None:
    axes.set_title("CPU per request by size of the prompt, us", fontsize="medium")
    from benchmarks.load import bodies

    for name, row in report["contestants"].items():
        known = {size: row[key] for size, key in _sizes(bodies.PROMPT_BYTES).items() if row.get(key) is not None}
        if known:
            color = COLORS["ours" if name.startswith(targets.OURS) else "others"]
            axes.loglog(list(known), list(known.values()), marker="o", label=name, color=color)
    if axes.lines:
        axes.legend(fontsize="small")
    axes.set_xlabel("bytes")


def _sizes(prompts: dict[str, int]) -> dict[int, str]:
    return {size: f"us_per_{name}_prompt" for name, size in prompts.items()}
