"""Processes that a run starts, pins, measures and stops."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import psutil

START_SECONDS = 60.0
"""How long a server may take until its port answers; LLM routers import a lot."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def running(
    command: list[str], core: int, log: Path, environment: dict[str, str] | None = None
) -> Iterator[psutil.Process]:
    """A process pinned to one core for the length of a block; what it prints goes to a file."""
    with log.open("ab") as output:
        process = subprocess.Popen(
            ["taskset", "-c", str(core), *command],
            stdout=output,
            stderr=output,
            env={**os.environ, **(environment or {})},
        )
    try:
        yield psutil.Process(process.pid)
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def wait_for(url: str, log: Path) -> None:
    """Return once a GET is answered, with whatever status; RuntimeError with the end of the log if it never is."""
    until = time.monotonic() + START_SECONDS
    while True:
        try:
            with urlopen(url, timeout=1):
                return
        except URLError as problem:
            if getattr(problem, "code", None) is not None:
                return
        except OSError:
            pass
        if time.monotonic() > until:
            raise RuntimeError(f"{url} does not answer:\n" + log.read_text(errors="replace")[-2000:])
        time.sleep(0.1)


def cpu_seconds(process: psutil.Process) -> float:
    """User and system time of a process and all it started."""
    total = 0.0
    for each in [process, *process.children(recursive=True)]:
        with contextlib.suppress(psutil.NoSuchProcess):
            times = each.cpu_times()
            total += times.user + times.system
    return total


def resident_bytes(process: psutil.Process) -> int:
    total = 0
    for each in [process, *process.children(recursive=True)]:
        with contextlib.suppress(psutil.NoSuchProcess):
            total += each.memory_info().rss
    return total
