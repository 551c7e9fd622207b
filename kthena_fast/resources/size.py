"""How large an object may be to be served: reading it holds up every request meanwhile.

The API server takes objects of a megabyte and more, a map of 40,000 headers among them, and so does the CRD. Reading
that one takes a second. The largest object that anybody has a use for, 16 rules with 16 targets each, has 1,200 values.
"""

from __future__ import annotations

from typing import Any

MAX_VALUES = 5_000
"""Strings, numbers, lists and maps in `spec`: about 25 ms to read."""

TOO_LARGE = f"has more than {MAX_VALUES:,} values, more than the gateway reads: split it into several objects"


def is_too_large(spec: Any) -> bool:
    """Whether there are more than `MAX_VALUES` values in it; nothing is looked at beyond them."""
    left = MAX_VALUES
    waiting = [spec]
    while waiting:
        value = waiting.pop()
        left -= 1
        if left < 0:
            return True
        if isinstance(value, dict):
            if len(value) > left:
                return True
            waiting.extend(value.values())
        elif isinstance(value, list | tuple):
            if len(value) > left:
                return True
            waiting.extend(value)
    return False
