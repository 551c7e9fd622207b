"""The source of both twins; `relay` is the contract.

Rules
1. A head that is beyond doubt is read by `wire.heads` and its body counted. Any other goes through llhttp alone, so
   that where the body begins is known, and llhttp frames the rest.
2. Chunks are passed on as received (`_raw`) for as long as every received piece ends where a chunk ends. So at any
   moment the client stands between two chunks, and from the first piece that does not fit, or that must be edited,
   the rest of the answer is framed anew. There is no way back to raw.
   While it stands there, pieces that are plain chunks and nothing else need no parser: llhttp is between two chunks
   before them and after them, so it is not asked at all.
3. What stands behind a message's end is never passed on, and its connection is never used again.
4. Callbacks of the parser only note; what follows from them is done once the parser has returned.
5. Whoever waits is told last: by then the answer is finished or aborted, and the connection may be lent to another.
6. Relay and parser hold each other until the end, and not beyond: what a request used is freed without the collector.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, Protocol

import httptools

from kthena_fast import errors
from kthena_fast.exchange.downstream import Downstream, Flow, Framing
from kthena_fast.exchange.record import Exchange, Headers
from kthena_fast.upstream import broken
from kthena_fast.upstream.attempt import Outcome, Tally
from kthena_fast.wire import _chunks as chunks
from kthena_fast.wire import _lines as lines
from kthena_fast.wire import _scan as scan
from kthena_fast.wire import headers, heads, sse, usage
from kthena_fast.wire.headers import Unsafe

MAX_HEAD: Final = 64 * 1024
MOST_STATUS: Final = 599
"""What is beyond has no class, and clients may take it for anything (RFC 9110, 15)."""
MOST_DIGITS: Final = 20
"""Of a length: as many as 64 bits can need."""
RETRYABLE: Final = frozenset((429, 502, 503))
LAST_CHUNK: Final = b"0\r\n\r\n"

_TOLD: Final = (b"content-length", b"transfer-encoding", b"content-type", b"content-encoding")
_ASKED: Final = lines.asked(_TOLD)
_BLANK: Final = b"\r\n\r\n"

# Members of an enum, which cost more to look up than what they decide.
_LENGTH, _CHUNKED, _CLOSE = Framing.LENGTH, Framing.CHUNKED, Framing.CLOSE
_DONE: Final = Outcome.DONE


class Source(Flow, Protocol):
    """Where the engine's answer comes from."""

    def on_stream(self) -> None:
        """It is a stream, and has begun."""


