"""`RequestMetrics`: what one request moves, read from its record.

A `Series` is everything that requests of one (model, path, destination) move, with the slots at hand; it is found by
one look-up. A `Meter` is what one request holds of the gauges, so that it gives back exactly what it took.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kthena_fast.core._choice import NO_EXTENSIONS

if TYPE_CHECKING or NO_EXTENSIONS:
    from kthena_fast.telemetry._requests_py import Meter as Meter
    from kthena_fast.telemetry._requests_py import RequestMetrics as RequestMetrics
    from kthena_fast.telemetry._requests_py import Series as Series
else:
    try:
        from kthena_fast.telemetry._requests_c import Meter as Meter
        from kthena_fast.telemetry._requests_c import RequestMetrics as RequestMetrics
        from kthena_fast.telemetry._requests_c import Series as Series
    except ModuleNotFoundError:
        from kthena_fast.telemetry._requests_py import Meter as Meter
        from kthena_fast.telemetry._requests_py import RequestMetrics as RequestMetrics
        from kthena_fast.telemetry._requests_py import Series as Series
