"""The source of both twins; `headers` is the contract."""

import os
from typing import Final

from kthena_fast.wire import _lines as lines
from kthena_fast.wire import paths

Headers = list[tuple[bytes, bytes]]
"""In C, those of a plain head are `Fields`, which are gone through like a list."""

HOP_BY_HOP: Final = frozenset(
    (
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    )
)
# Without Accept-Encoding no engine compresses, and usage can be read.
_NEVER_TO_ENGINE: Final = HOP_BY_HOP | {b"cookie", b"expect", b"accept-encoding", b"http2-settings"}
_SET_BY_GATEWAY: Final = frozenset((b"host", b"content-length", b"x-request-id"))
_FORWARDED: Final = frozenset((b"x-forwarded-for", b"x-forwarded-proto"))
_TOLD_BY_PROXY: Final = frozenset(
    (b"forwarded", b"x-real-ip", b"x-forwarded-host", b"x-forwarded-port", b"x-forwarded-server", b"x-forwarded-prefix")
)
_CREDENTIALS: Final = frozenset((b"authorization", b"x-api-key"))

_ALWAYS: Final = _NEVER_TO_ENGINE | _SET_BY_GATEWAY | _FORWARDED
# What is not copied; plus 1 where credentials are stripped, plus 2 where the peer is a trusted proxy.
_DROPPED: Final = (
    lines.sieved(_ALWAYS | _TOLD_BY_PROXY),
    lines.sieved(_ALWAYS | _TOLD_BY_PROXY | _CREDENTIALS),
    lines.sieved(_ALWAYS),
    lines.sieved(_ALWAYS | _CREDENTIALS),
)
_NOT_TO_CLIENT: Final = lines.sieved(HOP_BY_HOP | {b"x-request-id"})

_CONNECTION: Final = lines.asked((b"connection",))
_COMMON: Final = lines.COMMON

_POSTS: Final = {path.encode(): b"POST %b HTTP/1.1\r\n" % path.encode() for path in paths.KNOWN}

_STEP: Final = 0x9E3779B97F4A7C15
"""Odd, so that it meets each 64-bit number once."""
_64_BITS: Final = 2**64 - 1

_ALPHANUMERIC: Final = b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
_TOKEN: Final = lines.table(b"!#$%&'*+-.^_`|~" + _ALPHANUMERIC)
_ID: Final = lines.table(b"._-" + _ALPHANUMERIC)
_TARGET: Final = lines.table(bytes(range(33, 127)))


class Unsafe(ValueError):
    """Something that would not be one header line, or one request line, was about to be written."""


def to_engine(
    headers: Headers,
    length: int,
    request_id: bytes,
    client: str,
    scheme: str,
    trusted_proxy: bool,
    strip_credentials: bool,
) -> bytes:
    """The header lines of a request to an engine, each with its CRLF: all but ``Host``, which is the pod's.

    So they are made once, however many pods are tried. ``length`` is that of the body (-1: no body), ``client`` the
    address of the peer and ``scheme`` what it spoke.
    """
    dropped = _DROPPED[2 * trusted_proxy + strip_credentials]
    named = _named_by_connection(headers)
    if named is not None:
        dropped = lines.sieved(dropped[0] | named)
    added = []
    if length >= 0:
        added.append((b"content-length", lines.decimal(length)))
    origin = client.encode()
    spoken = scheme.encode()
    if trusted_proxy:
        origin = b", ".join([*_values(headers, b"x-forwarded-for"), origin])
        spoken = next(iter(_values(headers, b"x-forwarded-proto")), spoken)
    added.append((b"x-request-id", request_id))
    added.append((b"x-forwarded-for", origin))
    added.append((b"x-forwarded-proto", spoken))
    return _joined(headers, dropped, added)


def to_client(headers: Headers, request_id: bytes) -> bytes:
    """The header lines of an engine's answer for the client, each with its CRLF.

    ``Content-Length`` passes as it is: whoever frames the answer otherwise takes it out before.
    """
    dropped = _NOT_TO_CLIENT
    named = _named_by_connection(headers)
    if named is not None:
        # An engine does not get to hide how long its answer is.
        dropped = lines.sieved(dropped[0] | named - {b"content-length"})
    return _joined(headers, dropped, [(b"x-request-id", request_id)])


def request_line(method: bytes, target: bytes) -> bytes:
    """``POST /v1/chat/completions HTTP/1.1`` and CRLF; ``Unsafe`` when it would be anything else."""
    # The API's own are known to be ones.
    line = _POSTS.get(target) if method == b"POST" else None
    if line is not None:
        return line
    if not is_token(method) or not target.startswith(b"/") or not lines.all_of(target, _TARGET):
        raise Unsafe("a request line with a space or a control character in it")
    return b"".join((method, b" ", target, b" HTTP/1.1\r\n"))


def is_token(name: bytes) -> bool:
    """Whether ``name`` may be a header's name or a method."""
    return len(name) > 0 and lines.all_of(name, _TOKEN)


def valid_request_id(value: bytes) -> bool:
    """Whether a client's id may be kept: 1 to 128 of ``[A-Za-z0-9._-]``, so that it is safe in any log and header."""
    return 0 < len(value) <= 128 and lines.all_of(value, _ID)


def request_id(headers: Headers) -> bytes:
    """The id that a request came with, if it is one and there is one; else a new one."""
    found = [value for name, value in headers if name == b"x-request-id"]
    if len(found) == 1 and valid_request_id(found[0]):
        return found[0]
    return new_request_id()


class _Ids:
    """Ids of this process: a random half and a counted half, the count spread over its 64 bits.

    uuid4 asks the kernel each time, which costs more than reading a small body.
    """

    __slots__ = ("_last", "_prefix")

    def __init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        self._prefix = os.urandom(8).hex().encode()
        self._last = int.from_bytes(os.urandom(8), "big")

    def next(self) -> bytes:
        self._last = (self._last + _STEP) & _64_BITS
        return self._prefix + lines.hex16(self._last)


_ids = _Ids()
# A fork would go on with its parent's ids.
os.register_at_fork(after_in_child=_ids.restart)


def new_request_id() -> bytes:
    """32 hexadecimal digits that no other request has; without a system call."""
    return _ids.next()


def _values(headers: Headers, wanted: bytes) -> list[bytes]:
    return [value for name, value in headers if name == wanted and value]


def _named_by_connection(headers: Headers) -> frozenset[bytes] | None:
    if lines.is_of_plain_head(headers):
        return None
    told = lines.told(headers, _CONNECTION)
    if told is not None:
        (said,) = told
        # "keep-alive" and "close" are what nearly everyone sends, and name nothing more.
        if said is None or said in {b"keep-alive", b"close"}:
            return None
    named = [value for name, value in headers if name == b"connection"]
    return frozenset(part.strip().lower() for part in b",".join(named).split(b","))


def _joined(headers: Headers, dropped: lines.Sieved, added: Headers) -> bytes:
    text = lines.joined(headers, dropped, added, _COMMON, _TOKEN)
    if text is None:
        raise Unsafe("a header name that is no token, or a control character in a header value")
    return text
