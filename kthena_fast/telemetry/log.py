"""The application log: stdlib logging to stderr, one line for each record, as text or JSON (`LOG_LEVEL`, `LOG_FORMAT`).

Whatever is logged, a line stays one line: control characters are escaped, a traceback included.
"""

from __future__ import annotations

import logging
import sys
from typing import Literal, TextIO

from kthena_fast.telemetry import one_line

Format = Literal["text", "json"]
Level = Literal["debug", "info", "warning", "error"]


def configure(level: Level, form: Format, stream: TextIO | None = None) -> None:
    """Send every logger's records, warnings included, to `stream` (stderr); called again, it replaces what it set."""
    handler = logging.StreamHandler(sys.stderr if stream is None else stream)
    handler.setFormatter(TextFormatter() if form == "text" else JSONFormatter())
    root = logging.getLogger()
    for old in [old for old in root.handlers if isinstance(old.formatter, (TextFormatter, JSONFormatter))]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(level.upper())
    logging.captureWarnings(True)


class TextFormatter(logging.Formatter):
    """`TIMESTAMP LEVEL LOGGER: MESSAGE`, a traceback behind it with its line ends as `\\n`."""

    def format(self, record: logging.LogRecord) -> str:
        message = "\n".join((record.getMessage(), *_details(self, record)))
        return f"{one_line.timestamp(record.created)} {record.levelname} {record.name}: {one_line.printable(message)}"


class JSONFormatter(logging.Formatter):
    """One object: `timestamp`, `level`, `logger`, `message` and, where there is one, `exception`."""

    def format(self, record: logging.LogRecord) -> str:
        fields = {
            "timestamp": one_line.timestamp(record.created),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        details = _details(self, record)
        if details:
            fields["exception"] = "\n".join(details)
        return one_line.as_json(fields).decode()


def _details(formatter: logging.Formatter, record: logging.LogRecord) -> list[str]:
    details = []
    if record.exc_info:
        details.append(formatter.formatException(record.exc_info))
    if record.stack_info:
        details.append(formatter.formatStack(record.stack_info))
    return details
