"""Memory that a body leaves behind, in a process of its own."""

import platform
import subprocess
import sys

import pytest

from kthena_fast.gateway import allocation

SCRIPT = """
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

PAGE = 4096

pytestmark = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="no other library is told anything")


def faults(how: str, size: int) -> int:
    """Pages that eight bodies of this size, held together, had to get from the kernel after others like them."""
    command = [sys.executable, "-c", SCRIPT, how, str(size)]
    return int(subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout)


def test_a_body_has_the_pages_of_the_one_before() -> None:
    size = 1_000_000
    assert faults("as it is", size) > 4 * size / PAGE, "otherwise nothing need be done"
    assert faults("kept", size) < size / PAGE


def test_the_pages_of_a_large_body_go_back_with_it() -> None:
    size = allocation.LEAST_ALONE + 1
    assert faults("kept", size) > 7 * size / PAGE
