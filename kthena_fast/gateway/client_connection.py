"""A client's connection as aiohttp serves it: bounded heads, slow clients noticed, errors in OpenAI's shape."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from aiohttp import web

from kthena_fast import errors
from kthena_fast.gateway import replies
from kthena_fast.gateway.answer import CLOSE_PATIENCE, WRITE_HIGH_WATER, Pressure
from kthena_fast.wire import headers as wire_headers
from kthena_fast.wire.targets import MAX_TARGET_BYTES

if TYPE_CHECKING:
    from kthena_fast.gateway.inference import InferenceWay
    from kthena_fast.upstream.deadlines import Deadline


class Written(web.StreamResponse):
    """What the handler returns to aiohttp: the answer is already on the transport."""

    def __init__(self, *, keep_alive: bool) -> None:
        super().__init__()
        self._reusable = keep_alive

    @property
    def keep_alive(self) -> bool:
        return self._reusable

    async def prepare(self, request: web.BaseRequest) -> None:
        return None

    async def write_eof(self, data: bytes = b"") -> None:
        return None


class Connection(web.RequestHandler):
    """One client's connection: aiohttp's handler, which also says when the client is slow and when a head is late."""

    __slots__ = (
        "_ending",
        "_head_deadline",
        "_head_size",
        "_head_tail",
        "_is_ending",
        "_is_refused",
        "_way",
        "is_serving",
        "pressure",
    )

    def __init__(self, server: Server, **options: Any) -> None:
        super().__init__(server, loop=asyncio.get_running_loop(), **options)
        self._way = server.way
        self._ending: Deadline | None = None
        self._head_deadline: Deadline | None = None
        self._head_size = 0
        self._head_tail = b""
        """The last bytes of a head that is not whole: its blank line may come in two pieces."""
        self._is_ending = False
        self._is_refused = False
        self.is_serving = False
        """From the end of a head to the end of its answer."""
        self.pressure = Pressure()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._way.connection_made()
        if self._way.is_closing or self._way.open_connections > self._way.settings.max_connections:
            self.force_close()
            return
        assert hasattr(transport, "set_write_buffer_limits")
        transport.set_write_buffer_limits(high=WRITE_HIGH_WATER)

    def data_received(self, data: bytes) -> None:
        if self._is_refused:
            return
        if not self.is_serving and not self._is_ending and not self._follow_head(data):
            return
        super().data_received(data)

    def _follow_head(self, data: bytes) -> bool:
        """Notice the end of a head, and bound its size and time until then; False: it is too large and refused.

        aiohttp bounds each header and their number, which together are a hundred times as much as MAX_HEADER_BYTES.
        """
        if not self._head_size:
            # Line ends before a request are allowed and are not its blank line.
            data = data.lstrip(b"\r\n")
            if not data:
                return True
        if (self._head_tail + data).find(b"\r\n\r\n") >= 0:
            self.begin_request()
            return True
        self._head_size += len(data)
        self._head_tail = (self._head_tail + data)[-3:]
        if self._head_size > MAX_TARGET_BYTES + self._way.settings.max_header_bytes:
            self._refuse_head(self._way.too_large())
            return False
        if self._head_deadline is None:
            self._head_deadline = self._way.deadlines.add(self._way.settings.header_timeout, self._on_late_head)
        return True

    def begin_request(self) -> None:
        """A head is whole: its deadline is met."""
        self.is_serving = True
        self._head_size = 0
        self._head_tail = b""
        self._forget_head()

    def end_request(self, *, reusable: bool, lingers: bool = False) -> None:
        """Its answer is written; if no other request may follow, what still comes is thrown away.

        `lingers`: aiohttp waits for the rest of the body meanwhile, and the client is to see the end before that.
        """
        # aiohttp may have the next head already: what comes until that is served is of its body, and no head.
        self.is_serving = reusable and len(self._messages) > 0
        self._is_ending = not reusable
        if reusable:
            return
        self._limit_ending()
        transport = self.transport
        if lingers and transport is not None and not transport.is_closing() and transport.can_write_eof():
            transport.write_eof()

    def _limit_ending(self) -> None:
        """The connection is about to be closed: for that, too, it has its time."""
        if self._ending is None and self.transport is not None:
            # Once it is closed in peace there is no transport to ask.
            self._ending = self._way.deadlines.add(CLOSE_PATIENCE, self.transport.abort)

    def force_close(self) -> None:
        self._limit_ending()
        super().force_close()

    def _forget_head(self) -> None:
        if self._head_deadline is not None:
            self._way.deadlines.cancel(self._head_deadline)
            self._head_deadline = None

    def _on_late_head(self) -> None:
        self._head_deadline = None
        if not self._is_refused:
            self._refuse_head(errors.request_timeout("request head"))
        self.force_close()

    def _refuse_head(self, error: errors.GatewayError) -> None:
        """Answer a head that is not whole. What still comes is thrown away until its time is over: closing at once
        would reset the connection, and the client might never see why."""
        self._is_refused = True
        self._way.count_refusal(error)
        transport = self.transport
        if transport is None or transport.is_closing():
            return
        self._limit_ending()
        transport.write(replies.raw_refusal(error, wire_headers.new_request_id()))
        if transport.can_write_eof():
            transport.write_eof()
        else:
            self.force_close()

    def connection_lost(self, exc: BaseException | None) -> None:
        self._forget_head()
        self._way.connection_lost()
        # Behind what aiohttp does: it ends with a `force_close`, for which time would be given too.
        super().connection_lost(exc)
        if self._ending is not None:
            self._way.deadlines.cancel(self._ending)

    def pause_writing(self) -> None:
        super().pause_writing()
        self.pressure.pause()

    def resume_writing(self) -> None:
        super().resume_writing()
        self.pressure.resume()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """What aiohttp could not parse, in OpenAI's shape; the connection is closed."""
        if self._is_refused:
            # Its head was too large or too late, and the client was told that.
            return Written(keep_alive=False)
        self.begin_request()
        error = self._way.unparsable(status, exc, message)
        self._way.count_refusal(error)
        self._limit_ending()
        if self.transport is not None:
            self.transport.write(replies.raw_refusal(error, wire_headers.new_request_id()))
        return Written(keep_alive=False)


class Server(web.Server):
    """aiohttp's server with our connections."""

    def __init__(self, way: InferenceWay, **options: Any) -> None:
        super().__init__(way.serve, handler_cancellation=True)
        self.way = way
        self._options = options

    def __call__(self) -> web.RequestHandler:
        return Connection(self, **self._options)
