"""The way in through aiohttp: its HTTP server reads requests, the journey answers on the transport.

aiohttp parses, keeps connections alive and orders pipelined requests. What it would spend on a response object is not
needed: `Answer` writes to the transport, and `Written` tells aiohttp that this has been done.

1. A client that leaves cancels the task of its request (`handler_cancellation`).
2. What is not exactly one well-formed request is refused here, before there is an `Exchange`: two hosts, a target that
   is not in origin form, an upgrade, a coded body, a head beyond its limits.
3. Header and body timeouts are coarse: one wheel for the process, no task and no timer of their own.
"""

from __future__ import annotations

import asyncio
import ipaddress
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from aiohttp import web
from aiohttp.http_exceptions import LineTooLong

from kthena_fast import errors
from kthena_fast.exchange.record import Exchange, Headers
from kthena_fast.gateway import bodies, replies
from kthena_fast.gateway.answer import Answer
from kthena_fast.gateway.client_connection import MAX_TARGET_BYTES, Connection, Server, Written
from kthena_fast.wire import headers as wire_headers
from kthena_fast.wire import paths

if TYPE_CHECKING:
    from kthena_fast.gateway.journey import Journey
    from kthena_fast.gateway.state import State
    from kthena_fast.settings import Settings
    from kthena_fast.upstream.deadlines import Deadlines


