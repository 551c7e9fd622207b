"""The lines of a plain head, for the twins of ``heads``, where it says what is plain, and the fields of any.

``_plain_heads.pxd`` holds the same functions in C, byte by byte; the compiled twins take those in place of these, which
have one regular expression look at all the lines. The agreement tests of ``heads`` hold the two to the same answers.
"""

import re
from typing import Final

_REQUEST: Final = re.compile(rb"POST (/[!-~]*+) HTTP/1\.1\r\n")
_RESPONSE: Final = re.compile(rb"HTTP/1\.1 ([2-5][0-9][0-9]) [\t -~\x80-\xff]*+\r\n")
# In the order of bytes: a range for each run of those that are allowed.
_LINE: Final = re.compile(rb"^([!#-'*+\-.0-9A-Z^-z|~]++):[ \t]*+([\t -~\x80-\xff]*+)\r\n", re.MULTILINE)


def request_target(data: bytes) -> bytes | None:
    """The target of the request line that ``data`` begins with; None: it is not plain."""
    match = _REQUEST.match(data)
    return match[1] if match else None


def response_status(data: bytes) -> int:
    """The status of the status line that ``data`` begins with; 0: it is not plain."""
    match = _RESPONSE.match(data)
    return int(match[1]) if match else 0


def fields(data: bytes, at: int, common: tuple[bytes, ...]) -> list[tuple[bytes, bytes]] | None:  # noqa: ARG001 - for C
    """Names in lower case and values without the blanks around them, of the lines from ``at`` to the blank one, with
    which ``data`` must end; None: one of them is not plain. A line end stands before ``at``.

    ``common`` is `lines.COMMON`, for C.
    """
    found: list[tuple[bytes, bytes]] = _LINE.findall(data, at)
    # What was found are whole lines, so the blank one is all that is left.
    if len(found) + 1 != data.count(b"\n", at) or not data.endswith(b"\r\n\r\n"):
        return None
    if b" \r" in data or b"\t" in data:
        return [(name.lower(), value.rstrip(b" \t")) for name, value in found]
    return [(name.lower(), value) for name, value in found]


def number(value: bytes) -> int:
    """What 1 to 18 digits say; -1: it is something else."""
    return int(value) if value.isdigit() and len(value) <= 18 else -1
