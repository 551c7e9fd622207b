"""The access line in text: `text(exchange, now)`, laid out as `access_line` says; `timings` are those of both layouts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kthena_fast.core._choice import NO_EXTENSIONS

if TYPE_CHECKING or NO_EXTENSIONS:
    from kthena_fast.telemetry._text_line_py import MODEL_SERVER as MODEL_SERVER
    from kthena_fast.telemetry._text_line_py import text as text
    from kthena_fast.telemetry._text_line_py import timings as timings
else:
    try:
        from kthena_fast.telemetry._text_line_c import MODEL_SERVER as MODEL_SERVER
        from kthena_fast.telemetry._text_line_c import text as text
        from kthena_fast.telemetry._text_line_c import timings as timings
    except ModuleNotFoundError:
        from kthena_fast.telemetry._text_line_py import MODEL_SERVER as MODEL_SERVER
        from kthena_fast.telemetry._text_line_py import text as text
        from kthena_fast.telemetry._text_line_py import timings as timings
