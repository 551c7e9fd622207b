"""The connections of callers, bounded in number and time: whoever can reach the port may open some.

1. A head has `HEAD_TIMEOUT` from its first byte, and everything from there to the end of the answer `ANSWER_TIMEOUT`:
   then the connection is closed, whatever its caller waits for. A body has its own, shorter time (`endpoint`).
2. Between two requests, and before the first, a connection may stay for `IDLE_TIMEOUT`, which is longer than an API
   server keeps one: a review that goes out while its connection is closed would be lost.
3. There are at most `MAX_CONNECTIONS`, since each takes up to 100 KiB. For one more, the one goes that has been idle
   longest, or, where none is, the new one.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import cast

from aiohttp import http_exceptions, web

HEAD_TIMEOUT = 10.0
ANSWER_TIMEOUT = 60.0
"""No API server waits longer than 30 s."""
IDLE_TIMEOUT = 120.0
"""API servers, as Go's transport is set up there, close after 90 s."""
MAX_CONNECTIONS = 1000

log = logging.getLogger(__name__)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Connections:
    """All that are open."""

    def __init__(self) -> None:
        self._open: dict[web.RequestHandler, _Connection] = {}
        self._idle: dict[_Connection, None] = {}
        """The one that has been idle longest first."""

    def __len__(self) -> int:
        return len(self._open)

    def accept(self, handler: web.RequestHandler) -> asyncio.Protocol:
        """What stands between a new connection and aiohttp's handler of it."""
        return _Connection(self, handler)

    @web.middleware
    async def follow(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Has the requests noticed; for the application whose connections these are."""
        connection = self._open.get(request.protocol)
        if connection is None:
            return await handler(request)
        connection.on_head()
        try:
            response = await handler(request)
            # Here, and not by aiohttp behind it, so that the end of the answer is seen.
            await response.prepare(request)
            await response.write_eof()
            return response
        finally:
            connection.on_answered()

    def on_open(self, connection: _Connection) -> bool:
        """There is one more; False: it is one too many."""
        self._open[connection.handler] = connection
        if len(self._open) > MAX_CONNECTIONS:
            longest = next(iter(self._idle), None)
            if longest is None:
                return False
            longest.abort()
        self._idle[connection] = None
        return True

    def on_busy(self, connection: _Connection) -> None:
        self._idle.pop(connection, None)

    def on_idle(self, connection: _Connection) -> None:
        self._idle[connection] = None

    def on_lost(self, connection: _Connection) -> None:
        self._open.pop(connection.handler, None)
        self._idle.pop(connection, None)


class _Connection(asyncio.Protocol):
    """Passes everything on to aiohttp's handler, and ends what takes too long."""

    def __init__(self, connections: Connections, handler: web.RequestHandler) -> None:
        self.handler = handler
        self._connections = connections
        self._transport: asyncio.Transport | None = None
        self._limit: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's are not of asyncio's class.
        self._transport = cast("asyncio.Transport", transport)
        self.handler.connection_made(transport)
        if not self._connections.on_open(self):
            self.abort()

    def data_received(self, data: bytes) -> None:
        if self._limit is None:
            self._bound(HEAD_TIMEOUT)
        self.handler.data_received(data)

    def on_head(self) -> None:
        """A head is whole."""
        self._connections.on_busy(self)
        self._bound(ANSWER_TIMEOUT)

    def on_answered(self) -> None:
        """Its answer is written, or nobody is there to get it."""
        self._unbound()
        if self._transport is not None:
            self._connections.on_idle(self)

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def connection_lost(self, exc: BaseException | None) -> None:
        self._transport = None
        self._unbound()
        self._connections.on_lost(self)
        self.handler.connection_lost(exc)

    def eof_received(self) -> bool | None:
        self.handler.eof_received()
        return None

    def pause_writing(self) -> None:
        self.handler.pause_writing()

    def resume_writing(self) -> None:
        self.handler.resume_writing()

    def _bound(self, seconds: float) -> None:
        self._unbound()
        self._limit = asyncio.get_running_loop().call_later(seconds, self.abort)

    def _unbound(self) -> None:
        if self._limit is not None:
            self._limit.cancel()
            self._limit = None


def _in_one_line(record: logging.LogRecord) -> bool:
    """What aiohttp cannot parse is a caller's fault: a sentence, where it would show a traceback of its own."""
    problem = record.exc_info[1] if record.exc_info else None
    if isinstance(problem, (http_exceptions.HttpProcessingError, web.RequestPayloadError)):
        record.levelno, record.levelname = logging.WARNING, "WARNING"
        record.msg, record.args = "%s: %s", (record.getMessage(), " ".join(str(problem).split()))
        record.exc_info = None
    return True


log.addFilter(_in_one_line)
