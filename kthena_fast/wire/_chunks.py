"""Chunks as engines write them (RFC 9112, 7.1): a size in hexadecimal, CRLF, so many bytes, CRLF, and nothing else.

``_chunks.pxd`` holds the same two functions in C, and compiled twins take those in place of these. What is not plain is
not refused here but left to llhttp: extensions, more than eight digits, the last chunk.
"""

import re
from typing import Final

_SIZE: Final = re.compile(rb"([0-9A-Fa-f]{1,8})\r\n")


def body_start(data: bytes, at: int) -> int:
    """Where the body of the chunk at ``at`` begins; -1: it is not plain, or not all of it is in ``data``."""
    match = _SIZE.match(data, at)
    if match is None:
        return -1
    size = int(match[1], 16)
    end = match.end() + size
    return match.end() if size and data[end : end + 2] == b"\r\n" else -1


def body_end(data: bytes, at: int) -> int:
    """Where the body of the chunk at ``at`` ends, which is plain and begins there: two bytes before the next chunk."""
    match = _SIZE.match(data, at)
    assert match is not None
    return match.end() + int(match[1], 16)
