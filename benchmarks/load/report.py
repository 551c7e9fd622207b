"""What a run comes to: one document, with every value that was measured in it."""

from __future__ import annotations

import os
import platform
import statistics
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from benchmarks.load import targets

FIGURES = ("us_per_request", "us_per_chunk", "rps", "p50_added_ms", "p99_added_ms", "rss_mb", "rss_streams_mb")
"""Of every contestant; None where it was not measured. Others stand beside them where they were."""

DIGITS = 4
"""Behind the point: a tenth of a microsecond of what is in milliseconds."""

Samples = Mapping[str, Mapping[str, list[float]]]
"""One value a round, by contestant and figure."""

Report = dict[str, Any]


def make(
    samples: Samples,
    growth: Mapping[str, Any],
    features: Iterable[str],
    machine: Mapping[str, Any],
    run: Mapping[str, Any],
) -> Report:
    """`machine` is from before the run; `run` says how it was measured: command, rounds, rate, notes, versions."""
    samples = {
        name: {figure: [round(value, DIGITS) for value in values] for figure, values in figures.items()}
        for name, figures in samples.items()
    }
    medians = {name: median_of(figures) for name, figures in samples.items()}
    return {
        "contestants": medians,
        "features": sorted(features),
        "machine": dict(machine),
        "spread": {name: spread_of(figures) for name, figures in samples.items()},
        "samples": samples,
        "growth": dict(growth),
        "comparison": targets.compare(medians, growth),
        "run": dict(run),
    }


def median_of(figures: Mapping[str, list[float]]) -> dict[str, float | None]:
    found: dict[str, float | None] = dict.fromkeys(FIGURES)
    return found | {figure: statistics.median(values) for figure, values in figures.items()}


def spread_of(figures: Mapping[str, list[float]]) -> dict[str, list[float]]:
    """The least and the most of each figure."""
    return {figure: [min(values), max(values)] for figure, values in figures.items()}


def machine() -> dict[str, Any]:
    return {
        "cpu": _processor(),
        "cores": os.cpu_count(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "load_average": round(os.getloadavg()[0], 1),
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return platform.machine()
