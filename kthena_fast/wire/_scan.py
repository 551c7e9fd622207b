"""Steps over JSON and lines in bytes, for the twins of this room.

``_scan.pxd`` holds the same functions in C (``memchr``, SSE2) and the compiled twins take those in place
of these, without a call; the agreement tests of ``peek`` and ``sse`` hold the two to the same answers. Every function
looks at ``data[at:end]`` only, answers an index into ``data`` or -1, and reads each byte a bounded number of times
whatever the bytes are.
"""

import re
from typing import Final

_SPACE: Final = re.compile(rb"[ \t\n\r]*+")
_STRING: Final = re.compile(rb'[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)
# All up to the next bracket, strings as a whole.
_TO_BRACKET: Final = re.compile(rb'(?:[^"{}\[\]]++|"[^"\\]*+(?:\\.[^"\\]*+)*+")*+', re.DOTALL)
# An object or a list whose members hold none themselves.
_SHALLOW: Final = re.compile(
    rb"""[{\[](?:[^"{}\[\]]++|"[^"\\]*+(?:\\.[^"\\]*+)*+"|[{\[](?:[^"{}\[\]]++|"[^"\\]*+(?:\\.[^"\\]*+)*+")*+[}\]])*+[}\]]""",
    re.DOTALL,
)
_SCALAR: Final = re.compile(rb"[^ \t\n\r,:\]}]*+")
_PLAIN: Final = re.compile(rb"[ !#-\[\]-\x7f]*+")
_LITERAL: Final = re.compile(rb"true|false|null")
_HEX4: Final = re.compile(rb"[0-9A-Fa-f]{4}")
_QUOTE: Final = ord('"')
_COLON: Final = re.compile(rb"[ \t\n\r]*+:[ \t\n\r]*+")
_OPENING: Final = b"{["
_ASCII: Final = 0x80

BLOCK: Final = 64
"""Bytes that are marked at once."""

COMPILED: bool = False
"""Whether these are the functions in C, and who uses them is compiled."""


def find(data: bytes, needle: bytes, at: int, end: int) -> int:
    """Where ``needle`` (two bytes or more) begins."""
    return data.find(needle, at, end)


def find_last(data: bytes, needle: bytes, end: int) -> int:
    """Where ``needle`` begins for the last time in ``data[:end]``."""
    return data.rfind(needle, 0, end)


def find_byte(data: bytes, byte: int, at: int, end: int) -> int:
    """Where ``byte`` is."""
    return data.find(byte, at, end)


def space_end(data: bytes, at: int, end: int) -> int:
    """The first byte that is not JSON whitespace, or ``end``."""
    match = _SPACE.match(data, at, end)
    return match.end() if match else end


def string_end(data: bytes, at: int, end: int) -> int:
    """After the closing quote of the string whose opening quote is before ``at``; -1 when it does not close."""
    match = _STRING.match(data, at, end)
    return match.end() if match else -1


def value_end(data: bytes, at: int, end: int) -> int:
    """After the JSON value that begins at ``at``; -1 when it does not end. Brackets are counted, not paired."""
    if at >= end:
        return -1
    first = data[at]
    if first == _QUOTE:
        return string_end(data, at + 1, end)
    if first not in _OPENING:
        match = _SCALAR.match(data, at, end)
        return match.end() if match else -1
    match = _SHALLOW.match(data, at, end)
    if match:
        return match.end()
    depth = 0
    while True:
        match = _TO_BRACKET.match(data, at, end)
        at = match.end() if match else end
        if at >= end or data[at] == _QUOTE:
            return -1
        depth += 1 if data[at] in _OPENING else -1
        at += 1
        if not depth:
            return at


def plain_end(data: bytes, at: int, end: int) -> int:
    """The first byte that is no plain part of a JSON string, or ``end``: a quote, a backslash, no printable ASCII."""
    match = _PLAIN.match(data, at, end)
    return match.end() if match else end


def marks(data: bytes, at: int) -> int:
    """A bit for each of the ``BLOCK`` bytes from ``at`` on, which are all there: whether ``plain_end`` stops there."""
    found = 0
    place = plain_end(data, at, at + BLOCK)
    while place < at + BLOCK:
        found |= 1 << place - at
        place = plain_end(data, place + 1, at + BLOCK)
    return found


def first(marks: int) -> int:
    """The place of the lowest bit that is set; one is."""
    return (marks & -marks).bit_length() - 1


def sequence_end(data: bytes, at: int, end: int) -> int:
    """After the character of several bytes at ``at``; -1: it is none, or no UTF-8 (RFC 3629)."""
    for size in (2, 3, 4):
        try:
            if at + size <= end and len(data[at : at + size].decode()) == 1:
                return at + size
        except UnicodeDecodeError:
            continue
    return -1


def sequences_end(data: bytes, at: int, end: int) -> int:
    """After such a character and all those that follow it; -1: one of them is none."""
    while True:
        at = sequence_end(data, at, end)
        if at < 0 or at >= end or data[at] < _ASCII:
            return at


def literal_end(data: bytes, at: int, end: int) -> int:
    """After ``true``, ``false`` or ``null``; -1: none of them is there."""
    match = _LITERAL.match(data, at, end)
    return match.end() if match else -1


def hex4(data: bytes, at: int, end: int) -> int:
    """The number that four hexadecimal digits are; -1: there are not four."""
    match = _HEX4.match(data, at, end)
    return int(match[0], 16) if match else -1


def value_start(data: bytes, at: int, end: int) -> int:
    """Where the value begins of the name that ends at ``at``; -1: no colon and value follow."""
    match = _COLON.match(data, at, end)
    return match.end() if match and match.end() < end else -1
