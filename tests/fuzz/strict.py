"""One HTTP/1.1 request, read as narrowly as the gateway must write it: what RFC 9112 lets a recipient forgive, this does
not. It shares no code with the gateway and none with llhttp.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_LINE = re.compile(rb"POST (/[!-~]*) HTTP/1\.1")
_FIELD = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+): ([\t -~\x80-\xff]*)")
_HOST = re.compile(rb"10\.0\.0\.[0-9]+:8000")
_LENGTH = re.compile(rb"0|[1-9][0-9]*")
_ID = re.compile(rb"[A-Za-z0-9._-]{1,128}")

HOP_BY_HOP = frozenset(
    b"connection keep-alive proxy-authenticate proxy-authorization proxy-connection te trailer transfer-encoding "
    b"upgrade expect cookie accept-encoding http2-settings".split()
)


@dataclass(frozen=True, slots=True)
class Request:
    target: bytes
    fields: tuple[tuple[bytes, bytes], ...]
    """Names in lower case; but the request's id, sorted."""
    body: bytes


def request(data: bytes) -> Request:
    """The one request that `data` is; AssertionError where it is anything else."""
    head, blank, body = data.partition(b"\r\n\r\n")
    assert blank, f"no end of a head in {data!r}"
    first, *lines = head.split(b"\r\n")
    line = _LINE.fullmatch(first)
    assert line is not None, f"not a request line: {first!r}"
    fields: list[tuple[bytes, bytes]] = []
    for said in lines:
        field = _FIELD.fullmatch(said)
        assert field is not None, f"not a header line: {said!r}"
        name = field[1].lower()
        assert name not in HOP_BY_HOP, f"not for an engine: {said!r}"
        fields.append((name, field[2]))
    for name, shape in ((b"host", _HOST), (b"content-length", _LENGTH), (b"x-request-id", _ID)):
        values = [value for known, value in fields if known == name]
        assert len(values) == 1, f"{len(values)} of {name!r} in {head!r}"
        assert shape.fullmatch(values[0]), f"{name!r} is {values[0]!r}"
    length = next(value for name, value in fields if name == b"content-length")
    assert int(length) == len(body), f"{length!r} announced, {len(body)} bytes came"
    return Request(line[1], tuple(sorted(field for field in fields if field[0] != b"x-request-id")), body)
