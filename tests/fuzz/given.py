"""How a property reads its input: an octet of options, the number of cuts, the cuts, and then what is cut.

b"\\x00" b"\\x02" b"\\x00\\x05" b"\\x00\\x09" b"POST /v1/..."
"""

from __future__ import annotations

from dataclasses import dataclass

MOST_CUTS = 8
CUT_BYTES = 2


@dataclass(frozen=True, slots=True)
class Given:
    options: int
    data: bytes
    pieces: tuple[bytes, ...]
    """`data`, cut; none is empty."""

    def chose(self, option: int) -> bool:
        """Whether the option of this number is taken."""
        return bool(self.options >> option & 1)


def read(raw: bytes) -> Given:
    options, count = (*raw[:2], 0, 0)[:2]
    count %= MOST_CUTS
    begin = 2 + count * CUT_BYTES
    data = raw[begin:]
    cuts = [int.from_bytes(raw[at : at + CUT_BYTES], "big") for at in range(2, begin, CUT_BYTES)]
    return Given(options, data, cut(data, cuts))


def cut(data: bytes, cuts: list[int]) -> tuple[bytes, ...]:
    ends = sorted({at % (len(data) + 1) for at in cuts} | {len(data)})
    return tuple(data[begin:end] for begin, end in zip([0, *ends], ends, strict=False) if end > begin)


def write(data: bytes, *, options: int = 0, cuts: tuple[int, ...] = ()) -> bytes:
    """The input that is read as this."""
    return bytes([options, len(cuts)]) + b"".join(at.to_bytes(CUT_BYTES, "big") for at in cuts) + data
