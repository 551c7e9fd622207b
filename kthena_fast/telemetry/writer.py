"""`Writer`: lines go to a file from a thread of their own, so that a slow disk or pipe never holds a request up.

1. `write` keeps a line and returns; the thread writes what has gathered about every `interval` seconds, in one call.
2. At most `limit` bytes wait; beyond that, and when the output fails, lines are dropped and counted, never waited for.
3. `reopen` opens a file anew, for log rotation, before anything else is written; where that fails the old one stays.
4. `close` writes what waits, for at most `timeout` seconds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kthena_fast.core._choice import NO_EXTENSIONS

if TYPE_CHECKING or NO_EXTENSIONS:
    from kthena_fast.telemetry._writer_py import Writer as Writer
else:
    try:
        from kthena_fast.telemetry._writer_c import Writer as Writer
    except ModuleNotFoundError:
        from kthena_fast.telemetry._writer_py import Writer as Writer
