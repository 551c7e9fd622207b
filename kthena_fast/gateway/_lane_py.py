"""The source of both twins; `lane` is the contract.

Rules
1. A head that is beyond doubt is read by `wire.heads`. Any other llhttp gets alone, and where it ends must be where the
   blank line is; then it gets the body, of exactly the length that was announced. So llhttp and this file cannot
   disagree about where the next request begins.
2. The bytes of a head are kept until it is whole: they are what aiohttp gets if the request is not for here.
3. One request at a time, and no task for one that need not wait for more than its body (`journey`, rule 5). What comes
   behind it waits as bytes, `MAX_WAITING` and one read at most; then reading pauses.
4. An answer that begins before the whole body has come says `Connection: close`: what is left would be read as the
   next request.
5. No task and no timer waits for bytes. Deadlines are coarse, and a connection that is served quickly sets none.
6. The lane is its own `Downstream`: there is one request at a time, and none after one that was cancelled.
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import httptools

from kthena_fast import errors
from kthena_fast.exchange.downstream import Flow, Framing
from kthena_fast.exchange.record import Exchange, Headers
from kthena_fast.gateway import bodies, replies
from kthena_fast.gateway.answer import CLOSE_PATIENCE, STATUS_LINES, WRITE_HIGH_WATER, Pressure
from kthena_fast.gateway.incoming import Incoming
from kthena_fast.transport.stream import Stream, own
from kthena_fast.wire import _lines as lines
from kthena_fast.wire import _scan as scan
from kthena_fast.wire import headers as wire_headers
from kthena_fast.wire import heads, paths, targets
from kthena_fast.wire.targets import MAX_TARGET_BYTES

if TYPE_CHECKING:
    from kthena_fast.gateway.inference import InferenceWay
    from kthena_fast.gateway.journey import Passage
    from kthena_fast.upstream.deadlines import Deadline

MAX_WAITING: Final = 64 * 1024
"""Bytes that may come behind the request that is served before reading pauses."""

LINGER: Final = 10.0
"""Seconds in which what a client still sends is thrown away, so that closing does not take its answer from it."""

FIRST_PROBE: Final = 0.01
"""Seconds. See `_probe`; an engine is to know within a tenth of a second that its client has left."""

# What is not for the lane, whatever the value; the second line is of answers, and aiohttp refuses two of one of them.
_UNUSUAL: Final = frozenset(
    b"transfer-encoding expect upgrade content-encoding content-location content-range etag max-forwards server".split()
)

_TOLD: Final = (b"content-length", b"host", b"x-request-id", b"content-type", b"user-agent")
_ASKED: Final = lines.asked(_TOLD, refused=_UNUSUAL)

_BLANK: Final = b"\r\n\r\n"

_API: Final = {path.encode(): path for path in paths.KNOWN}

_BETWEEN: Final = 0
_SERVING: Final = 1
_ENDING: Final = 2

# Members of an enum, which cost more to look up than what they decide.
_CHUNKED, _CLOSE = Framing.CHUNKED, Framing.CLOSE


class Lane:
    """See `lane.Lane`."""

    __slots__ = (
        "_complete",
        "_ending",
        "_fields",
        "_half_closed",
        "_head",
        "_head_complete",
        "_head_deadline",
        "_idle_deadline",
        "_idle_since",
        "_incoming",
        "_is_lost",
        "_is_paused",
        "_is_plain",
        "_is_tls",
        "_journey",
        "_keep_alive",
        "_loop",
        "_max_header_bytes",
        "_max_headers",
        "_parser",
        "_passage",
        "_peer",
        "_phase",
        "_pressure",
        "_probing",
        "_progress",
        "_send",
        "_state",
        "_stream",
        "_target",
        "_transport",
        "_trusted",
        "_waiting",
        "_way",
        "started",
    )

    accepts_chunked = True
    wants_body = True

    def __init__(self, way: InferenceWay) -> None:
        # the process
        self._way = way
        self._state = way.state
        self._journey = way.journey
        self._loop = way.loop
        settings = way.settings
        # Looked up once: fields of a pydantic model are as slow as those of an enum.
        self._max_headers = settings.max_headers
        self._max_header_bytes = settings.max_header_bytes
        # the connection
        self._transport: asyncio.Transport
        self._stream: Stream | None
        """The same, if it is ours: its methods need not be looked for."""
        self._send: Callable[[bytes], None]
        """Its `write`, which every chunk would have to look for."""
        self._parser: httptools.HttpRequestParser | None = None
        self._pressure = Pressure()
        self._phase = _BETWEEN
        self._peer = ""
        self._trusted = self._is_tls = False
        self._is_paused = self._half_closed = self._is_lost = False
        self._waiting = b""
        self._idle_since = 0.0
        self._idle_deadline: Deadline | None = None
        self._head_deadline: Deadline | None = None
        self._ending: Deadline | None = None
        self._probing: asyncio.TimerHandle | None = None
        # the head
        self._head = b""
        self._head_complete = False
        self._is_plain = False
        """Whether it was read without llhttp, which then gets nothing of the body either."""
        self._target = b""
        self._fields: Headers = []
        # the body
        self._incoming = Incoming(way.budget, settings.max_body_bytes)
        self._progress: bodies.Progress | None = None
        """While the journey waits for the rest of it."""
        # the answer
        self._passage: Passage | None = None
        self._keep_alive = True
        self._complete = False
        self.started = False

    @property
    def serves(self) -> bool:
        return self._phase == _SERVING

    # What the loop calls

    def connection_made(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._stream = own(transport)
        self._send = transport.write
        way = self._way
        way.lanes.add(self)
        way.connection_made()
        if way.is_closing or way.open_connections > way.settings.max_connections:
            self._phase = _ENDING
            transport.close()
            return
        transport.set_write_buffer_limits(high=WRITE_HIGH_WATER)
        # A client that vanishes during a long answer says nothing; the kernel asks.
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        self._peer = way.peer_of(transport)
        self._trusted = way.is_trusted(self._peer)
        self._is_tls = transport.get_extra_info("sslcontext") is not None
        self._parser = httptools.HttpRequestParser(self)
        self._idle_since = self._loop.time()
        self._idle_deadline = way.deadlines.add(way.settings.keepalive_timeout, self._on_idle)

    def data_received(self, data: bytes) -> None:
        if self._incoming.missing:
            data = self._take_body(data)
        if self._phase == _BETWEEN:
            self._read_head(data)
        elif self._phase == _SERVING:
            self._waiting += data
            if len(self._waiting) > MAX_WAITING and not self._is_paused:
                self._is_paused = True
                self._transport.pause_reading()
            if self._progress is not None:
                self._on_piece()

    def eof_received(self) -> bool:
        """The client sends no more. Whether the connection stays open: for a request that came whole, until its
        answer has begun; a client that goes after that has read what it wanted."""
        if self._phase != _SERVING or self._incoming.missing or self.started or self._is_tls:
            return False
        self._half_closed = True
        self._probing = self._loop.call_later(FIRST_PROBE, self._probe, FIRST_PROBE)
        return True

    def pause_writing(self) -> None:
        self._pressure.pause()

    def resume_writing(self) -> None:
        self._pressure.resume()

    def connection_lost(self, failure: Exception | None) -> None:
        self._is_lost = True
        self._phase = _ENDING
        self._incoming.missing = 0
        self._detach()
        self._way.lanes.discard(self)
        self._way.connection_lost()
        # A client that has its whole answer has not left it.
        if not self._complete and self._passage is not None:
            self._passage.cancel()

    # What the life of the process calls

    def close_idle(self) -> None:
        if self._phase != _SERVING:
            self._close()

    def shut(self) -> None:
        self._transport.abort()

    # The head

    def _read_head(self, data: bytes) -> None:
        before = self._head
        if before:
            head = before + data
            # The blank line may be cut anywhere.
            at = scan.find(head, _BLANK, max(len(before) - 3, 0), len(head))
            end = at + 4 - len(before)
        else:
            head = data
            at = scan.find(data, _BLANK, 0, len(data))
            end = at + 4
        piece = data if at < 0 or end == len(data) else lines.part(data, 0, end)
        if at >= 0 and not before:
            plain = heads.request(piece)
            if plain is not None:
                self._is_plain = True
                rest = b"" if piece is data else lines.part(data, end, len(data))
                self._judge(head, rest, plain.target, plain.fields, plain.length, True, plain.keep_alive)
                return
        self._is_plain = False
        if not before and data[:1] in (b"\r", b"\n"):
            # Line ends before a request are allowed, and nobody's habit.
            self._hand_over(data)
            return
        parser = self._parser
        assert parser is not None
        upgrades = False
        try:
            parser.feed_data(piece)
        except httptools.HttpParserUpgrade:
            upgrades = True
        except httptools.HttpParserError:
            self._refuse(self._way.too_large() if self._is_beyond(head) else self._way.malformed())
            return
        if at < 0:
            self._head = head
            self._await_head()
            return
        self._head = b""
        if self._head_deadline is not None:
            self._way.deadlines.cancel(self._head_deadline)
            self._head_deadline = None
        if upgrades:
            self._hand_over(head)
        elif not self._head_complete:
            self._refuse(self._way.malformed())
        else:
            fields = self._fields
            target = self._target
            self._fields = []
            self._target = b""
            self._head_complete = False
            usual = parser.get_method() == b"POST" and parser.get_http_version() == "1.1"
            rest = data[end:] if piece is not data else b""
            self._judge(head, rest, target, fields, -1, usual, parser.should_keep_alive())

    def _await_head(self) -> None:
        """The rest of it has a time and a size."""
        way = self._way
        if self._head_complete:
            self._refuse(way.malformed())
        elif self._is_beyond(self._head):
            self._refuse(way.too_large())
        elif self._head_deadline is None:
            self._head_deadline = way.deadlines.add(way.settings.header_timeout, self._on_late_head)

    def _is_beyond(self, head: bytes) -> bool:
        return len(head) > MAX_TARGET_BYTES + self._max_header_bytes

    def _judge(
        self, head: bytes, rest: bytes, target: bytes, fields: Headers, size: int, usual: bool, keep_alive: bool
    ) -> None:
        """A whole head, from which `head` on is what came, and `rest` what stands behind it; `size`: of the body or -1;
        `usual`: as far as its first line tells."""
        way = self._way
        told = lines.told(fields, _ASKED) or _told_of_repeated(fields)
        length, host, request_id, kind, _ = told
        is_path = target.startswith(b"/")
        if not usual or not length or (is_path and not target.startswith(b"/v1/")):
            self._hand_over(head)
            return
        if host is None:
            self._refuse(way.malformed())
            return
        if len(target) > MAX_TARGET_BYTES:
            self._refuse(way.too_large())
            return
        if request_id is None or not wire_headers.valid_request_id(request_id):
            request_id = wire_headers.new_request_id()
        self._keep_alive = keep_alive
        # It was checked, by `heads` or by llhttp: the length's digits, that it is one number and fits into 64 bits.
        self._await_body(int(length) if size < 0 else size, rest)
        limit = self._max_header_bytes
        # What came is as much or more, but for a space that a field may lack: most fields need not be counted.
        if len(fields) > self._max_headers or (len(head) - len(rest) + len(fields) > limit and _size(fields) > limit):
            self._answer_at_once(way.too_large(), request_id)
        elif not is_path:
            problem = errors.bad_request("The request target must be a path.", close=True)
            self._answer_at_once(problem, request_id)
        elif not targets.valid_host(host):
            self._answer_at_once(way.bad_host(), request_id)
        else:
            self._begin(target, fields, request_id, kind)

    def _answer_at_once(self, problem: errors.GatewayError, request_id: bytes) -> None:
        self._way.count_refusal(problem)
        replies.refuse(self, problem, request_id)
        self._end()

    def _begin(self, target: bytes, fields: Headers, request_id: bytes, kind: bytes | None) -> None:
        path = _API.get(target)
        query = ""
        if path is None:
            path = paths.decode(target)
            query = target.partition(b"?")[2].decode("utf-8", "surrogateescape")
        exchange = Exchange(
            "POST",
            target,
            path,
            query,
            "HTTP/1.1",
            fields,
            self._peer,
            self._peer,
            "https" if self._is_tls else "http",
            request_id,
            self._loop.time(),
            time.time(),
        )
        exchange.content_type = kind
        if self._trusted:
            exchange.trusted = True
            exchange.client = self._way.client_behind_proxies(self._peer, fields)
        incoming = self._incoming
        if not incoming.is_ready():
            self._begin_early(exchange)
            return
        exchange.body = incoming.whole()
        self._passage = self._journey.serve_at_once(exchange, self, self._on_served)

    def _begin_early(self, exchange: Exchange) -> None:
        """Begin before the whole body is here, or without it: it is too large, too late, or one too many."""
        way = self._way
        self._passage = self._journey.begin(exchange, self, self._on_served)
        if self._passage is None:
            return
        if self._incoming.is_too_large():
            self._passage.on_no_body(errors.body_too_large(way.settings.max_body_bytes))
        elif self._is_held():
            self._progress = bodies.Progress(way.deadlines, way.settings.body_timeout, self._on_late_body)

    def _hand_over(self, data: bytes) -> None:
        """From here on the connection is aiohttp's, beginning with these bytes."""
        way = self._way
        transport = self._transport
        self._phase = _ENDING
        self._detach()
        way.lane_left(self)
        connection = way.server()
        transport.set_protocol(connection)
        connection.connection_made(transport)
        if self._pressure.paused:
            connection.pause_writing()
        connection.data_received(data)

    # What the parser calls

    def on_url(self, url: bytes) -> None:
        self._target = self._target + url if self._target else url

    def on_header(self, name: bytes, value: bytes) -> None:
        # llhttp leaves the space behind a value where it is.
        self._fields.append((name.lower(), value.rstrip(b" \t") if value[-1:] in (b" ", b"\t") else value))

    def on_headers_complete(self) -> None:
        self._head_complete = True

    # The body

    def _await_body(self, length: int, rest: bytes) -> None:
        """A request begins, and `rest` is what came behind its head."""
        self._phase = _SERVING
        self._complete = self.started = False
        self._incoming.begin(length)
        if length and rest:
            rest = self._take_body(rest)
        self._waiting = rest

    def _take_body(self, data: bytes) -> bytes:
        """Keep what belongs to the body; what is behind it is returned."""
        incoming = self._incoming
        missing = incoming.missing
        rest = b""
        if len(data) > missing:
            rest = data[missing:]
            data = data[:missing]
        if not self._is_plain:
            parser = self._parser
            assert parser is not None
            parser.feed_data(data)
        incoming.take(data)
        if incoming.missing and self._is_plain:
            # llhttp would have to see it.
            self._receive_in_place()
        return rest

    def _receive_in_place(self) -> None:
        """Have the rest of the body received where it belongs, if it can be."""
        stream = self._stream
        room = self._incoming.room()
        if stream is not None and room is not None:
            stream.receive_into(room, self._incoming.came(), self._on_received)

    def _on_received(self, size: int) -> None:
        """So much of the body came into its place."""
        if self._incoming.received(size):
            self._receive_in_place()
        if self._progress is not None:
            self._on_piece()

    def _forget_body(self) -> None:
        """What has come of it, and what would be received into its place."""
        if self._incoming.forget() and self._stream is not None:
            self._stream.receive_into(None)

    def _on_piece(self) -> None:
        """One more piece came for which the journey waits."""
        assert self._progress is not None
        self._progress.moved()
        if self._is_held() and not self._incoming.missing:
            self._stop_waiting()
            assert self._passage is not None
            self._passage.on_body(self._incoming.whole())

    def _is_held(self) -> bool:
        """Count in what has come; False: that was too much, and the client is told."""
        try:
            self._incoming.hold()
        except errors.GatewayError as problem:
            assert self._passage is not None
            self._passage.on_no_body(problem)
            return False
        return True

    def _stop_waiting(self) -> None:
        if self._progress is not None:
            self._progress.done()
            self._progress = None

    # The request

    def _on_served(self, exchange: Exchange) -> None:
        self._passage = None
        self._stop_waiting()
        self._forget_body()
        self._pressure.flow = None
        self._stop_probing()
        if self._is_lost:
            return
        if not (self._complete and self._keep_alive) or self._way.is_closing or self._half_closed:
            self._end()
            return
        self._idle_since = self._loop.time() if exchange.ended is None else exchange.ended
        if self._waiting:
            # In an iteration of the loop of its own: a client that pipelines many has no more turns than others.
            self._loop.call_soon(self._go_on)
        else:
            self._phase = _BETWEEN
            self._resume()

    def _go_on(self) -> None:
        """Read the request that waits behind the one that was served."""
        if self._phase != _SERVING:
            return
        self._phase = _BETWEEN
        self._resume()
        waiting = self._waiting
        self._waiting = b""
        self._read_head(waiting)

    # What the steps of the request call: `Downstream`

    def end_connection(self) -> None:
        self._keep_alive = False

    def start(self, status: int, head: bytes, framing: Framing, first: bytes = b"") -> None:
        self.started = True
        if self._incoming.missing or framing is _CLOSE or self._state.draining:
            self._keep_alive = False
        end = b"\r\n" if self._keep_alive else b"Connection: close\r\n\r\n"
        if framing is _CHUNKED:
            end = b"Transfer-Encoding: chunked\r\n" + end
        self.write(lines.together(STATUS_LINES[status], head, end, first))

    def write(self, data: bytes) -> None:
        stream = self._stream
        if stream is not None:
            stream.write(data)
            return
        try:
            self._send(data)
        except RuntimeError:
            # uvloop raises for a write to a transport that was closed since this iteration of the loop began.
            if not self._transport.is_closing():
                raise

    def attach(self, flow: Flow | None) -> None:
        self._pressure.flow = flow
        if flow is not None and self._pressure.paused:
            flow.pause_reading()

    def finish(self) -> None:
        self._complete = True

    def abort(self) -> None:
        """What was written is still flushed, so that an error event at the end of a stream arrives."""
        self._keep_alive = False
        self._close()

    # The end

    def _refuse(self, error: errors.GatewayError) -> None:
        """Answer what never became a request."""
        self._way.count_refusal(error)
        self.write(replies.raw_refusal(error, wire_headers.new_request_id()))
        self._linger()

    def _end(self) -> None:
        """No other request follows. If more may come, closing at once would take the answer from the client."""
        incoming = self._incoming
        if (incoming.missing or self._waiting or incoming.is_in_place) and not self._half_closed:
            self._linger()
        else:
            self._phase = _ENDING
            self._close()

    def _linger(self) -> None:
        self._phase = _ENDING
        self._incoming.missing = 0
        self._forget_body()
        self._waiting = self._head = b""
        self._detach()
        transport = self._transport
        if transport.is_closing() or not transport.can_write_eof():
            self._close()
            return
        self._resume()
        transport.write_eof()
        self._ending = self._way.deadlines.add(LINGER, self._close)

    def _close(self) -> None:
        """Close the connection; what was written is flushed before, as long as the client takes it."""
        if self._is_lost:
            # A transport that is gone still tells of bytes that nobody will take: nothing would end the wait for them.
            return
        transport = self._transport
        transport.close()
        if transport.get_write_buffer_size():
            if self._ending is not None:
                self._way.deadlines.cancel(self._ending)
            self._ending = self._way.deadlines.add(CLOSE_PATIENCE, transport.abort)

    def _detach(self) -> None:
        """The lane waits for nothing any more."""
        way = self._way
        for deadline in (self._idle_deadline, self._head_deadline, self._ending):
            if deadline is not None:
                way.deadlines.cancel(deadline)
        self._idle_deadline = self._head_deadline = self._ending = None
        self._stop_probing()
        # Lane and parser hold each other.
        self._parser = None

    def _resume(self) -> None:
        if self._is_paused:
            self._is_paused = False
            self._transport.resume_reading()

    # What time calls

    def _on_idle(self) -> None:
        timeout = self._way.settings.keepalive_timeout
        if self._phase == _BETWEEN and not self._head:
            left = self._idle_since + timeout - self._loop.time()
            if left <= 0:
                self._close()
                return
            timeout = left
        self._idle_deadline = self._way.deadlines.add(timeout, self._on_idle)

    def _on_late_head(self) -> None:
        self._head_deadline = None
        self._refuse(errors.request_timeout("request head"))

    def _on_late_body(self) -> None:
        assert self._passage is not None
        self._passage.on_no_body(errors.request_timeout("request body"))

    def _probe(self, waited: float) -> None:
        """Ask a client that sends no more whether it is still there.

        One that has left looks the same as one that waits for its answer, but its kernel answers an interim response
        with a reset, which the next write sees. Any HTTP/1.1 client may be sent any number of them (RFC 9110, 15.2).
        """
        self._probing = None
        if not self.started:
            self.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            self._probing = self._loop.call_later(2 * waited, self._probe, 2 * waited)

    def _stop_probing(self) -> None:
        if self._probing is not None:
            self._probing.cancel()
            self._probing = None


def _told_of_repeated(fields: Headers) -> list[bytes | None]:
    """The fields of `_TOLD` where one of them stands twice, or something is not for the lane. A length: the lane may go
    on; a host, an id: there is one."""
    names = [name for name, _ in fields]
    named = dict(fields)
    if not _UNUSUAL.isdisjoint(named) or names.count(b"content-type") > 1 or names.count(b"user-agent") > 1:
        return [None] * len(_TOLD)
    return [
        named.get(b"content-length"),
        named.get(b"host") if names.count(b"host") == 1 else None,
        named.get(b"x-request-id") if names.count(b"x-request-id") == 1 else None,
        named.get(b"content-type"),
        named.get(b"user-agent"),
    ]


def _size(fields: Headers) -> int:
    """Bytes, with a colon, a space and a line end for each."""
    return sum(len(name) + len(value) + 4 for name, value in fields)
