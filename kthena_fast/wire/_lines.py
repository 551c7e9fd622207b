"""Bytes held to tables, and put together to lines, for the twins that write heads.

``_lines.pxd`` holds the same functions in C, and the compiled twins take those in place of these, without a call; the
agreement tests of ``headers`` hold the two to the same answers. A table has 256 bytes: 1 for each byte that is allowed,
0 for the others.
"""

from typing import Final


def table(allowed: bytes) -> bytes:
    """The table of these bytes."""
    return bytes(1 if code in allowed else 0 for code in range(256))


def all_of(data: bytes, allowed: bytes) -> bool:
    """Whether a table allows every byte."""
    return 0 not in data.translate(allowed)


def part(data: bytes, start: int, end: int) -> bytes:
    """``data[start:end]``, which lies in it."""
    return data[start:end]


def place_of(data: bytes, start: int, end: int, names: tuple[bytes, ...]) -> int:
    """Which of ``names`` the bytes ``data[start:end]`` are, which lie in it; -1: none of them."""
    name = data[start:end]
    return names.index(name) if name in names else -1


_VALUE: Final = table(bytes(code for code in range(256) if code == ord("\t") or (code >= 32 and code != 127)))


def joined(headers: list[tuple[bytes, bytes]], names: bytes) -> bytes | None:
    """``name: value`` and CRLF for each header; None where the table does not allow a name, a name is empty, or a value
    has control characters other than tabs."""
    if not headers:
        return b""
    every, texts = zip(*headers, strict=True)
    if 0 in b"".join(every).translate(names) or b"" in every or 0 in b"".join(texts).translate(_VALUE):
        return None
    return b"\r\n".join(map(b": ".join, headers)) + b"\r\n"


def hex16(number: int) -> bytes:
    """The sixteen hexadecimal digits of a number of 64 bits."""
    return b"%016x" % number
