"""`Queue`: who waits for one model name and one list of targets, and how fast they are called; `Meter`: its metrics."""

from typing import TYPE_CHECKING

from kthena_fast.core._choice import NO_EXTENSIONS

if TYPE_CHECKING or NO_EXTENSIONS:
    from kthena_fast.queueing._queue_py import Meter as Meter
    from kthena_fast.queueing._queue_py import Queue as Queue
else:
    try:
        from kthena_fast.queueing._queue_c import Meter as Meter
        from kthena_fast.queueing._queue_c import Queue as Queue
    except ModuleNotFoundError:
        from kthena_fast.queueing._queue_py import Meter as Meter
        from kthena_fast.queueing._queue_py import Queue as Queue
