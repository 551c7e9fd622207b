"""JSON that is nested deeper than orjson reads, or anybody: cut where it gets too deep, for the rest to be read."""

from __future__ import annotations

import re
from typing import Any

import orjson

DEEPEST = 100
"""Levels that are kept: several times as many as any object of ours has."""

_MARKS = re.compile(rb'"(?:[^"\\]|\\.)*"|[][{}]', re.DOTALL)


def loads(text: bytes) -> tuple[Any, bool]:
    """The value of a JSON text, and whether something was cut from it; JSONDecodeError where it is none.

    Where the text as a whole cannot be read, what is nested deeper than `DEEPEST` is null, and not looked at.
    """
    try:
        return orjson.loads(text), False
    except orjson.JSONDecodeError:
        shallow = _cut(text)
        if shallow is None:
            raise
        return orjson.loads(shallow), True


def _cut(text: bytes) -> bytes | None:
    """The text with `null` for whatever is too deep; None: nothing is."""
    kept: list[bytes] = []
    depth = begin = 0
    for mark in _MARKS.finditer(text):
        match text[mark.start()]:
            case 0x7B | 0x5B:  # { and [
                depth += 1
                if depth == DEEPEST + 1:
                    kept.append(text[begin : mark.start()])
            case 0x7D | 0x5D:
                depth -= 1
                if depth == DEEPEST:
                    kept.append(b"null")
                    begin = mark.end()
    if not kept:
        return None
    # What ends too deep is no JSON, and is found to be none.
    kept.append(text[begin:])
    return b"".join(kept)
