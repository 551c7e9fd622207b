"""Where the arrays of the ledger live: reserved once at their largest, given by the kernel page by page as touched."""

import mmap
from typing import Any, Final, Literal, cast, overload

# Bytes of one item of each format used; the C types in the .pxd files name the same widths.
WIDTHS: Final = {"B": 1, "I": 4, "q": 8, "Q": 8, "d": 8}

# From this many bytes on, what grows has pages of its own.
PAGES: Final = 1 << 16

Whole = Literal["B", "I", "q", "Q"]


@overload
def reserve(count: int, kind: Whole) -> "memoryview[int]": ...
@overload
def reserve(count: int, kind: Literal["d"]) -> "memoryview[float]": ...
def reserve(count: int, kind: str) -> "memoryview[Any]":
    """``count`` zeroes that never move and cost nothing until they are written."""
    space = mmap.mmap(-1, count * WIDTHS[kind], flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    if hasattr(mmap, "MADV_NOHUGEPAGE"):
        # A huge page would make the first touch of a row cost 2 MiB of memory and its zeroing.
        space.madvise(mmap.MADV_NOHUGEPAGE)
    return _cast(space, kind)


@overload
def grown(old: "memoryview[int]", count: int, kind: Whole) -> "memoryview[int]": ...
@overload
def grown(old: "memoryview[float]", count: int, kind: Literal["d"]) -> "memoryview[float]": ...
def grown(old: "memoryview[Any]", count: int, kind: str) -> "memoryview[Any]":
    """A copy of ``old`` with room for ``count`` items."""
    # Pages of its own, once it is large: they begin where cache lines begin, and go back to the kernel when it grows.
    new: memoryview[Any] = reserve(count, kind) if count * WIDTHS[kind] >= PAGES else small(count, kind)  # type: ignore[call-overload]
    new[: len(old)] = old
    return new


@overload
def small(count: int, kind: Whole) -> "memoryview[int]": ...
@overload
def small(count: int, kind: Literal["d"]) -> "memoryview[float]": ...
def small(count: int, kind: str) -> "memoryview[Any]":
    """``count`` zeroes of ordinary memory."""
    return _cast(bytearray(count * WIDTHS[kind]), kind)


def _cast(space: mmap.mmap | bytearray, kind: str) -> "memoryview[Any]":
    # The type stubs list the formats one by one.
    return memoryview(space).cast(cast("Any", kind))
