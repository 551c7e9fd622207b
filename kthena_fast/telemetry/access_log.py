"""`AccessLog`: one line for each request under `/v1/`, laid out by `access_line`, written by `writer`.

`ACCESS_LOG_ENABLED`, `ACCESS_LOG_FORMAT` and `ACCESS_LOG_OUTPUT` are the constructor's arguments. An output that cannot
be opened raises OSError: a gateway that was asked for a log does not start without it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kthena_fast.core._choice import NO_EXTENSIONS

if TYPE_CHECKING or NO_EXTENSIONS:
    from kthena_fast.telemetry._access_log_py import AccessLog as AccessLog
else:
    try:
        from kthena_fast.telemetry._access_log_c import AccessLog as AccessLog
    except ModuleNotFoundError:
        from kthena_fast.telemetry._access_log_py import AccessLog as AccessLog
