"""The source of both twins; `targets` is the contract."""

from typing import Final

from kthena_fast.wire import _lines as lines

MAX_TARGET_BYTES: Final = 8190
"""Of the request line; aiohttp's own default."""

_HOST: Final = lines.table(b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-._~%!$&()*+,;=:[]")
"""What RFC 3986 lets a host and its port consist of, but for the quote."""

_DOTS: Final = frozenset((".", ".."))


def problem(target: bytes, path: str) -> str:
    """Why this target is no plain one, for the client; empty if it is. ``path`` is the target's, decoded."""
    if b"#" in target:
        return "The request target must not have a fragment."
    if "\\" in path:
        return "The path must not hold a backslash."
    # Most paths have no dot, and none of the API's own.
    if "." in path and not _DOTS.isdisjoint(path.split("/")):
        return "The path must not hold the segments '.' and '..'."
    return ""


def valid_host(value: bytes) -> bool:
    """Whether this may be the value of a ``Host`` header: no spaces, quotes, controls or bytes beyond ASCII."""
    return lines.all_of(value, _HOST)