class InferenceWay:
    """The inference port's handler. `routes` are plain GET pages beside the API, such as `/healthz`."""

    def __init__(
        self,
        settings: Settings,
        state: State,
        journey: Journey,
        deadlines: Deadlines,
        pages: dict[str, Callable[[], tuple[int, bytes, bytes]]],
    ) -> None:
        self.settings = settings
        self.deadlines = deadlines
        self._state = state
        self._journey = journey
        self._pages = pages
        self._budget = bodies.Budget(settings.max_buffered_bytes)
        self.open_connections = 0
        self.is_closing = False
        self._emptied = asyncio.Event()
        self.server = Server(
            self,
            keepalive_timeout=settings.keepalive_timeout,
            max_line_size=MAX_TARGET_BYTES,
            max_field_size=settings.max_header_bytes,
            max_headers=settings.max_headers,
            auto_decompress=False,
            access_log=None,
        )

    def close(self) -> None:
        """Close the connections on which no request is being served, and each of the others when its answer ends."""
        self.is_closing = True
        for connection in self.server.connections:
            if isinstance(connection, Connection) and not connection.is_serving:
                connection.force_close()

    async def emptied(self) -> None:
        """Return when no connection is left; what was answered has then been taken, or its client is gone."""
        while self.open_connections:
            self._emptied.clear()
            await self._emptied.wait()

    def connection_made(self) -> None:
        self.open_connections += 1

    def connection_lost(self) -> None:
        self.open_connections -= 1
        if not self.open_connections:
            self._emptied.set()

    async def serve(self, request: web.BaseRequest) -> web.StreamResponse:
        """One request: aiohttp's handler."""
        connection = request.protocol
        assert isinstance(connection, Connection)
        connection.begin_request()
        assert request.transport is not None
        http_1_1 = request.version >= (1, 1)
        answer = Answer(
            request.transport,
            connection.pressure,
            http_1_1=http_1_1,
            keep_alive=request.keep_alive,
            head_only=request.method == "HEAD",
            # What is left of a body would be read as the next request, or the next request as what is left.
            closes=lambda: self._state.is_draining() or not request.content.is_eof(),
        )
        headers: Headers = [(name.lower(), value) for name, value in request.raw_headers]
        request_id = wire_headers.request_id(headers)
        page = self._pages.get(request.path)
        try:
            self._check(request, headers)
            if page is not None:
                self._show(request, answer, page, request_id)
            else:
                exchange = self._exchange(request, headers, request_id)
                await self._travel(request, exchange, answer)
        except errors.GatewayError as error:
            replies.refuse(answer, error, request_id)
        finally:
            answer.attach(None)
            reusable = answer.keep_alive and answer.complete and not self.is_closing
            connection.end_request(reusable=reusable)
        return Written(keep_alive=reusable)

    def unparsable(self, status: int, exc: BaseException | None, message: str | None) -> errors.GatewayError:
        if isinstance(exc, LineTooLong) or (message and "headers" in message.lower() and "many" in message.lower()):
            return self.too_large()
        if status >= 500:
            return errors.internal()
        return errors.bad_request("The request is not well-formed HTTP/1.1.", close=True)

    def too_large(self) -> errors.GatewayError:
        """What a head beyond its limits is told."""
        return errors.headers_too_large(
            f"MAX_HEADER_BYTES {self.settings.max_header_bytes}, MAX_HEADERS {self.settings.max_headers}"
        )

    def _check(self, request: web.BaseRequest, headers: Headers) -> None:
        hosts = sum(1 for name, _ in headers if name == b"host")
        if hosts > 1 or (hosts == 0 and request.version >= (1, 1)):
            raise errors.bad_request("A request has exactly one Host header.", close=True)
        size = sum(len(name) + len(value) + 4 for name, value in headers)
        if size > self.settings.max_header_bytes or len(headers) > self.settings.max_headers:
            raise self.too_large()
        for name, value in headers:
            if name == b"transfer-encoding" and value.lower() != b"chunked":
                # aiohttp takes the chunks away and leaves the other coding, which no engine is told of.
                raise errors.bad_request("The only transfer coding understood here is chunked.", close=True)
            if name == b"upgrade":
                raise errors.unsupported_protocol(f"Upgrade: {value.decode('latin-1')}")
            if name == b"content-encoding" and value.lower() != b"identity":
                raise errors.unsupported_protocol(f"Content-Encoding: {value.decode('latin-1')}")
            if name == b"expect" and value.lower() != b"100-continue":
                raise errors.unsupported_protocol(f"Expect: {value.decode('latin-1')}")
        if not request.raw_path.startswith("/"):
            raise errors.bad_request("The request target must be a path.", close=True)

    def _show(
        self, request: web.BaseRequest, answer: Answer, page: Callable[[], tuple[int, bytes, bytes]], request_id: bytes
    ) -> None:
        if request.method not in {"GET", "HEAD"}:
            raise errors.method_not_allowed(request.method, "GET, HEAD")
        status, content_type, body = page()
        replies.send(answer, status, content_type, body, request_id)

    def _exchange(self, request: web.BaseRequest, headers: Headers, request_id: bytes) -> Exchange:
        target = request.raw_path.encode("utf-8", "surrogateescape")
        peername = request.transport.get_extra_info("peername") if request.transport is not None else None
        # A dual-stack socket shows IPv4 clients as ::ffff:a.b.c.d, which no log or header should.
        peer = str(peername[0]).removeprefix("::ffff:") if peername else ""
        exchange = Exchange(
            method=request.method,
            target=target,
            path=paths.decode(target),
            query=request.raw_path.partition("?")[2],
            protocol=f"HTTP/{request.version.major}.{request.version.minor}",
            headers=headers,
            peer=peer,
            client=peer,
            scheme="https" if request.secure else "http",
            request_id=request_id,
            now=asyncio.get_running_loop().time(),
            wall=time.time(),
        )
        if self._is_trusted(peer):
            exchange.trusted = True
            exchange.client = self._client_behind_proxies(peer, headers)
        return exchange

    def _client_behind_proxies(self, peer: str, headers: Headers) -> str:
        """The last address told that is not a proxy of ours: what stands before it, a client may invent."""
        told = [value.decode("latin-1") for name, value in headers if name == b"x-forwarded-for"]
        client = peer
        for hop in reversed(",".join(told).split(",")):
            if hop.strip():
                client = hop.strip()
                if not self._is_trusted(client):
                    break
        return client

    def _is_trusted(self, address: str) -> bool:
        if not self.settings.trusted_proxies:
            return False
        try:
            ip = ipaddress.ip_address(address.partition("%")[0])
        except ValueError:
            return False
        return any(ip in network for network in self.settings.trusted_proxies)

    async def _travel(self, request: web.BaseRequest, exchange: Exchange, answer: Answer) -> None:
        hold = bodies.Hold(self._budget)
        try:
            await self._journey.serve(exchange, answer, lambda: self._read(request, hold))
        finally:
            hold.release()

    async def _read(self, request: web.BaseRequest, hold: bodies.Hold) -> bytes:
        """The whole body; GatewayError where it is too large, too late, or one too many."""
        limit = self.settings.max_body_bytes
        length = request.content_length
        if length is not None and length > limit:
            raise errors.body_too_large(limit)
        hold.grow_to(length or 0)
        if request.content.at_eof():
            return b""
        if (
            request.transport is not None
            and not request.content.is_eof()
            and request.version >= (1, 1)
            and any(name.lower() == b"expect" for name, _ in request.raw_headers)
        ):
            request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        progress = _Progress(self.deadlines, self.settings.body_timeout, request.content.set_exception)
        pieces: list[bytes] = []
        size = 0
        try:
            while piece := await request.content.readany():
                progress.moved()
                size += len(piece)
                if size > limit:
                    raise errors.body_too_large(limit)
                hold.grow_to(size)
                pieces.append(piece)
        except web.RequestPayloadError:
            raise errors.bad_request("The request body is not well-formed.", close=True) from None
        finally:
            progress.done()
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)


class _Progress:
    """Fails a reader that sees no byte for a while: one deadline that is pushed on lazily, not one per piece."""

    __slots__ = ("_deadline", "_deadlines", "_fail", "_moved", "_patience")

    def __init__(self, deadlines: Deadlines, patience: float, fail: Callable[[BaseException], None]) -> None:
        self._deadlines = deadlines
        self._patience = patience
        self._fail = fail
        self._moved = False
        self._deadline = deadlines.add(patience, self._on_deadline)

    def moved(self) -> None:
        self._moved = True

    def _on_deadline(self) -> None:
        if self._moved:
            self._moved = False
            self._deadline = self._deadlines.add(self._patience, self._on_deadline)
        else:
            self._fail(errors.request_timeout("request body"))

    def done(self) -> None:
        self._deadlines.cancel(self._deadline)
