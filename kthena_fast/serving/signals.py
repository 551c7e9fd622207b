"""How a process is told to leave: SIGTERM or SIGINT asks for it, and a second one exits at once with status 1."""

from __future__ import annotations

import asyncio
import logging
import os
import signal

log = logging.getLogger(__name__)


def told_to_leave() -> asyncio.Event:
    """Set when the process is told to leave; the handlers are those of the running loop from now on."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def on_signal(name: str) -> None:
        if stop.is_set():
            log.warning("%s again: leaving at once", name)
            os._exit(1)
        log.info("%s: draining", name)
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal, number.name)
    return stop
