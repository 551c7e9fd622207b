"""The life of the gateway's process: start, signals, drain, exit status.

1. SIGTERM or SIGINT begins the drain; a second one exits at once with status 1.
2. SIGHUP reopens the access log.
3. A start that fails says why in one line and exits with 1; a drain that was asked for exits with 0.
"""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Callable
from typing import TYPE_CHECKING

import uvloop

from kthena_fast.gateway import allocation, app, observing
from kthena_fast.serving import signals
from kthena_fast.telemetry import log as application_log

if TYPE_CHECKING:
    from kthena_fast.settings import Settings
    from kthena_fast.sources import Reporter, Source

log = logging.getLogger(__name__)


def run(
    options: app.Options,
    settings: Settings,
    source: Source,
    on_ready: Callable[[app.Gateway], None] | None = None,
    *,
    reporter: Reporter | None = None,
) -> int:
    """Run a gateway until it is told to stop; returns the exit status of the process. See `live`."""
    application_log.configure(settings.log_level, settings.log_format)
    allocation.keep()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        try:
            return runner.run(live(options, settings, source, on_ready, reporter=reporter))
        except app.CannotStart as problem:
            log.error("%s", problem)
            return 1


async def live(
    options: app.Options,
    settings: Settings,
    source: Source,
    on_ready: Callable[[app.Gateway], None] | None = None,
    *,
    reporter: Reporter | None = None,
) -> int:
    """Start, wait for the signal, drain, stop. `on_ready` is told when the first objects are in service."""
    stop = signals.told_to_leave()
    gateway = app.Gateway(options, settings, source, reporter)
    # Before the start: a signal that is not handled ends the process.
    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, gateway.reopen_logs)
    await gateway.start()
    telling = asyncio.create_task(_tell_when_ready(gateway, on_ready))
    try:
        await stop.wait()
        await gateway.drain()
    finally:
        telling.cancel()
        await gateway.stop()
    return 0


async def _tell_when_ready(gateway: app.Gateway, on_ready: Callable[[app.Gateway], None] | None) -> None:
    await gateway.state.until_synced()
    log.info("ready: %s", observing.describe(gateway.state.snapshot))
    if on_ready is not None:
        on_ready(gateway)
