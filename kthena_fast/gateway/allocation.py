"""How the C library keeps the memory of bodies: from one request to the next, and not for longer.

By itself glibc gives a megabyte back to the kernel with its body and asks for it again with the next one, page by page:
a quarter of what a prompt of a megabyte costs. And a small object that is made above many bodies would hold the place
of all of them for good. Other libraries have no such knobs, and are left as they are.
"""

from __future__ import annotations

import asyncio
import ctypes
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from kthena_fast.gateway.bodies import Budget

M_TRIM_THRESHOLD: Final = -1
M_MMAP_THRESHOLD: Final = -3
"""`malloc.h`."""

MOST_KEPT: Final = 32 * 1024 * 1024
"""Free bytes at the end of the heap that stay; it is what dozens of clients with long prompts have under way."""

LEAST_ALONE: Final = 4 * 1024 * 1024
"""What is larger has pages of its own, which go back with it."""

QUIET: Final = 1024 * 1024
"""Bytes of bodies that need nothing kept."""

LOOK_EVERY: Final = 10.0
"""Seconds that must have been quiet before what was kept is given back, and twice that at most."""


def keep() -> None:
    """Have the process keep it from here on."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_TRIM_THRESHOLD, MOST_KEPT)
        mallopt(M_MMAP_THRESHOLD, LEAST_ALONE)


async def give_back(budget: Budget, every: float = LOOK_EVERY) -> None:
    """Give back what bodies have left whenever no more of them come, until cancelled."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    is_kept = False
    while trim is not None:
        await asyncio.sleep(every)
        if budget.take_most() > QUIET:
            is_kept = True
        elif is_kept:
            is_kept = False
            # Wherever it lies, up to the last page. It takes a fraction of a millisecond.
            trim(0)
