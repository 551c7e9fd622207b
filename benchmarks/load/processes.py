"""Processes that a run starts, pins, measures and stops: also when it fails, is interrupted or is killed."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import psutil

SERVER_CORE = 0
"""Of the contestant, alone."""
LOAD_CORE = 1
"""Of engine and load."""

START_SECONDS = 90.0
"""How long a server may take until it serves; LLM routers import a lot."""
STOP_SECONDS = 5.0


class DoesNotServe(RuntimeError):
    """A process that was started does not come to what it is for; with the end of its log."""


# The environment's proxies are not part of the measurement.
_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def pinned(core: int, command: list[str]) -> list[str]:
    """The command on one core, and ended with whoever started it: also if that is killed."""
    return ["setpriv", "--pdeathsig", "KILL", "taskset", "-c", str(core), *command]


@contextlib.contextmanager
def running(
    command: list[str], core: int, log: Path, environment: Mapping[str, str] | None = None
) -> Iterator[psutil.Process]:
    """A process pinned to one core for the length of a block; what it prints goes to a file."""
    with log.open("ab") as output:
        process = subprocess.Popen(
            pinned(core, command),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env={**os.environ, **(environment or {})},
            # A group of its own: an interrupt from the keyboard reaches only who stops it in order.
            start_new_session=True,
        )
    try:
        yield psutil.Process(process.pid)
    finally:
        _stop(process)


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End it, and whatever it has started."""
    try:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(STOP_SECONDS)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@contextlib.contextmanager
def halted(process: psutil.Process) -> Iterator[None]:
    """A process that does nothing for the length of a block, but where it is `resumed`: it takes nobody's core."""
    process.suspend()
    try:
        yield
    finally:
        # It could not even end.
        process.resume()


@contextlib.contextmanager
def resumed(process: psutil.Process) -> Iterator[None]:
    """A halted process that runs for the length of a block."""
    process.resume()
    try:
        yield
    finally:
        process.suspend()


def get(port: int, path: str) -> bytes:
    content: bytes = _opener.open(f"http://127.0.0.1:{port}{path}", timeout=5).read()
    return content


def get_json(port: int, path: str) -> Any:
    return json.loads(get(port, path))


def wait_until_serving(port: int, body: bytes, process: psutil.Process, log: Path) -> None:
    """Return once a chat completion is answered with 200."""
    url = f"http://127.0.0.1:{port}/v1/chat/completions"
    until = time.monotonic() + START_SECONDS
    last = "nothing was answered"
    while time.monotonic() < until and runs(process):
        request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
        try:
            with _opener.open(request, timeout=5):
                return
        except urllib.error.HTTPError as refusal:
            last = f"{refusal.code} {refusal.read(500)!r}"
        except OSError as problem:
            last = str(problem)
        time.sleep(0.05)
    raise DoesNotServe(f"{url} does not serve ({last}):\n{tail(log)}")


def wait_until_said(words: bytes, process: psutil.Process, log: Path) -> None:
    """Return once a process has printed these words."""
    until = time.monotonic() + START_SECONDS
    while words not in log.read_bytes():
        if time.monotonic() > until or not runs(process):
            raise DoesNotServe(f"{words!r} was not said:\n{tail(log)}")
        time.sleep(0.05)


def tail(log: Path) -> str:
    return log.read_text(errors="replace")[-2000:]


def runs(process: psutil.Process) -> bool:
    """Whether it has not ended."""
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE


def cpu_seconds(process: psutil.Process) -> float:
    """User and system time of a process and all it started, as `/proc/PID/stat` has it."""
    total = 0.0
    for each in [process, *process.children(recursive=True)]:
        with contextlib.suppress(psutil.NoSuchProcess):
            times = each.cpu_times()
            total += times.user + times.system
    return total


def resident_megabytes(process: psutil.Process) -> float:
    total = 0
    for each in [process, *process.children(recursive=True)]:
        with contextlib.suppress(psutil.NoSuchProcess):
            total += each.memory_info().rss
    return total / 1e6
