"""The thread that writes lines: batches, a full queue, a failing disk, rotation, the end."""

import errno
import functools
import os
import stat
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from kthena_fast.telemetry import metrics
from kthena_fast.telemetry.access_log import AccessLog
from kthena_fast.telemetry.registry import Registry
from kthena_fast.telemetry.writer import Writer
from tests.telemetry.records import exchange

PATIENCE = 20.0


class Output:
    """Stands in for os.write: `answer` decides how much it takes; while it is not `open`, calls wait."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.taken = b""
        self.calls = 0
        self.called = threading.Event()
        self.open = threading.Event()
        self.open.set()
        self.answer: Callable[[bytes], int] = len
        monkeypatch.setattr("os.write", self._write)

    def _write(self, file: int, data: memoryview) -> int:
        self.calls += 1
        self.called.set()
        assert self.open.wait(PATIENCE)
        written = self.answer(bytes(data))
        self.taken += bytes(data)[:written]
        return written


@pytest.fixture
def output(monkeypatch: pytest.MonkeyPatch) -> Output:
    return Output(monkeypatch)


def _until(condition: Callable[[], bool]) -> None:
    """Let the other thread run until something holds; pytest-timeout names a test for which it never does."""
    while not condition():
        os.sched_yield()


def _has_dropped(log: Writer, lines: int) -> bool:
    return log.dropped == lines


def test_lines_arrive_in_order_and_the_file_is_appended_to(tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    path.write_bytes(b"before\n")
    log = Writer(str(path), interval=0)
    for number in range(1000):
        log.write(b"%d\n" % number)
    log.close()
    assert path.read_bytes() == b"before\n" + b"".join(b"%d\n" % number for number in range(1000))
    assert log.dropped == 0


def test_a_new_file_is_readable_by_all_and_written_by_its_owner(tmp_path: Path) -> None:
    mask = os.umask(0o022)
    try:
        Writer(str(tmp_path / "access.log")).close()
    finally:
        os.umask(mask)
    assert stat.S_IMODE((tmp_path / "access.log").stat().st_mode) == 0o644


def test_a_file_that_cannot_be_opened_is_an_error_at_once(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="missing"):
        Writer(str(tmp_path / "missing" / "access.log"))


@pytest.mark.parametrize("name", ["stdout", "stderr"])
def test_standard_outputs_are_written_to_and_left_open(name: str, capfd: pytest.CaptureFixture[str]) -> None:
    log = Writer(name)
    log.write(b"a line\n")
    log.reopen()
    log.close()
    assert getattr(capfd.readouterr(), {"stdout": "out", "stderr": "err"}[name]) == "a line\n"
    os.fstat({"stdout": 1, "stderr": 2}[name])


def test_what_gathered_goes_out_in_one_call(output: Output) -> None:
    # The interval never ends by itself in this test; closing does not wait for it.
    log = Writer("stdout", interval=PATIENCE)
    for _ in range(100):
        log.write(b"line\n")
    log.close(PATIENCE)
    assert output.calls == 1
    assert output.taken == b"line\n" * 100


def test_beyond_the_limit_lines_are_dropped_and_counted_and_nobody_waits(output: Output) -> None:
    output.open.clear()
    log = Writer("stdout", limit=100, interval=0)
    log.write(b"x" * 59 + b"\n")
    assert output.called.wait(PATIENCE)
    for _ in range(10):
        log.write(b"y" * 19 + b"\n")
    assert log.dropped == 8
    output.open.set()
    log.close(PATIENCE)
    assert output.taken == b"x" * 59 + b"\n" + (b"y" * 19 + b"\n") * 2
    assert log.dropped == 8


def test_room_that_was_written_out_is_room_again(output: Output) -> None:
    log = Writer("stdout", limit=10, interval=0)
    for _ in range(50):
        output.called.clear()
        log.write(b"12345678\n")
        assert output.called.wait(PATIENCE)
        _until(lambda: log._bytes_in == log._bytes_out)
    log.close(PATIENCE)
    assert log.dropped == 0
    assert output.taken == b"12345678\n" * 50


def test_a_full_disk_costs_lines_and_one_message_and_ends(output: Output, caplog: pytest.LogCaptureFixture) -> None:
    log = Writer("stdout", interval=0)

    def fail(data: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    output.answer = fail
    for lost in (1, 2, 3):
        output.called.clear()
        log.write(b"lost\n")
        assert output.called.wait(PATIENCE)
        _until(functools.partial(_has_dropped, log, lost))
    output.answer = len
    log.write(b"kept\n")
    log.close(PATIENCE)
    assert output.taken == b"kept\n"
    assert log.dropped == 3
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    assert "No space left" in caplog.text


def test_a_line_torn_by_a_failure_is_not_continued_by_the_next(output: Output) -> None:
    log = Writer("stdout", interval=PATIENCE)
    # The disk takes the first line and a half, then nothing.
    answers = iter([8])

    def tear(data: bytes) -> int:
        for answer in answers:
            return answer
        raise OSError(errno.ENOSPC, "No space left on device")

    output.answer = tear
    for line in (b"first\n", b"second\n", b"third\n"):
        log.write(line)
    log._stop.set()
    log._thread.join(PATIENCE)
    assert (output.taken, log.dropped) == (b"first\nse", 2)
    output.answer = len
    log._lines.append(b"fourth\n")
    log._drain()
    assert output.taken == b"first\nse\nfourth\n"


def test_an_output_that_takes_a_little_at_a_time_gets_everything(output: Output) -> None:
    output.answer = lambda data: min(3, len(data))
    log = Writer("stdout", interval=PATIENCE)
    log.write(b"a longer line\n")
    log.close(PATIENCE)
    assert output.taken == b"a longer line\n"


def test_a_pipe_that_does_not_block_is_waited_for(tmp_path: Path) -> None:
    reader, end = os.pipe()
    os.set_blocking(end, False)
    log = Writer(str(tmp_path / "access.log"), interval=0)
    os.dup2(end, log._file)
    os.close(end)
    # More than a pipe holds, so a write comes back with EAGAIN or short.
    log.write(b"z" * 300_000 + b"\n")
    taken = 0
    while taken < 300_001:
        taken += len(os.read(reader, 65536))
    log.close(PATIENCE)
    os.close(reader)
    assert log.dropped == 0


def test_after_reopening_lines_go_to_the_new_file(tmp_path: Path) -> None:
    path, moved = tmp_path / "access.log", tmp_path / "access.log.1"
    log = Writer(str(path), interval=0)
    log.write(b"old\n")
    _until(lambda: log._bytes_in == log._bytes_out)
    path.rename(moved)
    log.reopen()
    log.write(b"new\n")
    log.close()
    assert moved.read_bytes() == b"old\n"
    assert path.read_bytes() == b"new\n"


def test_a_file_that_cannot_be_opened_anew_leaves_the_old_one_in_use(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder, moved = tmp_path / "logs", tmp_path / "moved"
    folder.mkdir()
    log = Writer(str(folder / "access.log"), interval=0)
    folder.rename(moved)
    log.reopen()
    log.write(b"still here\n")
    log.close()
    assert (moved / "access.log").read_bytes() == b"still here\n"
    assert "cannot be opened anew" in caplog.text


def test_an_output_that_takes_nothing_does_not_keep_the_process_from_ending(
    output: Output, caplog: pytest.LogCaptureFixture
) -> None:
    output.open.clear()
    log = Writer("stdout", interval=0)
    log.write(b"stuck\n")
    assert output.called.wait(PATIENCE)
    log.close(0)
    assert "given up" in caplog.text
    output.open.set()
    log._thread.join(PATIENCE)


def test_a_line_after_the_end_is_counted_as_lost(tmp_path: Path) -> None:
    log = Writer(str(tmp_path / "access.log"))
    log.close()
    log.close()
    log.write(b"late\n")
    assert log.dropped == 1


def test_the_access_log_has_requests_of_the_api_only(tmp_path: Path) -> None:
    log = AccessLog(enabled=True, form="json", output=str(tmp_path / "access.log"))
    for path in ("/v1/chat/completions", "/healthz", "/v1", "/v1/models"):
        log.record(exchange(path=path), 0.0)
    log.close()
    lines = (tmp_path / "access.log").read_text().splitlines()
    assert [line.split('"path":"')[1].split('"')[0] for line in lines] == ["/v1/chat/completions", "/v1/models"]


def test_a_disabled_access_log_opens_nothing_and_takes_everything(tmp_path: Path) -> None:
    log = AccessLog(enabled=False, form="text", output=str(tmp_path / "access.log"))
    log.record(exchange(), 0.0)
    log.reopen()
    log.close()
    assert log.dropped == 0
    assert list(tmp_path.iterdir()) == []


def test_lost_lines_are_a_metric(tmp_path: Path) -> None:
    registry = Registry()
    log = AccessLog(enabled=True, form="text", output=str(tmp_path / "access.log"))
    log.report_to(registry)
    log.close()
    log.record(exchange(), 0.0)
    registry.refresh()
    assert registry.value(metrics.ACCESS_LOG_DROPPED).number == 1
