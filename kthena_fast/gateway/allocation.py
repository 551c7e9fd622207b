"""How the C library keeps the memory of bodies: from one request to the next.

By itself glibc gives a megabyte back to the kernel with its body and asks for it again with the next one, page by page:
a quarter of what a prompt of a megabyte costs. Other libraries have no such knob, and are left as they are.
"""

from __future__ import annotations

import ctypes
from typing import Final

M_TRIM_THRESHOLD: Final = -1
M_MMAP_THRESHOLD: Final = -3
"""`malloc.h`."""

MOST_KEPT: Final = 32 * 1024 * 1024
"""Free bytes at the end of the heap that stay; it is what dozens of clients with long prompts have under way."""

LEAST_ALONE: Final = 4 * 1024 * 1024
"""What is larger has pages of its own and gives them back at once: between small objects it would leave holes."""


def keep() -> None:
    """Have the process keep it from here on."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_TRIM_THRESHOLD, MOST_KEPT)
        mallopt(M_MMAP_THRESHOLD, LEAST_ALONE)
