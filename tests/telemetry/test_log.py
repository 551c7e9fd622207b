"""The application log: one line for each record."""

import io
import json
import logging
import warnings
from collections.abc import Iterator

import pytest

from kthena_fast.telemetry import log


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.captureWarnings(False)


def configured(level: log.Level, form: log.Format) -> io.StringIO:
    stream = io.StringIO()
    log.configure(level, form, stream)
    return stream


def test_a_record_is_a_line_of_text() -> None:
    stream = configured("info", "text")
    logging.getLogger("kthena_fast.gateway").info('the model "%s" is live', "chat")
    logging.getLogger("kthena_fast.gateway").debug("not shown")
    timestamp, _, rest = stream.getvalue().partition(" ")
    assert timestamp[4] == "-"
    assert rest == 'INFO kthena_fast.gateway: the model "chat" is live\n'


def test_a_record_is_a_line_of_json() -> None:
    stream = configured("warning", "json")
    logging.getLogger("kthena_fast").warning("line\nend")
    fields = json.loads(stream.getvalue())
    del fields["timestamp"]
    assert fields == {"level": "warning", "logger": "kthena_fast", "message": "line\nend"}


@pytest.mark.parametrize("form", ["text", "json"])
def test_neither_a_message_nor_a_traceback_makes_a_second_line(form: log.Format) -> None:
    stream = configured("error", form)
    try:
        raise ValueError("bad\nthing\x1b[2K")
    except ValueError:
        logging.getLogger("x").exception("it\r\nfailed\x85\u2028", stack_info=True)
    line = stream.getvalue()
    assert line.endswith("\n")
    assert line[:-1].isprintable()
    assert "ValueError: bad\\nthing\\u001b[2K" in line
    assert "Stack (most recent call last)" in line


def test_configuring_again_replaces_what_was_configured() -> None:
    first = configured("info", "text")
    second = configured("info", "json")
    logging.getLogger("x").info("once")
    assert first.getvalue() == ""
    assert len(second.getvalue().splitlines()) == 1


def test_warnings_are_logged() -> None:
    stream = configured("warning", "text")
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        log.configure("warning", "text", stream)
        warnings.warn("old spelling", DeprecationWarning, stacklevel=1)
    assert "py.warnings" in stream.getvalue()
    assert "old spelling" in stream.getvalue()
