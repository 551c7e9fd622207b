"""The source of both twins; `heads` is the contract."""

from __future__ import annotations

from typing import Final

from kthena_fast.wire import _plain_heads as plain
from kthena_fast.wire import _scan as scan
from kthena_fast.wire._plain_heads import slots

_LF: Final = ord("\n")
_NOT_PLAIN: Final = frozenset((b"transfer-encoding", b"upgrade", b"expect", b"trailer", b"te", b"proxy-connection"))
_TOLD: Final = (b"content-length", b"connection")

# What SDKs, proxies and engines send with nearly every request and answer.
_COMMON: Final = slots(
    (
        b"accept accept-encoding accept-language authorization cache-control connection content-length content-type "
        b"cookie date forwarded host keep-alive openai-organization openai-project origin referer server traceparent "
        b"tracestate transfer-encoding user-agent vary via x-api-key x-forwarded-for x-forwarded-host x-forwarded-port "
        b"x-forwarded-proto x-real-ip x-request-id x-stainless-arch x-stainless-async x-stainless-lang x-stainless-os "
        b"x-stainless-package-version x-stainless-read-timeout x-stainless-retry-count x-stainless-runtime "
        b"x-stainless-runtime-version"
    ).split()
)


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
    told = plain.told(fields, _TOLD, _NOT_PLAIN)
    if told is None:
        return None
    length, connection = told
    size = -1 if length is None else plain.number(length)
    if size < 0 or (connection is not None and connection not in {b"close", b"keep-alive", b"Keep-Alive"}):
        return None
    return Head(target, status, fields, size, connection != b"close")
