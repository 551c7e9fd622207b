"""Heads that came before.

A client says the same with each of its requests, and an engine with each of its answers, but for how long the body is
and, once a second, the date. So what a head says is kept by its bytes, without its length. A connection remembers the
last one, as long as it is kept, and has only to compare it.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from typing import Final, TypeVar

from kthena_fast.gateway import _lane_py
from kthena_fast.gateway.answer import STATUS_LINES
from kthena_fast.wire import headers as wire_headers
from kthena_fast.wire import heads, paths, targets

LONGEST: Final = 2048
"""Bytes of a head that is kept, which takes some four times as much; those of SDKs have five hundred to a thousand."""

MOST: Final = 512
"""Of each kind; what has not come for longest is forgotten first. So clients can make it hold 8 MB, and what they said,
credentials too, is there until others took its place."""

_BLANK: Final = b"\r\n\r\n"
_LENGTH: Final = re.compile(rb"\r\n[Cc]ontent-[Ll]ength: ([0-9]+)\r\n")
_JSON: Final = b"application/json"

# What the lane leaves to others, and what differs with each request.
_UNUSUAL: Final = _lane_py._UNUSUAL | {b"x-request-id"}


class _Head:
    __slots__ = ("__weakref__", "end", "start")

    def __init__(self, start: bytes, end: bytes) -> None:
        self.start = start
        """Its bytes up to the length of its body."""
        self.end = end
        """And from there on."""


class Request(_Head):
    """What the head of a request says."""

    __slots__ = (
        "content_type",
        "copied",
        "count",
        "fields",
        "keep_alive",
        "length_at",
        "line",
        "path",
        "size",
        "target",
    )

    def __init__(self, start: bytes, end: bytes, head: heads.Head) -> None:
        _Head.__init__(self, start, end)
        fields = self.fields = head.fields
        """With a length of 0."""
        self.length_at = [name for name, _ in fields].index(b"content-length")
        """Where that is among them."""
        self.count = len(fields)
        self.size = sum(len(name) + len(value) + 4 for name, value in fields) - 1
        """Bytes as MAX_HEADER_BYTES counts them, without the digits of the length."""
        self.target = head.target
        self.path = head.target.decode()
        self.line = wire_headers.request_line(b"POST", head.target)
        self.keep_alive = head.keep_alive
        self.content_type = dict(fields).get(b"content-type")
        added = wire_headers.to_engine([], 0, b"-", "-", "-", False, False)
        self.copied = wire_headers.to_engine(fields, 0, b"-", "-", "-", False, False).removesuffix(added)
        """The lines of it that an engine gets as they are."""


class Answer(_Head):
    """What the head of an answer in JSON says."""

    __slots__ = ("keep_alive", "lines", "rest", "status")

    def __init__(self, start: bytes, end: bytes, head: heads.Head) -> None:
        _Head.__init__(self, start, end)
        self.status = head.status
        self.keep_alive = head.keep_alive
        lines = wire_headers.to_client(head.fields, b"-").removesuffix(b"-\r\n")
        before, name, after = (STATUS_LINES[head.status] + lines).partition(b"\r\ncontent-length: ")
        self.lines = before + name
        """What a client gets of it up to the length."""
        self.rest = after.removeprefix(b"0")
        """And from there up to the id of its request."""


_Kind = TypeVar("_Kind", Request, Answer)


def find(
    data: bytes, last: _Kind | None, kept: Callable[[bytes, bytes], _Kind | None]
) -> tuple[_Kind, bytes, bytes] | None:
    """The head that `data` begins with, the digits of its length, and what stands behind it; None: it is not plain.
    `last` is what came before it, `kept` is `request` or `answer`."""
    if last is not None and data.startswith(last.start):
        at = len(last.start)
        stop = data.find(b"\r", at, at + 19)
        if data.startswith(last.end, stop):
            digits = data[at:stop]
            return (last, digits, data[stop + len(last.end) :]) if digits.isdigit() else None
    blank = data.find(_BLANK, 0, LONGEST)
    length = _LENGTH.search(data, 0, blank + 2) if blank > 0 else None
    if length is None:
        return None
    at, stop = length.span(1)
    head = kept(data[:at], data[stop : blank + 4])
    return None if head is None else (head, length[1], data[blank + 4 :])


@functools.lru_cache(maxsize=MOST)
def request(start: bytes, end: bytes) -> Request | None:
    """What the head of a request says; None: it is not plain."""
    plain = heads.request(b"%b0%b" % (start, end))
    if plain is None:
        return None
    named = dict(plain.fields)
    host = named.get(b"host")
    if (
        plain.target.decode() not in paths.KNOWN
        or len(named) != len(plain.fields)
        or not _UNUSUAL.isdisjoint(named)
        or host is None
        or not targets.valid_host(host)
        or not _is_json(named.get(b"content-type", _JSON))
    ):
        return None
    return Request(start, end, plain)


@functools.lru_cache(maxsize=MOST)
def answer(start: bytes, end: bytes) -> Answer | None:
    """The same of an answer; None also where it is not JSON."""
    plain = heads.response(b"%b0%b" % (start, end))
    if plain is None:
        return None
    named = dict(plain.fields)
    if (
        len(named) != len(plain.fields)
        or not _is_json(named.get(b"content-type", b""))
        or named.get(b"content-encoding", b"identity").lower() != b"identity"
    ):
        return None
    return Answer(start, end, plain)


def _is_json(content_type: bytes) -> bool:
    return content_type.lower().startswith(_JSON)
