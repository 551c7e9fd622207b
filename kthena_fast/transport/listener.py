"""`Listener`: what comes to a listening socket becomes a connection of `sockets.Sockets`."""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
from collections.abc import Callable
from typing import Any, Final

from kthena_fast.transport.sockets import Sockets

log = logging.getLogger(__name__)

MOST_ACCEPTED: Final = 64
"""Connections that are accepted in one turn of the loop."""

DELAY = 1.0
"""Seconds until it is tried again when the process or the machine has no room for more (asyncio's figure)."""

_NO_ROOM: Final = frozenset((errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM))


class Listener:
    """Accepts until it is closed; then the listening socket is, too, and connections that were accepted stay."""

    def __init__(
        self,
        sockets: Sockets,
        loop: asyncio.AbstractEventLoop,
        opened: socket.socket,
        factory: Callable[[], Any],
    ) -> None:
        """`opened` listens and is non-blocking; `factory` makes the protocol of each connection."""
        self._sockets = sockets
        self._loop = loop
        self._opened = opened
        self._factory = factory
        self._retry: asyncio.TimerHandle | None = None
        self._is_closed = False
        self._watch()

    def close(self) -> None:
        if self._is_closed:
            return
        self._is_closed = True
        if self._retry is None:
            self._loop.remove_reader(self._opened)
        else:
            self._retry.cancel()
        self._opened.close()

    def _watch(self) -> None:
        self._retry = None
        self._loop.add_reader(self._opened, self._on_ready)

    def _on_ready(self) -> None:
        for _ in range(MOST_ACCEPTED):
            try:
                accepted, _peer = self._opened.accept()
            except (BlockingIOError, ConnectionAbortedError):
                return
            except OSError as problem:
                if problem.errno not in _NO_ROOM:
                    raise
                log.error("no connection is accepted for %g s: %s", DELAY, problem.strerror)
                self._loop.remove_reader(self._opened)
                self._retry = self._loop.call_later(DELAY, self._watch)
                return
            try:
                self._sockets.adopt(accepted, self._factory)
            except Exception:
                log.exception("a connection was accepted and could not be served")
