"""How busy an engine says it is: the two gauges that the `auto` mode of fairness needs, in a page of Prometheus text.

1. Series of one metric are summed: a data-parallel engine has one for each of its parts. (Upstream reads the last.)
2. A page is some 50 KiB, read once a second for each pod, and two lines of it count: it is searched, not parsed.
"""

from __future__ import annotations

import math
import re
from typing import Final, NamedTuple


class Load:
    """What an engine said of itself."""

    __slots__ = ("running", "waiting")

    def __init__(self, waiting: float, running: float) -> None:
        self.waiting = waiting
        self.running = running


class Gauges(NamedTuple):
    """The names of the two gauges: what both begin with, and the rest of each."""

    prefix: bytes
    waiting: bytes
    running: bytes


GAUGES: Final = {
    "vLLM": Gauges(b"vllm:num_requests_", b"waiting", b"running"),
    "SGLang": Gauges(b"sglang:num_", b"queue_reqs", b"running_reqs"),
}

_REST: Final = re.compile(rb"(?:\{.*\})? +([0-9.eE+-]+)(?: +[0-9]+)?")
"""Of a line, behind the name: labels, the value, and when it was taken."""


def read_load(text: bytes, engine: str) -> Load | None:
    """The load in a page of Prometheus text; None where a gauge is missing or no number, or the engine unknown."""
    gauges = GAUGES.get(engine)
    if gauges is None:
        return None
    waiting: list[bytes] = []
    running: list[bytes] = []
    prefix = gauges.prefix
    found_at = 0 if text.startswith(prefix) else _next_line(text, prefix, 0)
    while found_at >= 0:
        at = found_at + len(prefix)
        for name, values in ((gauges.waiting, waiting), (gauges.running, running)):
            if text.startswith(name, at):
                end = text.find(b"\n", at)
                rest = _REST.fullmatch(text, at + len(name), end if end >= 0 else len(text))
                if rest is not None:
                    values.append(rest[1])
        found_at = _next_line(text, prefix, at)
    load = Load(_sum(waiting), _sum(running))
    return load if math.isfinite(load.waiting) and math.isfinite(load.running) else None


def _next_line(text: bytes, prefix: bytes, at: int) -> int:
    """Where the next line begins that begins with this."""
    # Both gauges are found in one pass.
    found = text.find(b"\n" + prefix, at)
    return found + 1 if found >= 0 else -1


def _sum(values: list[bytes]) -> float:
    """Of all series; NaN where there are none, or one is no number."""
    try:
        return sum(map(float, values)) if values else math.nan
    except ValueError:
        return math.nan
