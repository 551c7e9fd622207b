"""Service and waits over time, drawn: needs the extra `plots`.

One row of two for each workload (service above, waits below), one column for each policy.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from kthena_fast.simulator.arrivals import SECOND
from kthena_fast.simulator.measures import TICK, Course, Result

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MISSING: Final = "--plot needs matplotlib: pip install 'kthena-fast[plots]'"
MOST_LINES: Final = 12
"""Clients that are drawn; those who were served most."""


class PlotFailed(Exception):
    """Nothing was drawn; the text says why."""


def check() -> None:
    """PlotFailed where matplotlib is missing, before anything is computed for it."""
    try:
        import matplotlib as mpl
    except ModuleNotFoundError:
        raise PlotFailed(MISSING) from None
    # No window, and the same file for the same results.
    mpl.use("agg")
    mpl.rcParams["svg.hashsalt"] = "kthena-fast"
    # Text stays text: a third of the size, and it can be searched.
    mpl.rcParams["svg.fonttype"] = "none"


def draw(results: Sequence[Result], path: Path) -> None:
    """Write a picture whose kind the file's ending names (png or svg)."""
    check()
    from matplotlib.figure import Figure

    workloads = [list(group) for _, group in groupby(results, lambda result: result.workload)]
    columns = max(len(group) for group in workloads)
    figure = Figure(figsize=(1.2 + 3.2 * columns, 4.4 * len(workloads)), layout="constrained")
    grid: Any = figure.subplots(2 * len(workloads), columns, squeeze=False, sharex="row", sharey="row")
    for row, group in enumerate(workloads):
        for column, result in enumerate(group):
            _service(grid[2 * row][column], result)
            _waits(grid[2 * row + 1][column], result)
        for column in range(len(group), columns):
            grid[2 * row][column].set_axis_off()
            grid[2 * row + 1][column].set_axis_off()
        grid[2 * row][0].set_ylabel("weighted tokens/s")
        grid[2 * row + 1][0].set_ylabel("first token after s")
        grid[2 * row][0].legend(fontsize="small")
        # The axes of a row share their scale; set before all is drawn, it would be that of the first.
        grid[2 * row][0].set_ylim(bottom=0)
        grid[2 * row + 1][0].set_ylim(bottom=0)
    metadata = {"Date": None} if path.suffix == ".svg" else {"Software": None}
    try:
        figure.savefig(path, metadata=metadata)
    except (OSError, ValueError) as problem:
        raise PlotFailed(f"{path}: {problem}") from problem


def _drawn(result: Result) -> list[int]:
    heaviest = sorted(range(len(result.clients)), key=lambda client: -result.clients[client].rate)[:MOST_LINES]
    return sorted(heaviest)


def _service(axes: Axes, result: Result) -> None:
    rates = result.course.rates
    minutes = [(tick + 1) * TICK / SECOND / 60 for tick in range(len(rates))]
    for client in _drawn(result):
        axes.plot(minutes, [tick[client] for tick in rates], label=result.clients[client].name)
    axes.set_title(f"{result.workload}, {result.policy}", fontsize="medium")


def _waits(axes: Axes, result: Result) -> None:
    for client in _drawn(result):
        minutes, waits = _course(result.course, client)
        axes.plot(minutes, waits)
    axes.set_xlabel("minute of arrival")


def _course(course: Course, client: int) -> tuple[list[float], list[float]]:
    """Of the half minutes in which somebody came who got a first token."""
    points = [
        ((tick + 0.5) * TICK / SECOND / 60, wait)
        for tick, waits in enumerate(course.waits)
        if (wait := waits[client]) is not None
    ]
    return [minute for minute, _ in points], [wait for _, wait in points]
