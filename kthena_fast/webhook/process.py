"""The life of the webhook's process: start, signals, drain, exit status.

A start that fails says why in one line and exits with 1; a drain that was asked for exits with 0.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

import uvloop

from kthena_fast.serving import signals
from kthena_fast.telemetry import log as application_log
from kthena_fast.webhook import app

if TYPE_CHECKING:
    from kthena_fast.kube import configuration
    from kthena_fast.settings import Settings

log = logging.getLogger(__name__)


def run(options: app.Options, settings: Settings, kube: configuration.Cluster | str) -> int:
    """Run a webhook until it is told to stop; returns the exit status of the process."""
    application_log.configure(settings.log_level, settings.log_format)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        try:
            return runner.run(live(options, settings, kube))
        except app.CannotStart as problem:
            log.error("%s", problem)
            return 1


async def live(options: app.Options, settings: Settings, kube: configuration.Cluster | str) -> int:
    """Start, wait for the signal, drain, stop."""
    stop = signals.told_to_leave()
    async with app.running(options, settings, kube) as webhook:
        await stop.wait()
        await webhook.drain()
    return 0
