"""Memory that a body leaves behind, in a process of its own."""

import platform
import subprocess
import sys

import pytest

from kthena_fast.gateway import allocation

FAULTS = """
import resource, sys
from kthena_fast.gateway import allocation

if sys.argv[1] == "kept":
    allocation.keep()


def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt


def hold():
    return [b"%d" % number * int(sys.argv[2]) for number in range(8)]


# Twice: what is larger than anything before is asked for in another way.
hold(), hold()
before = faults()
hold()
print(faults() - before)
"""

LEFT = """
import asyncio, time
from kthena_fast.gateway import allocation
from kthena_fast.gateway.bodies import Budget


def resident():
    with open("/proc/self/statm") as sizes:
        return int(sizes.read().split()[1]) * 4096


async def main():
    allocation.keep()
    budget = Budget(100_000_000)
    giving = asyncio.create_task(allocation.give_back(budget, 0.02))
    budget.hold(60_000_000)
    before = resident()
    bodies = [b"%d" % (number % 10) * 3_000_000 for number in range(20)]
    small = bytearray(1_000_000)
    del bodies
    left = resident() - before
    budget.release(60_000_000)
    until = time.monotonic() + 30
    while resident() - before > 10_000_000 and time.monotonic() < until:
        await asyncio.sleep(0.02)
    print(left, resident() - before)
    giving.cancel()


asyncio.run(main())
"""

PAGE = 4096

pytestmark = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="no other library is told anything")


def said(script: str, *words: str) -> list[int]:
    command = [sys.executable, "-c", script, *words]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60)
    return list(map(int, done.stdout.split()))


def faults(how: str, size: int) -> int:
    """Pages that eight bodies of this size, held together, had to get from the kernel after others like them."""
    (count,) = said(FAULTS, how, str(size))
    return count


def test_a_body_has_the_pages_of_the_one_before() -> None:
    size = 1_000_000
    assert faults("as it is", size) > 4 * size / PAGE, "otherwise nothing need be done"
    assert faults("kept", size) < size / PAGE


def test_the_pages_of_a_large_body_go_back_with_it() -> None:
    size = allocation.LEAST_ALONE + 1
    assert faults("kept", size) > 7 * size / PAGE


def test_what_bodies_have_left_below_a_small_object_goes_back_when_no_more_of_them_come() -> None:
    left, kept = said(LEFT)
    assert left > 50_000_000, "otherwise nothing need be done"
    assert kept < 10_000_000
