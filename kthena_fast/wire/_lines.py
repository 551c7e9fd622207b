"""Bytes held to tables, and put together to lines, for the twins that write heads.

``_lines.pxd`` holds the same functions in C, and the compiled twins take those in place of these, without a call; the
agreement tests of ``headers`` hold the two to the same answers. A table has 256 bytes: 1 for each byte that is allowed,
0 for the others.
"""

from collections.abc import Iterable
from typing import Final

PLACES: Final = 128

Sieved = tuple[frozenset[bytes], bytes]
"""Names, and for C a byte for each of ``PLACES``, which is 1 where one of them is: others need not be hashed."""

Asked = tuple[tuple[bytes, ...], frozenset[bytes], bytes]
"""Names whose values are wanted, others that must not be there, and the places of all of them."""


def place(name: bytes) -> int:
    """Where C looks for a name, which is not empty."""
    return (5 * len(name) + 31 * name[0] + name[-1]) % PLACES


def slots(names: Iterable[bytes]) -> tuple[bytes, ...]:
    """Names at their places; of two in one place, the first."""
    found = [b""] * PLACES
    for name in names:
        at = place(name)
        found[at] = found[at] or name
    return tuple(found)


def sieved(names: Iterable[bytes]) -> Sieved:
    """These names, of which an empty one is none."""
    found = frozenset(names) - {b""}
    places = set(map(place, found))
    return found, bytes(at in places for at in range(PLACES))


def asked(names: Iterable[bytes], refused: Iterable[bytes] = ()) -> Asked:
    """To be given to `told`."""
    wanted = tuple(names)
    unwanted = frozenset(refused)
    return wanted, unwanted, sieved([*wanted, *unwanted])[1]


# What SDKs, proxies and engines send with nearly every request and answer.
COMMON: Final = slots(
    (
        b"accept accept-encoding accept-language authorization cache-control connection content-length content-type "
        b"cookie date forwarded host keep-alive openai-organization openai-project origin referer server traceparent "
        b"tracestate transfer-encoding user-agent vary via x-api-key x-forwarded-for x-forwarded-host x-forwarded-port "
        b"x-forwarded-proto x-real-ip x-request-id x-stainless-arch x-stainless-async x-stainless-lang x-stainless-os "
        b"x-stainless-package-version x-stainless-read-timeout x-stainless-retry-count x-stainless-runtime "
        b"x-stainless-runtime-version"
    ).split()
)
"""In C a name that is there need not be made, nor looked at again."""


def table(allowed: bytes) -> bytes:
    """The table of these bytes."""
    return bytes(1 if code in allowed else 0 for code in range(256))


def all_of(data: bytes, allowed: bytes) -> bool:
    """Whether a table allows every byte."""
    return 0 not in data.translate(allowed)


def part(data: bytes, start: int, end: int) -> bytes:
    """``data[start:end]``, which lies in it."""
    return data[start:end]


def together(first: bytes, second: bytes, third: bytes, last: bytes) -> bytes:
    """All four, one behind the other."""
    return b"".join((first, second, third, last))


def place_of(data: bytes, start: int, end: int, names: tuple[bytes, ...]) -> int:
    """Which of ``names`` the bytes ``data[start:end]`` are, which lie in it; -1: none of them."""
    name = data[start:end]
    return names.index(name) if name in names else -1


_VALUE: Final = table(bytes(code for code in range(256) if code == ord("\t") or (code >= 32 and code != 127)))


def told(headers: list[tuple[bytes, bytes]], asked: Asked) -> list[bytes | None] | None:
    """The value of each name that is asked for; None: one of them stands twice, or one that is refused is there."""
    names, refused, _ = asked
    named = dict(headers)
    if not refused.isdisjoint(named):
        return None
    if len(named) != len(headers):
        every = [name for name, _ in headers]
        if any(every.count(name) > 1 for name in names):
            return None
    return list(map(named.get, names))


def is_of_plain_head(headers: object) -> bool:  # noqa: ARG001 - for C
    """Whether these are `Fields`, which hold one ``Connection`` at most, and that names no header."""
    return False


def joined(
    headers: list[tuple[bytes, bytes]],
    dropped: Sieved,
    added: list[tuple[bytes, bytes]],
    common: tuple[bytes, ...],  # noqa: ARG001 - for C
    names: bytes,
) -> bytes | None:
    """``name: value`` and CRLF for each header whose name is not dropped, and for those that are added; None where the
    table does not allow a name, a name is empty, or a value has control characters other than tabs.

    ``common`` are `slots` of names that the table allows."""
    gone = dropped[0]
    headers = [header for header in headers if header[0] not in gone] + added
    if not headers:
        return b""
    every, texts = zip(*headers, strict=True)
    if 0 in b"".join(every).translate(names) or b"" in every or 0 in b"".join(texts).translate(_VALUE):
        return None
    return b"\r\n".join(map(b": ".join, headers)) + b"\r\n"


def decimal(number: int) -> bytes:
    """The digits of a number of 63 bits that is not negative."""
    return b"%d" % number


def hex16(number: int) -> bytes:
    """The sixteen hexadecimal digits of a number of 64 bits."""
    return b"%016x" % number
