"""What the figures must be: at most so many times another's, or at most so many megabytes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

OURS = "kthena_fast"
GROWTH = {"pods": "pods", "routes": "routes", "rows": "ledger rows", "queued": "queued requests"}


@dataclass(frozen=True, slots=True)
class Target:
    """`figure` of `of` over the same of `against` (empty: as it is) is at most `most`."""

    words: str
    figure: str
    against: str
    accept: float | None
    goal: float | None
    of: str = OURS


TARGETS = (
    Target("CPU per request", "us_per_request", "vllm_router", 0.5, None),
    Target("CPU per request", "us_per_request", "nginx", None, 1.75),
    Target("CPU per streamed chunk", "us_per_chunk", "vllm_router", 0.8, 0.7),
    Target("CPU per streamed chunk", "us_per_chunk", "nginx", None, 1.15),
    Target("p99 added latency", "p99_added_ms", "vllm_router", 1.2, 1.0),
    Target("CPU per request, 1 MB prompts", "us_per_1mb_prompt", "nginx", 2.0, 1.5),
    Target("memory idle, MB", "rss_mb", "", 80.0, 60.0),
    Target("memory with 1,000 streams, MB", "rss_streams_mb", "", 120.0, 90.0),
    Target("CPU per request, pure build", "us_per_request", OURS, 2.0, None, of="kthena_fast_pure"),
)
GROWTH_ACCEPT, GROWTH_GOAL = 1.3, 1.1

Line = dict[str, Any]
"""`figure`, `against`, `value`, `accept`, `goal`, and whether they are met; None where it was not measured or asked."""


def compare(medians: Mapping[str, Mapping[str, float | None]], growth: Mapping[str, Any]) -> list[Line]:
    """One line for each target."""
    return [*_measured(medians), *_grown(growth)]


def _measured(medians: Mapping[str, Mapping[str, float | None]]) -> Iterator[Line]:
    for target in TARGETS:
        value = medians.get(target.of, {}).get(target.figure)
        if target.against:
            other = medians.get(target.against, {}).get(target.figure)
            value = ratio(value, other)
        yield _line(target.words, target.against, value, target.accept, target.goal)


def _grown(growth: Mapping[str, Any]) -> Iterator[Line]:
    for name, words in GROWTH.items():
        series = growth.get(name)
        figure = f"growth of CPU per request, {words}"
        if series is not None:
            figure += f" {series['from']:,} to {series['to']:,}"
        yield _line(figure, "", series["ratio"] if series is not None else None, GROWTH_ACCEPT, GROWTH_GOAL)


def _line(figure: str, against: str, value: float | None, accept: float | None, goal: float | None) -> Line:
    return {
        "figure": figure,
        "against": against,
        "value": value,
        "accept": accept,
        "accept_met": _met(value, accept),
        "goal": goal,
        "goal_met": _met(value, goal),
    }


def _met(value: float | None, most: float | None) -> bool | None:
    return None if value is None or most is None else value <= most


def ratio(value: float | None, other: float | None) -> float | None:
    """None where one is missing, or where there is nothing to divide by."""
    return value / other if value is not None and other is not None and other > 0 else None
