"""The source of both twins; `heads` is the contract."""

from __future__ import annotations

from typing import Final

from kthena_fast.wire import _lines as lines
from kthena_fast.wire import _scan as scan

_TOKEN: Final = b"!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
_LOWER: Final = bytes(ord(chr(code).lower()) if code in _TOKEN else 0 for code in range(256))
_VALUE: Final = lines.table(bytes(code for code in range(256) if code == ord("\t") or (code >= 32 and code != 127)))
_TARGET: Final = lines.table(bytes(range(33, 127)))
_DIGITS: Final = lines.table(b"0123456789")
_CR: Final = ord("\r")
_LF: Final = ord("\n")
_SPACE: Final = ord(" ")
_TAB: Final = ord("\t")
_COLON: Final = ord(":")
_NOT_PLAIN: Final = frozenset((b"transfer-encoding", b"upgrade", b"expect", b"trailer", b"te", b"proxy-connection"))
_MOST_DIGITS: Final = 18


class Head:
    """What a plain head says. Names in ``fields`` are in lower case, values without the blanks around them."""

    __slots__ = ("fields", "keep_alive", "length", "status", "target")

    def __init__(self) -> None:
        self.target = b""
        """Of a request."""
        self.status = 0
        """Of a response."""
        self.fields: list[tuple[bytes, bytes]] = []
        self.length = -1
        """Bytes of the body."""
        self.keep_alive = True


def request(data: bytes) -> Head | None:
    """Read the head of a request; None: it is not plain."""
    end = len(data)
    if not data.startswith(b"POST /"):
        return None
    space = scan.find_byte(data, _SPACE, 5, end)
    if space < 0 or not data.startswith(b" HTTP/1.1\r\n", space) or not lines.part_of(data, 5, space, _TARGET):
        return None
    head = Head()
    head.target = lines.part(data, 5, space)
    return head if _read_fields(head, data, space + 11, end) else None


def response(data: bytes) -> Head | None:
    """Read the head of a response; None: it is not plain."""
    end = len(data)
    if not data.startswith(b"HTTP/1.1 ") or end < 17 or not lines.part_of(data, 9, 12, _DIGITS):
        return None
    status = 100 * (data[9] - 48) + 10 * (data[10] - 48) + data[11] - 48
    line_end = scan.find_byte(data, _CR, 12, end)
    if status < 200 or status > 599 or status == 204 or status == 304 or data[12] != _SPACE or line_end < 0:
        return None
    if line_end + 2 >= end or data[line_end + 1] != _LF or not lines.part_of(data, 12, line_end, _VALUE):
        return None
    head = Head()
    head.status = status
    return head if _read_fields(head, data, line_end + 2, end) else None


def _read_fields(head: Head, data: bytes, at: int, end: int) -> bool:
    """Read the lines from ``at`` to the blank one, with which ``data`` must end; whether all of them are plain."""
    is_told = False
    while at < end:
        stop = scan.find_byte(data, _CR, at, end)
        if stop < 0 or stop + 1 >= end or data[stop + 1] != _LF:
            return False
        if stop == at:
            return stop + 2 == end and head.length >= 0
        colon = scan.find_byte(data, _COLON, at, stop)
        if colon < 0:
            return False
        name = lines.lowered(data, at, colon, _LOWER)
        if name is None:
            return False
        first = colon + 1
        last = stop
        while first < last and (data[first] == _SPACE or data[first] == _TAB):
            first += 1
        while first < last and (data[last - 1] == _SPACE or data[last - 1] == _TAB):
            last -= 1
        if not lines.part_of(data, first, last, _VALUE):
            return False
        value = lines.part(data, first, last)
        if name == b"content-length":
            if head.length >= 0 or first == last or last - first > _MOST_DIGITS:
                return False
            if not lines.part_of(data, first, last, _DIGITS):
                return False
            head.length = int(value)
        elif name == b"connection":
            if is_told:
                return False
            is_told = True
            if value == b"close":
                head.keep_alive = False
            elif value != b"keep-alive" and value != b"Keep-Alive":
                return False
        elif name in _NOT_PLAIN:
            return False
        head.fields.append((name, value))
        at = stop + 2
    return False
