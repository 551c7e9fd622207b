"""Requests and answers, read as narrowly as the gateway must write them: what RFC 9112 lets a recipient forgive, this
does not. It shares no code with the gateway and none with llhttp.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_REQUEST = re.compile(rb"POST (/[!-~]*) HTTP/1\.1")
_STATUS = re.compile(rb"HTTP/1\.1 ([1-5][0-9][0-9]) [ -~]*")
_FIELD = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+): ([\t -~\x80-\xff]*)")
_HOST = re.compile(rb"10\.0\.0\.[0-9]+:8000")
_LENGTH = re.compile(rb"0|[1-9][0-9]*")
_DIGITS = re.compile(rb"[0-9]+")
_SIZE = re.compile(rb"[0-9a-f]+")
_ID = re.compile(rb"[A-Za-z0-9._-]{1,128}")

Fields = tuple[tuple[bytes, bytes], ...]
"""Names in lower case, sorted."""

NOT_FOR_ENGINES = frozenset(
    b"connection keep-alive proxy-authenticate proxy-authorization proxy-connection te trailer transfer-encoding "
    b"upgrade expect cookie accept-encoding http2-settings".split()
)


@dataclass(frozen=True, slots=True)
class Request:
    target: bytes
    fields: Fields
    """Without the request's id."""
    body: bytes


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    fields: Fields
    """Without the request's id and the date."""
    body: bytes


def request(data: bytes) -> Request:
    """The one request that `data` is; AssertionError where it is anything else."""
    first, fields, body = _head(data)
    line = _REQUEST.fullmatch(first)
    assert line is not None, f"not a request line: {first!r}"
    names = [name for name, _ in fields]
    assert NOT_FOR_ENGINES.isdisjoint(names), f"not for an engine: {fields}"
    for name, shape in ((b"host", _HOST), (b"content-length", _LENGTH), (b"x-request-id", _ID)):
        _only(fields, name, shape)
    length = int(_only(fields, b"content-length", _LENGTH))
    assert length == len(body), f"{length} announced, {len(body)} bytes came"
    return Request(line[1], _without(fields, b"x-request-id"), body)


def answers(data: bytes) -> list[Answer]:
    """The answers that `data` is, all of them whole; AssertionError where it is anything else."""
    found: list[Answer] = []
    while data:
        first, fields, data = _head(data)
        line = _STATUS.fullmatch(first)
        assert line is not None, f"not a status line: {first!r}"
        status = int(line[1])
        names = [name for name, _ in fields]
        body = b""
        if status >= 200:
            _only(fields, b"x-request-id", _ID)
            if b"transfer-encoding" in names:
                assert b"content-length" not in names, fields
                assert _only(fields, b"transfer-encoding", re.compile(rb"chunked"))
                body, data = _chunks(data)
            elif b"content-length" in names:
                # An engine may write zeros before it, and it is passed on as it came.
                length = int(_only(fields, b"content-length", _DIGITS))
                # An answer to HEAD has a length and no body; no body of ours begins like an answer.
                if data and not data.startswith(b"HTTP/1.1 "):
                    assert len(data) >= length, f"{length} announced, {len(data)} bytes came"
                    body, data = data[:length], data[length:]
            elif status not in {204, 304}:
                assert (b"connection", b"close") in fields, fields
                body, data = data, b""
        found.append(Answer(status, _without(fields, b"x-request-id", b"date"), body))
    return found


def _head(data: bytes) -> tuple[bytes, Fields, bytes]:
    head, blank, rest = data.partition(b"\r\n\r\n")
    assert blank, f"no end of a head in {data!r}"
    first, *lines = head.split(b"\r\n")
    fields: list[tuple[bytes, bytes]] = []
    for line in lines:
        field = _FIELD.fullmatch(line)
        assert field is not None, f"not a header line: {line!r}"
        fields.append((field[1].lower(), field[2]))
    return first, tuple(sorted(fields)), rest


def _only(fields: Fields, name: bytes, shape: re.Pattern[bytes]) -> bytes:
    values = [value for known, value in fields if known == name]
    assert len(values) == 1, f"{len(values)} of {name!r} in {fields}"
    assert shape.fullmatch(values[0]), f"{name!r} is {values[0]!r}"
    return values[0]


def _without(fields: Fields, *names: bytes) -> Fields:
    return tuple(field for field in fields if field[0] not in names)


def _chunks(data: bytes) -> tuple[bytes, bytes]:
    body = b""
    while True:
        size, found, data = data.partition(b"\r\n")
        assert found, f"no chunk: {size!r}"
        assert _SIZE.fullmatch(size), f"not the size of a chunk: {size!r}"
        length = int(size, 16)
        assert len(data) >= length + 2, f"a chunk of {length} bytes, {len(data)} came"
        assert data[length : length + 2] == b"\r\n", data
        body += data[:length]
        data = data[length + 2 :]
        if not length:
            return body, data
