"""Values and times as they stand in a log, where nothing that a client sends may look like another field or line."""

from __future__ import annotations

import functools
import json
import time
from collections.abc import Mapping

import orjson

MAX_VALUE = 1024
"""Characters that are kept of a value; a client's body, and with it the model's name, may have megabytes."""


def cut(value: str) -> str:
    return value if len(value) <= MAX_VALUE else value[:MAX_VALUE] + "…"


def counted(count: int, noun: str) -> str:
    """`1 model`, `3 models`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def quoted(value: str) -> str:
    """As it is or, with a space, a quote or anything that is not printable in it, as a JSON string in ASCII."""
    if value.isprintable() and " " not in value and '"' not in value and len(value) <= MAX_VALUE:
        return value
    value = cut(value)
    return value if value.isprintable() and " " not in value and '"' not in value else _ascii_json(value)


def inside_quotes(value: str) -> str:
    """For a place between quotes: a quote, a backslash or what is not printable has it escaped as in JSON."""
    value = cut(value)
    if value.isprintable() and '"' not in value and "\\" not in value:
        return value
    return _ascii_json(value)[1:-1]


def printable(value: str) -> str:
    """For prose, which may hold quotes: only what is not printable is escaped. Nothing is cut."""
    if value.isprintable():
        return value
    return "".join(c if c.isprintable() else _ascii_json(c)[1:-1] for c in value)


def as_json(fields: Mapping[str, object]) -> bytes:
    """One object in one line, `<`, `>` and `&` escaped as Go's encoder does, so that it may stand in HTML."""
    try:
        line = orjson.dumps(fields)
    except orjson.JSONEncodeError:
        # A lone surrogate: a path that was no UTF-8, say.
        line = _ascii_json(fields).encode()
    # JSON allows line ends and controls beyond ASCII in a string; a terminal or a log reader obeys them.
    if (not line.isascii() or 0x7F in line) and not line.decode().isprintable():
        line = _ascii_json(fields).encode()
    return line.replace(b"<", b"\\u003c").replace(b">", b"\\u003e").replace(b"&", b"\\u0026")


def timestamp(wall: float) -> str:
    """RFC 3339 in the process's zone, the fraction without its trailing zeros.

    Microseconds, not upstream's nanoseconds: a double of Unix time holds no more.
    """
    second, microseconds = divmod(int(wall * 1e6 + 0.5), 1_000_000)
    date, zone = of_second(second)
    if not microseconds:
        return date + zone
    return f"{date}.{microseconds:06d}".rstrip("0") + zone


@functools.lru_cache(maxsize=1024)
def of_second(second: int) -> tuple[str, str]:
    """A second of Unix time as date and time, and the zone behind it."""
    # Many, since a line is written when its request ends and bears the time of its arrival.
    local = time.localtime(second)
    offset = local.tm_gmtoff
    if offset == 0:
        return time.strftime("%Y-%m-%dT%H:%M:%S", local), "Z"
    hours, minutes = divmod(abs(offset) // 60, 60)
    return time.strftime("%Y-%m-%dT%H:%M:%S", local), f"{'-' if offset < 0 else '+'}{hours:02d}:{minutes:02d}"


def _ascii_json(value: object) -> str:
    # json leaves DEL as it is, the one control character that is neither below the space nor beyond ASCII.
    return json.dumps(value, separators=(",", ":")).replace("\x7f", "\\u007f")
