"""Durations as Kubernetes objects and Kthena's environment write them: Go's `time.ParseDuration`.

Grammar: an optional sign, then one or more decimal numbers each with a unit, such as `300ms`, `1.5h` or `2h45m`;
a bare `0` needs no unit. Values are seconds (float). Source: https://pkg.go.dev/time#ParseDuration
"""

import re

UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}

_NUMBER = r"(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)"
_UNIT = "(?:ns|us|µs|μs|ms|s|m|h)"
PATTERN = rf"^[-+]?(?:0|(?:{_NUMBER}{_UNIT})+)$"

_WHOLE = re.compile(PATTERN)
_PART = re.compile(rf"({_NUMBER})({_UNIT})")

MAX_SECONDS = (2**63 - 1) / 1e9
"""Go holds a duration in int64 nanoseconds: about 292 years."""


def parse(text: str) -> float:
    """Seconds of a Go duration; ValueError names the text and the form it should have."""
    if not _WHOLE.match(text) or text.endswith("\n"):
        raise ValueError(f"{text!r} is not a duration such as 300ms, 10s, 5m or 1h30m")
    seconds = sum(float(number) * UNITS[unit] for number, unit in _PART.findall(text))
    if seconds > MAX_SECONDS:
        raise ValueError(f"{text!r} is longer than a duration can be (about 292 years)")
    return -seconds if text.startswith("-") else seconds


def show(seconds: float) -> str:
    """The shortest of Go's usual spellings: 90.0 -> `1m30s`, 0.25 -> `250ms`, 0 -> `0s`."""
    if seconds < 0:
        return "-" + show(-seconds)
    if seconds == 0:
        return "0s"
    if seconds < 1:
        unit = next(unit for unit in ("ms", "us", "ns") if seconds >= UNITS[unit] or unit == "ns")
        return f"{seconds / UNITS[unit]:g}{unit}"
    nanoseconds = round(seconds * 1e9)
    hours, rest = divmod(nanoseconds, 3600 * 10**9)
    minutes, rest = divmod(rest, 60 * 10**9)
    parts = [f"{hours}h" if hours else "", f"{minutes}m" if minutes else ""]
    if rest:
        parts.append(f"{rest / 1e9:.9f}".rstrip("0").rstrip(".") + "s")
    return "".join(parts)
