"""The source of both twins; `writer` is the contract."""

from __future__ import annotations

import logging
import os
import select
import threading
from collections import deque

log = logging.getLogger(__name__)

LIMIT = 16 * 2**20
INTERVAL = 0.05
CLOSE_TIMEOUT = 5.0


class Writer:
    """`output` is `stdout`, `stderr` or the path of a file, which is appended to and made with mode 0644.

    Raises OSError when it cannot be opened.
    """

    def __init__(self, output: str, *, limit: int = LIMIT, interval: float = INTERVAL) -> None:
        self._output = output
        self._limit = limit
        self._interval = interval
        self._file = _open(output)
        self._lines: deque[bytes] = deque()
        # The loop writes the first and the third, the thread the others, so neither needs a lock.
        self._bytes_in = 0
        self._bytes_out = 0
        self._dropped_full = 0
        self._dropped_failed = 0
        self._failing = False
        # Something was written of a line whose rest was lost: the next line starts on a fresh one.
        self._torn = False
        self._reopen = False
        self._closed = False
        self._wake = threading.Event()
        self._is_awake = False
        """What `_wake` says, at the price of a look."""
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="access-log", daemon=True)
        self._thread.start()

    @property
    def dropped(self) -> int:
        """Lines lost so far."""
        return self._dropped_full + self._dropped_failed

    def write(self, line: bytes) -> None:
        """Keep a line, which ends with its newline, to be written soon."""
        size = len(line)
        if self._closed or self._bytes_in - self._bytes_out + size > self._limit:
            self._dropped_full += 1
            return
        self._bytes_in += size
        self._lines.append(line)
        if not self._is_awake:
            self._is_awake = True
            self._wake.set()

    def reopen(self) -> None:
        """Open the file anew; stdout and stderr stay as they are."""
        self._reopen = True
        self._wake.set()

    def close(self, timeout: float = CLOSE_TIMEOUT) -> None:
        """Write what waits and end the thread; what is not written after `timeout` seconds is given up."""
        if self._closed:
            return
        self._closed = True
        self._stop.set()
        self._wake.set()
        self._thread.join(timeout)
        if self._thread.is_alive():
            log.warning("the access log's output takes nothing: %d lines are given up", len(self._lines))

    def _run(self) -> None:
        while True:
            self._wake.wait()
            # Gather: a batch costs one call, however many lines it has. Ends at once when the writer is closed.
            self._stop.wait(self._interval)
            # Before the lines are taken: what comes later wakes the thread again.
            self._wake.clear()
            self._is_awake = False
            if self._reopen:
                self._reopen = False
                self._do_reopen()
            self._drain()
            if self._stop.is_set() and not self._lines:
                break
        _close(self._file)

    def _drain(self) -> None:
        lines = [self._lines.popleft() for _ in range(len(self._lines))]
        if not lines:
            return
        batch = b"".join(lines)
        rest = memoryview(batch)
        try:
            if self._torn:
                self._write_some(memoryview(b"\n"))
                self._torn = False
            while rest:
                written = self._write_some(rest)
                self._torn = rest[written - 1] != 0x0A
                rest = rest[written:]
        except OSError as error:
            self._dropped_failed += bytes(rest).count(b"\n")
            if not self._failing:
                self._failing = True
                log.error("the access log cannot be written, lines are dropped: %s", error)
        else:
            self._failing = False
        self._bytes_out += len(batch)

    def _write_some(self, data: memoryview) -> int:
        while True:
            try:
                return os.write(self._file, data)
            except BlockingIOError:
                # Whoever shares a terminal or a pipe with us may have made it non-blocking.
                select.select([], [self._file], [], 1.0)

    def _do_reopen(self) -> None:
        try:
            file = _open(self._output)
        except OSError as error:
            log.error("the access log cannot be opened anew, the old file stays: %s", error)
            return
        _close(self._file)
        self._file = file
        self._torn = False


_STANDARD = {"stdout": 1, "stderr": 2}


def _open(output: str) -> int:
    standard = _STANDARD.get(output)
    if standard is not None:
        return standard
    return os.open(output, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)


def _close(file: int) -> None:
    if file not in _STANDARD.values():
        os.close(file)
