"""The inference port. Connections come in through the express lane (`lane`), which hands over here what is unusual.

aiohttp parses those requests, keeps their connections alive and orders what is pipelined; the journey answers. What
aiohttp would spend on a response object is not needed: `Answer` writes to the transport, and `Written` tells aiohttp
that this has been done.

1. A client that leaves cancels the task of its request (`handler_cancellation`).
2. What is not exactly one well-formed request is refused here, before there is an `Exchange`: two hosts, a target that
   is not in origin form, an upgrade, another version, a coded body, a head beyond its limits. These are counted.
3. Header and body timeouts are coarse: one wheel for the process, no task and no timer of their own.
"""

from __future__ import annotations

import asyncio
import contextlib
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
from kthena_fast.gateway.client_connection import Connection, Server, Written
from kthena_fast.gateway.lane import Lane
from kthena_fast.wire import headers as wire_headers
from kthena_fast.wire import paths, targets

if TYPE_CHECKING:
    from kthena_fast.gateway.journey import Journey
    from kthena_fast.gateway.state import State
    from kthena_fast.settings import Settings
    from kthena_fast.upstream.deadlines import Deadlines

SHUTDOWN_PATIENCE = 1.0
"""Seconds that requests have to notice that their connection was closed."""


class InferenceWay:
    """The inference port's handler. `routes` are plain GET pages beside the API, such as `/healthz`."""

    def __init__(
        self,
        settings: Settings,
        state: State,
        journey: Journey,
        deadlines: Deadlines,
        pages: dict[str, Callable[[], tuple[int, bytes, bytes]]],
        *,
        express: bool = True,
    ) -> None:
        """`express`: whether connections begin in the express lane; without it aiohttp has them all."""
        self.loop = asyncio.get_running_loop()
        self.settings = settings
        self.deadlines = deadlines
        self.state = state
        self.journey = journey
        self.budget = bodies.Budget(settings.max_buffered_bytes)
        self._pages = pages
        self.lane = Lane if express else None
        """What new connections begin in."""
        self.lanes: set[Lane] = set()
        self.open_connections = 0
        """Of both ways together."""
        self.is_closing = False
        self._emptied = asyncio.Event()
        self.server = Server(
            self,
            keepalive_timeout=settings.keepalive_timeout,
            max_line_size=targets.MAX_TARGET_BYTES,
            max_field_size=settings.max_header_bytes,
            max_headers=settings.max_headers,
            auto_decompress=False,
            access_log=None,
        )

    def accept(self) -> Lane | web.RequestHandler:
        """The protocol of a new connection."""
        return self.server() if self.lane is None else self.lane(self)

    def close(self) -> None:
        """Close the connections on which no request is being served, and each of the others when its answer ends."""
        self.is_closing = True
        for connection in self.server.connections:
            if isinstance(connection, Connection) and not connection.is_serving:
                connection.force_close()
        for lane in list(self.lanes):
            lane.close_idle()

    async def shutdown(self) -> None:
        """Close every connection, whatever is under way on it."""
        for lane in list(self.lanes):
            lane.shut()
        await self.server.shutdown(timeout=0.1)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(SHUTDOWN_PATIENCE):
                await self.state.idle()
                await self.emptied()

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

    def lane_left(self, lane: Lane) -> None:
        """Its connection goes on in aiohttp, which counts it anew."""
        self.lanes.discard(lane)
        self.open_connections -= 1

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
            closes=lambda: self.state.is_draining() or not request.content.is_eof(),
        )
        headers: Headers = [(name.lower(), value) for name, value in request.raw_headers]
        request_id = wire_headers.request_id(headers)
        page = self._pages.get(request.raw_path.partition("?")[0])
        try:
            self._check(request, headers)
            if page is not None:
                self._show(request, answer, page, request_id)
            else:
                exchange = self._exchange(request, headers, request_id)
                await self._travel(request, exchange, answer)
        except errors.GatewayError as error:
            self.count_refusal(error)
            replies.refuse(answer, error, request_id)
        finally:
            answer.attach(None)
            reusable = answer.keep_alive and answer.complete and not self.is_closing
            connection.end_request(reusable=reusable, lingers=answer.complete and not request.content.is_eof())
        return Written(keep_alive=reusable)

    def count_refusal(self, error: errors.GatewayError) -> None:
        """What was refused before there was an `Exchange`."""
        self.journey.count_refusal(error)

    def unparsable(self, status: int, exc: BaseException | None, message: str | None) -> errors.GatewayError:
        if isinstance(exc, LineTooLong) or (message and "headers" in message.lower() and "many" in message.lower()):
            return self.too_large()
        if status >= 500:
            return errors.internal()
        return self.malformed()

    @staticmethod
    def malformed() -> errors.GatewayError:
        return errors.bad_request("The request is not well-formed HTTP/1.1.", close=True)

    def too_large(self) -> errors.GatewayError:
        """What a head beyond its limits is told."""
        return errors.headers_too_large(
            f"MAX_HEADER_BYTES {self.settings.max_header_bytes}, MAX_HEADERS {self.settings.max_headers}"
        )

    @staticmethod
    def bad_host() -> errors.GatewayError:
        return errors.bad_request("The Host header is no host.", close=True)

    def _check(self, request: web.BaseRequest, headers: Headers) -> None:
        if request.version not in ((1, 0), (1, 1)):
            raise errors.unsupported_protocol(f"HTTP/{request.version.major}.{request.version.minor}")
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
        if not all(targets.valid_host(value) for name, value in headers if name == b"host"):
            raise self.bad_host()

    def _show(
        self, request: web.BaseRequest, answer: Answer, page: Callable[[], tuple[int, bytes, bytes]], request_id: bytes
    ) -> None:
        if request.method not in {"GET", "HEAD"}:
            raise errors.method_not_allowed(request.method, "GET, HEAD")
        status, content_type, body = page()
        replies.send(answer, status, content_type, body, request_id)

    def _exchange(self, request: web.BaseRequest, headers: Headers, request_id: bytes) -> Exchange:
        target = request.raw_path.encode("utf-8", "surrogateescape")
        peer = self.peer_of(request.transport) if request.transport is not None else ""
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
        exchange.content_type = exchange.header(b"content-type")
        if self.is_trusted(peer):
            exchange.trusted = True
            exchange.client = self.client_behind_proxies(peer, headers)
        return exchange

    @staticmethod
    def peer_of(transport: asyncio.BaseTransport) -> str:
        """The address that a connection came from."""
        peername = transport.get_extra_info("peername")
        # A dual-stack socket shows IPv4 clients as ::ffff:a.b.c.d, which no log or header should.
        return str(peername[0]).removeprefix("::ffff:") if peername else ""

    def client_behind_proxies(self, peer: str, headers: Headers) -> str:
        """The last address told that is not a proxy of ours: what stands before it, a client may invent."""
        told = [value.decode("latin-1") for name, value in headers if name == b"x-forwarded-for"]
        client = peer
        for hop in reversed(",".join(told).split(",")):
            if hop.strip():
                client = hop.strip()
                if not self.is_trusted(client):
                    break
        return client

    def is_trusted(self, address: str) -> bool:
        if not self.settings.trusted_proxies:
            return False
        try:
            ip = ipaddress.ip_address(address.partition("%")[0])
        except ValueError:
            return False
        return any(ip in network for network in self.settings.trusted_proxies)

    async def _travel(self, request: web.BaseRequest, exchange: Exchange, answer: Answer) -> None:
        hold = bodies.Hold(self.budget)
        try:
            await self.journey.serve(exchange, answer, lambda: self._read(request, hold))
        finally:
            hold.release()

    async def _read(self, request: web.BaseRequest, hold: bodies.Hold) -> bytes:
        """The whole body; GatewayError where it is too large, too late, or one too many."""
        limit = self.settings.max_body_bytes
        length = request.content_length
        if length is not None and length > limit:
            raise errors.body_too_large(limit)
        if request.content.at_eof():
            return b""
        if (
            request.transport is not None
            and not request.content.is_eof()
            and request.version >= (1, 1)
            and any(name.lower() == b"expect" for name, _ in request.raw_headers)
        ):
            request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        pieces: list[bytes] = []
        size = 0
        try:
            # Not `set_exception` on the body: aiohttp reads what is left of it, and would log that as a failure.
            async with asyncio.timeout(None) as patience:
                progress = bodies.Progress(self.deadlines, self.settings.body_timeout, lambda: patience.reschedule(0))
                try:
                    while piece := await request.content.readany():
                        progress.moved()
                        size += len(piece)
                        if size > limit:
                            raise errors.body_too_large(limit)
                        hold.grow_to(size)
                        pieces.append(piece)
                finally:
                    progress.done()
        except TimeoutError:
            raise errors.request_timeout("request body") from None
        except web.RequestPayloadError:
            raise errors.bad_request("The request body is not well-formed.", close=True) from None
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)
