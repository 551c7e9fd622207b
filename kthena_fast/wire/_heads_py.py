"""The source of both twins; `heads` is the contract."""

from __future__ import annotations

from typing import Final

from kthena_fast.wire import _lines as lines
from kthena_fast.wire import _plain_heads as plain
from kthena_fast.wire import _scan as scan

_LF: Final = ord("\n")
_ASKED: Final = lines.asked(
    (b"content-length", b"connection"),
    refused=(b"transfer-encoding", b"upgrade", b"expect", b"trailer", b"te", b"proxy-connection"),
)
_COMMON: Final = lines.COMMON


class Head:
    """What a plain head says. Names in ``fields`` are in lower case, values without the blanks around them."""

    __slots__ = ("fields", "keep_alive", "length", "status", "target")

    def __init__(
        self,
        target: bytes,
        status: int,
        fields: list[tuple[bytes, bytes]],
        length: int,
        keep_alive: bool,
    ) -> None:
        self.target = target
        """Of a request."""
        self.status = status
        """Of a response."""
        self.fields = fields
        self.length = length
        """Bytes of the body."""
        self.keep_alive = keep_alive


def request(data: bytes) -> Head | None:
    """Read the head of a request; None: it is not plain."""
    target = plain.request_target(data)
    return None if target is None else _read(target, 0, plain.fields(data, len(target) + 16, _COMMON))


def response(data: bytes) -> Head | None:
    """Read the head of a response; None: it is not plain."""
    status = plain.response_status(data)
    if status in {0, 204, 304}:
        return None
    return _read(b"", status, plain.fields(data, scan.find_byte(data, _LF, 0, len(data)) + 1, _COMMON))


def _read(target: bytes, status: int, fields: list[tuple[bytes, bytes]] | None) -> Head | None:
    if fields is None:
        return None
    told = lines.told(fields, _ASKED)
    if told is None:
        return None
    length, connection = told
    size = -1 if length is None else plain.number(length)
    if size < 0 or (connection is not None and connection not in {b"close", b"keep-alive", b"Keep-Alive"}):
        return None
    return Head(target, status, fields, size, connection != b"close")