class Relay:
    """See `relay.Relay`."""

    __slots__ = (
        "_at_boundary",
        "_attached",
        "_complete",
        "_downstream",
        "_edited",
        "_events",
        "_exchange",
        "_extra",
        "_fields",
        "_flow",
        "_framed",
        "_has_written",
        "_head_complete",
        "_head_end",
        "_head_size",
        "_is_counted",
        "_keep_alive",
        "_left",
        "_loop",
        "_may_refuse",
        "_over",
        "_parser",
        "_pieces",
        "_raw",
        "_reported",
        "_scanner",
        "_size",
        "_started",
        "_status",
        "_streams",
        "_strip_usage",
        "_tail",
        "_tally",
        "_until_close",
        "detail",
        "is_over",
        "is_reusable",
        "outcome",
        "received",
    )

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        exchange: Exchange,
        downstream: Downstream,
        flow: Source,
        strip_usage: bool,
        may_refuse: bool,
        tally: Tally | None,
        over: Callable[[Outcome], object],
    ) -> None:
        self._loop = loop
        self._exchange = exchange
        self._downstream = downstream
        self._flow = flow
        self._strip_usage = strip_usage
        self._may_refuse = may_refuse
        self._tally = tally
        self._over: Callable[[Outcome], object] | None = over
        self.outcome: Outcome | None = None
        self.detail = ""
        self.is_over = False
        self.is_reusable = False
        self.received = False
        # the head
        self._parser: httptools.HttpResponseParser | None = None
        self._fields: Headers
        self._head_size = 0
        self._head_end = b""
        self._head_complete = False
        self._status = 0
        self._keep_alive = False
        self._started = False
        # the body
        self._is_counted = False
        self._left = 0
        self._pieces: list[bytes] = []
        self._scanner: sse.Scanner | None = None
        self._tail: usage.Tail | None = None
        self._streams = False
        self._raw = False
        self._framed = False
        self._until_close = False
        self._at_boundary = True
        self._edited = False
        self._attached = False
        self._complete = False
        self._extra = False
        self._size = 0
        self._has_written = False
        """What the exchange's `first_byte` says, without a look at it for each chunk."""
        self._events = 0
        self._reported: usage.Usage | None = None

    # What the connection calls

    def receive(self, data: bytes) -> None:
        if self.is_over:
            # Whoever waits for the outcome has not taken the connection yet; rule 3.
            self.is_reusable = False
        elif self._started:
            self._pass(data)
        else:
            self.received = True
            self._read_head(data)

    def on_eof(self) -> None:
        """The engine will send no more; to an answer without a length that is the end."""
        if self._started and self._until_close and not self.is_over:
            self._complete = True
            self._pass(b"")

    def on_lost(self, *, reused: bool, why: str) -> None:
        if self.is_over:
            self.is_reusable = False
        elif self._started:
            self._cut(f"the connection ended in the middle of it ({why})")
        else:
            self._give_up(Outcome.LOST if self.received or not reused else Outcome.STALE, why)

    def on_timeout(self) -> bool:
        """The time to the response head has passed; whether that ended the attempt."""
        if self._started or self.is_over:
            return False
        self._give_up(Outcome.TIMED_OUT, "")
        return True

    def abandon(self) -> None:
        """The client left or the task was cancelled: note what was produced until now and tell nobody."""
        self._over = None
        if not self.is_over:
            self._settle(Outcome.CUT)

    # The head

    def _read_head(self, data: bytes) -> None:
        parser = self._parser
        if parser is None:
            end = scan.find(data, _BLANK, 0, len(data)) + 4
            plain = (
                heads.response(lines.part(data, 0, end))
                if 4 <= end <= MAX_HEAD and self._exchange.method != "HEAD"
                else None
            )
            if plain is not None:
                self._read_plain(plain, lines.part(data, end, len(data)))
                return
            self._fields = []
            parser = self._parser = httptools.HttpResponseParser(self)
        while True:
            # The blank line may be cut anywhere: three bytes of it may have come before.
            before = len(self._head_end)
            at = (self._head_end + data).find(b"\r\n\r\n") if before else data.find(b"\r\n\r\n")
            end = at + 4 - before
            piece = data if at < 0 else data[:end]
            self._head_size += len(piece)
            if self._head_size > MAX_HEAD:
                self._give_up(Outcome.MALFORMED, f"its head is larger than {MAX_HEAD} bytes")
                return
            try:
                parser.feed_data(piece)
            except (httptools.HttpParserError, httptools.HttpParserUpgrade) as problem:
                self._give_up(Outcome.MALFORMED, _said(problem))
                return
            if self._head_complete != (at >= 0):
                self._give_up(Outcome.MALFORMED, "its head does not end with a blank line")
                return
            if at < 0:
                self._head_end = (self._head_end + piece)[-3:]
                return
            data = data[end:]
            if self._status >= 200:
                self._begin(data)
                return
            # An interim answer (100, 103) is between the engine and us: the client did not ask for one.
            self._fields = []
            self._head_end = b""
            self._head_complete = self._complete = False
            if not data:
                return

    def _read_plain(self, head: heads.Head, rest: bytes) -> None:
        """A head that is beyond doubt: its body is counted, and llhttp gets nothing of it."""
        self._is_counted = True
        self._head_complete = True
        self._status = head.status
        self._fields = head.fields
        self._keep_alive = head.keep_alive
        self._left = head.length
        self._complete = head.length == 0
        self._begin(rest)

    def _begin(self, rest: bytes) -> None:
        exchange = self._exchange
        exchange.upstream_status = self._status
        if self._may_refuse and self._status in RETRYABLE:
            self._feed(rest)
            # Reading on for the sake of the connection would let a bad engine hold the request.
            self.is_reusable = self._keep_alive and self._complete and not self._extra
            self._give_up(Outcome.REFUSED, f"it answered {self._status}")
            return
        if self._status > MOST_STATUS:
            self._give_up(Outcome.MALFORMED, f"its status is {self._status}")
            return
        try:
            framing = self._choose_framing()
        except Unsafe as unsafe:
            self._give_up(Outcome.MALFORMED, str(unsafe))
            return
        problem = self._feed(rest) if rest else ""
        if problem:
            # Nothing was started: the client can still get a whole answer that says so.
            self._give_up(Outcome.MALFORMED, problem)
            return
        try:
            head = headers.to_client(self._fields, exchange.request_id) + exchange.answer_lines
        except Unsafe as unsafe:
            self._give_up(Outcome.MALFORMED, str(unsafe))
            return
        first = self._to_client(rest)
        self._started = True
        exchange.status = self._status
        if first:
            self._has_written = True
            exchange.first_byte = self._loop.time()
        downstream = self._downstream
        downstream.start(self._status, head, framing, first)
        if self._complete:
            # All of it came at once: that was the moment.
            self._finish(exchange.first_byte)
        else:
            self._attached = True
            if self._streams:
                self._flow.on_stream()
            downstream.attach(self._flow)

    def _choose_framing(self) -> Framing:
        told = lines.told(self._fields, _ASKED)
        if told is None:
            # Of two, the last one counts.
            named = dict(self._fields)
            told = [named.get(name) for name in _TOLD]
            if len([name for name, _ in self._fields if name == b"transfer-encoding"]) > 1:
                raise Unsafe("its transfer coding is named twice")
        length, coding, kind, encoding = told
        has_length = length is not None
        is_chunked = coding is not None
        if coding is not None and coding.lower() != b"chunked":
            # Others than chunked would be removed with the header that names them, and the body be unreadable.
            raise Unsafe("its transfer coding is not chunked")
        if length is not None and len(length) > MOST_DIGITS:
            # llhttp reads any number of zeros before it; clients refuse what is longer than a number can be.
            raise Unsafe(f"its Content-Length has {len(length)} digits")
        # None was accepted; an engine that encodes all the same is passed on and not understood.
        encoded = encoding is not None and encoding.lower() != b"identity"
        if self._exchange.method == "HEAD" or self._status in {204, 304}:
            # llhttp knows the statuses but not the method.
            self._keep_alive = self._keep_alive and self._complete
            self._complete = True
            return _LENGTH
        if kind is not None and not encoded:
            kind = kind.lower()
            if kind.startswith(b"text/event-stream"):
                self._streams = not has_length
                # A length was promised, so nothing may be taken out.
                self._scanner = sse.Scanner(self._strip_usage and not has_length)
            elif kind.startswith(b"application/json"):
                self._tail = usage.Tail()
        if has_length:
            return _LENGTH
        self._until_close = not is_chunked
        if not self._downstream.accepts_chunked:
            return _CLOSE
        self._framed = True
        self._raw = is_chunked
        return _CHUNKED

    # The body

    def _feed(self, data: bytes) -> str:
        """Let the parser have `data`; what is wrong with it, or `""`."""
        if self._is_counted:
            self._count(data)
            return ""
        parser = self._parser
        assert parser is not None
        try:
            parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as problem:
            if not self._complete:
                # What was understood of these bytes goes on, the bytes themselves do not.
                self._edited = True
                return _said(problem)
            self._extra = True
        return ""

    def _count(self, data: bytes) -> None:
        """Take what is left of a body from `data`."""
        if len(data) > self._left:
            self._extra = True
            data = data[: self._left]
        self._left -= len(data)
        if data:
            self.on_body(data)
        if not self._left:
            self._complete = True

    def _pass(self, data: bytes) -> None:
        problem = ""
        taken = self._take_plain(data) if self._raw and self._at_boundary else 0
        if taken and taken == len(data):
            out = data
        else:
            rest = data
            if taken:
                self._keep_plain(data, taken)
                rest = data[taken:]
            if rest:
                problem = self._feed(rest)
            out = self._to_client(data)
        if out:
            if not self._has_written:
                self._has_written = True
                self._exchange.first_byte = self._loop.time()
            self._downstream.write(out)
        if self._tally is not None:
            self._report(self._tally)
        if self._complete:
            self._finish()
        elif problem:
            self._cut(problem)

    def _take_plain(self, data: bytes) -> int:
        """Take the plain chunks at the beginning of `data`, as long as each is an event that goes on as it is; up to
        where."""
        scanner = self._scanner
        at = 0
        while scanner is not None and at < len(data):
            start = chunks.body_start(data, at)
            if start < 0:
                break
            end = chunks.body_end(data, at)
            if not scanner.passes(data, start, end):
                break
            self._size += end - start
            at = end + 2
        return at

    def _keep_plain(self, data: bytes, taken: int) -> None:
        """Note the chunks in `data[:taken]` as the parser would have: what follows may have to be framed anew."""
        at = 0
        while at < taken:
            end = chunks.body_end(data, at)
            self._pieces.append(data[chunks.body_start(data, at) : end])
            at = end + 2

    def _to_client(self, data: bytes) -> bytes:
        """What goes to the client for the pieces that the parser made of `data`; rule 2."""
        pieces = self._pieces
        complete = self._complete
        if complete and self._scanner is not None:
            held = self._scanner.flush()
            if held:
                self._size += len(held)
                self._edited = True
                pieces.append(held)
        if self._raw:
            if not (self._edited or self._extra) and (
                data.endswith(LAST_CHUNK) if complete else self._at_boundary and (not data or data.endswith(b"\r\n"))
            ):
                self._pieces = []
                return data
            self._raw = False
        if not pieces:
            return LAST_CHUNK if complete and self._framed else b""
        out = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        self._pieces = []
        if not self._framed:
            return out
        return b"%x\r\n%b\r\n%b" % (len(out), out, LAST_CHUNK if complete else b"")

    def _report(self, tally: Tally) -> None:
        scanner = self._scanner
        if scanner is None:
            return
        count = scanner.events - self._events
        if count:
            self._events += count
            tally.on_events(count)
        found = scanner.usage
        if found is not None and found is not self._reported:
            self._reported = found
            tally.on_usage(found)

    # The end

    def _finish(self, now: float | None = None) -> None:
        self.is_reusable = self._keep_alive and not self._extra and not self._until_close
        self._settle(_DONE, now)
        self._downstream.finish()
        self._tell()

    def _cut(self, detail: str) -> None:
        """The engine broke off what the client has already got a part of."""
        self.detail = detail
        error = errors.protocol_error(detail)
        self._exchange.error = error
        scanner = self._scanner
        if self._streams and scanner is not None and not scanner.done:
            event = broken.event(error, mid_event=scanner.mid_event)
            self._size += len(event)
            self._downstream.write(b"%x\r\n%b\r\n" % (len(event), event) if self._framed else event)
        self._settle(Outcome.CUT)
        self._downstream.abort()
        self._tell()

    def _give_up(self, outcome: Outcome, detail: str) -> None:
        """End an attempt of which the client has seen nothing."""
        self.detail = detail
        self._end(outcome)
        self._tell()

    def _settle(self, outcome: Outcome, now: float | None = None) -> None:
        exchange = self._exchange
        exchange.upstream_ended = self._loop.time() if now is None else now
        exchange.bytes_out += self._size
        found = None
        if self._scanner is not None:
            exchange.events = self._scanner.events
            found = self._scanner.usage
        elif self._tail is not None:
            found = self._tail.usage()
        if found is not None:
            exchange.input_tokens = found.input_tokens
            exchange.output_tokens = found.output_tokens
        if self._tally is not None:
            self._report(self._tally)
            if found is not None and found is not self._reported:
                self._tally.on_usage(found)
        if self._attached:
            self._attached = False
            self._downstream.attach(None)
        self._end(outcome)

    def _end(self, outcome: Outcome) -> None:
        self.is_over = True
        self._parser = None
        self.outcome = outcome

    def _tell(self) -> None:
        over, outcome = self._over, self.outcome
        self._over = None
        if over is not None and outcome is not None:
            over(outcome)

    # What the parser calls

    def on_message_begin(self) -> None:
        if self._complete:
            self._extra = True

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._head_complete:
            # Trailers were not asked for (TE is not forwarded) and are left out; so that chunk cannot go as it is.
            self._edited = True
        else:
            # llhttp leaves the space behind a value where it is, `heads` does not.
            self._fields.append((name.lower(), value.rstrip(b" \t") if value[-1:] in {b" ", b"\t"} else value))

    def on_headers_complete(self) -> None:
        if not self._complete:
            parser = self._parser
            assert parser is not None
            self._head_complete = True
            self._status = parser.get_status_code()
            self._keep_alive = parser.should_keep_alive()

    def on_chunk_header(self) -> None:
        self._at_boundary = False

    def on_chunk_complete(self) -> None:
        self._at_boundary = True

    def on_body(self, body: bytes) -> None:
        if self._complete:
            return
        out = body
        if self._scanner is not None:
            out = self._scanner.feed(body)
            if out is not body:
                self._edited = True
        elif self._tail is not None:
            self._tail.feed(body)
        if out:
            self._size += len(out)
            self._pieces.append(out)

    def on_message_complete(self) -> None:
        self._complete = True


def _said(problem: Exception) -> str:
    """The parser's own words without the bytes they may quote."""
    return str(problem) or type(problem).__name__
