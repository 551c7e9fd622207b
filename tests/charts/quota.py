"""A process held to a part of a core, as a container with a CPU limit is, where no cgroup can be had.

The kernel gives a container so much CPU time in each tenth of a second, and stops it for the rest once that is used up
(CFS bandwidth control). Here the process is stopped and continued by signals, by another that looks at its CPU clock:
this file as a program, `quota.py PID SHARE`, until it is told to end.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

PERIOD = 0.1
"""Kubernetes' and the kernel's own."""

LOOK_EVERY = 0.002


@dataclass
class Held:
    """What became of it; known when the quota ends."""

    periods: int = 0
    stopped: int = 0
    """Periods in which all that was given was used up."""
    used: float = 0.0
    """CPU seconds."""
    lasted: float = 0.0


@contextlib.contextmanager
def held(pid: int, share: float) -> Iterator[Held]:
    """Hold a process for the length of a `with`."""
    found = Held()
    holder = subprocess.Popen([sys.executable, "-P", __file__, str(pid), str(share)], stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    try:
        # It has begun.
        holder.stdout.readline()
        yield found
    finally:
        holder.terminate()
        told, _ = holder.communicate(timeout=10)
        # Whatever became of the holder, the process goes on.
        os.kill(pid, signal.SIGCONT)
    vars(found).update(json.loads(told))


def _clock(pid: int) -> int:
    """The clock of a process' CPU time, all its threads together (clock_getcpuclockid)."""
    return (~pid << 3) | 2


def _hold(pid: int, share: float) -> None:
    found = Held()
    began, first = time.monotonic(), time.clock_gettime(_clock(pid))
    ends, allowed = began, first

    def end(*_: Any) -> None:
        os.kill(pid, signal.SIGCONT)
        found.used = time.clock_gettime(_clock(pid)) - first
        found.lasted = time.monotonic() - began
        print(json.dumps(vars(found)), flush=True)
        raise SystemExit

    signal.signal(signal.SIGTERM, end)
    print(flush=True)
    while True:
        ends = max(ends, time.monotonic() - PERIOD) + PERIOD
        # What was taken beyond one period is missing in the next; what was not taken is not kept.
        allowed = min(allowed, time.clock_gettime(_clock(pid))) + share * PERIOD
        found.periods += 1
        while (left := ends - time.monotonic()) > 0:
            if time.clock_gettime(_clock(pid)) >= allowed:
                os.kill(pid, signal.SIGSTOP)
                found.stopped += 1
                time.sleep(left)
                os.kill(pid, signal.SIGCONT)
                break
            time.sleep(LOOK_EVERY)


if __name__ == "__main__":
    _hold(int(sys.argv[1]), float(sys.argv[2]))
