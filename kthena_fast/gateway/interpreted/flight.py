"""`Flight`: a plain request on its way.

To the queue it is the turn, to its connection the relay, to the lane and to the state of the process the passage. When
it unfolds, the objects are made that the ordinary steps would have made by then, and these go on.
"""

from __future__ import annotations

import logging
import time
import weakref
from bisect import bisect_left
from typing import TYPE_CHECKING, Any, Final

from kthena_fast.core._heap_py import GONE
from kthena_fast.core._ledger_py import LedgerFull
from kthena_fast.exchange._record_py import Exchange
from kthena_fast.gateway._journey_py import BYTES_PER_TOKEN, NO_QUEUE_TIME, Passage
from kthena_fast.gateway.interpreted import body, heads, line
from kthena_fast.queueing._gates_py import Gate, ServerGate
from kthena_fast.queueing._turn_py import MOST_UNITS, Turn, _never_asked
from kthena_fast.queueing._turns_py import UNITS
from kthena_fast.telemetry._requests_py import SUCCESS, Meter
from kthena_fast.upstream._connection_py import IN_USE
from kthena_fast.upstream._forward_py import Forwarding, Request
from kthena_fast.upstream._relay_py import Relay
from kthena_fast.wire import headers as wire_headers
from kthena_fast.wire import peek as wire_peek
from kthena_fast.wire import usage as wire_usage

if TYPE_CHECKING:
    from kthena_fast.gateway.interpreted.lane import Lane
    from kthena_fast.routing.snapshot import Match, Pod, Server
    from kthena_fast.wire.headers import Headers

log = logging.getLogger(__name__)

_END: Final = b"\r\n"
_LAST: Final = b"Connection: close\r\n\r\n"


class Flight(Turn):
    """Made for a head that is plain, with its body: `understand`, `enter` and `set_out`, as long as each says yes."""

    __slots__ = (
        "answer_lines", "asked", "began", "body", "connection", "deadline", "digits", "ended", "images", "is_over",
        "is_reusable", "lane", "lines", "match", "most", "payload", "pod", "prompt_bytes", "prompt_tokens",
        "request_id", "series", "turn_before", "upstream_model", "usage", "user", "wall",
    )  # fmt: skip

    server: Server
    pod: Pod

    def __init__(self, lane: Lane, asked: heads.Request, digits: bytes, payload: bytes) -> None:
        self.lane = lane
        self.asked = asked
        self.digits = digits
        self.body = self.payload = payload
        """What came, and what the engine gets."""
        self.began = lane._loop.time()
        self.wall = time.time()
        self.deadline: Any = None
        self.is_over = False

    # To the engine

    def understand(self) -> bool:
        """Whether all that it asks for is plain, and at hand; nothing is changed."""
        document = body.read(self.body)
        if document is None or document.get("stream") is True:
            return False
        lane, asked = self.lane, self.asked
        model, prompt, journey = document.get("model"), body.prompt(document), lane._journey
        if type(model) is not str or prompt is None:
            return False
        snapshot = lane._state.snapshot
        match = snapshot._direct.get(model) or snapshot.match(model, asked.path, self._fields())
        self.since = lane._loop.time()
        server = None if match is None else self._server(match)
        if match is None or server is None:
            return False
        upstream_model = match.model if match.lora or server.model is None else server.model
        series, metrics = match.series, journey._metrics
        if (
            series is None
            or series.owner is not metrics
            or series.generation != metrics.generation
            or series._asked != asked.path
            or series._upstream_model != upstream_model
        ):
            return False
        turn = self.turn_before = server.turn
        pod = journey._forwarder.picker.pick(server, ())
        kept = None if pod is None else pod.connections
        if pod is None or kept is None or kept.last is None or kept.last.transport.is_closing():
            # Whoever picks next finds the same.
            server.turn = turn
            return False
        self.match, self.series, self.server, self.pod, self.upstream_model = match, series, server, pod, upstream_model
        self.prompt_bytes, self.prompt_tokens, self.images = prompt
        self.most = body.most(document)
        self.user = body.user(document, asked.fields, self.digits, journey._identifier._sources)
        if upstream_model != match.model:
            self.payload = wire_peek.splice(self.body, wire_peek.peek(self.body), upstream_model, False)
        request_id = self.request_id = wire_headers.new_request_id()
        length = b"content-length: %d\r\nx-request-id: " % len(self.payload)
        self.lines = b"".join((asked.copied, length, request_id, lane._origin))
        return True

    def _server(self, match: Match) -> Server | None:
        """Where it goes, and at once; None: that is not certain."""
        journey = self.lane._journey
        turns = journey._turns
        if turns is None:
            self.gate = None
            # Of several one is drawn, and what was drawn must be kept to.
            return self.lane._state.snapshot.draw(match, journey._draw) if len(match.targets) == 1 else None
        queue, now = match.queue, self.since
        if queue is None or queue.owner is not turns or not turns._all_equal:
            return None
        gate = queue.gate
        if type(gate) is not ServerGate or now > gate._until or gate.out >= gate._most or gate.rivals.busy:
            return None
        self.queue, self.gate = queue, gate
        return gate._server

    def enter(self) -> bool:
        """Have it charged and let through its gate, which is open; False: the ledger is full, nothing was changed."""
        turns, gate = self.lane._journey._turns, self.gate
        if turns is None or gate is None:
            self._input = -(-self.prompt_bytes // BYTES_PER_TOKEN) + self.prompt_tokens
            self.answer_lines = b""
            return True
        queue, user, terms, ledger = self.queue, self.user, turns.terms, turns.ledger
        ratios, ring = queue.ratios, ledger.ring
        tokens = self._input = ratios.tokens_of(self.prompt_bytes, self.prompt_tokens, self.images, terms.image_tokens)
        reserved, most = 0, self.most
        known = None if terms.answers is None else ratios.answers.get(user)
        if known is not None:
            reserved = int(known.mean)
            if most is not None and reserved > most:
                reserved = most
        owed = terms._request_weight + terms._input_weight * tokens + terms._output_weight * reserved
        wall = terms.wall()
        if not ring.since <= wall < ring.due:
            ledger.at(wall)
        try:
            queue.heap.admit_as(self, user, owed if owed < MOST_UNITS else MOST_UNITS, 0)  # noqa: FURB136 - no call
        except LedgerFull:
            self.server.turn = self.turn_before
            return False
        if not self.charged:
            ring.touch(self.row)
        self.usage = (ring.totals[self.row] - self.charged) / UNITS
        self._terms, self._reserved, self._output = terms, reserved, 0.0
        gate.out += 1
        queue.called_at = self.since
        meter = queue.meter
        meter._dequeued.number += 1.0
        meter._inflight.number += 1.0
        # The first: no bound is below 0.
        meter._duration._at[0] += 1.0
        self.answer_lines = NO_QUEUE_TIME
        return True

    def set_out(self) -> None:
        """Ask the engine."""
        lane, asked, pod, series = self.lane, self.asked, self.pod, self.series
        journey = lane._journey
        journey._metrics.active.number += 1.0
        series.downstream.number += 1.0
        series.upstream.number += 1.0
        lane._state.serving[self] = self
        lane._passage = self  # type: ignore[assignment]  # it has what is called of one
        kept = pod.connections
        connection = self.connection = kept.last
        kept.last, kept.idle = connection.before, kept.idle - 1
        connection.before, connection.idle_since = None, IN_USE
        pod.in_flight += 1
        if pod.census is not None:
            pod.census.move(pod.place, pod.in_flight - 1, pod.in_flight)
        connection._relay = self
        connection._served += 1
        try:
            timeout = self.server.timeout
            if timeout is not None:
                self.deadline = journey._forwarder.deadlines.add(timeout, self.on_timeout)
            first = asked.line if not pod.prefix else wire_headers.request_line(b"POST", pod.prefix + asked.target)
            connection.transport.write(b"".join((first, pod.host_line, self.lines, _END, self.payload)))
        except Exception as problem:  # noqa: BLE001 - whatever it is, the client is told
            passage, _ = self._unfold()
            passage.exchange.sent = False
            assert passage.forwarding is not None
            passage.forwarding.abandon()
            journey.refuse(passage, problem)

    # What the connection calls

    def receive(self, data: bytes) -> None:
        if not self._finish(data):
            _, relay = self._unfold()
            relay.receive(data)

    def on_eof(self) -> None:
        """Nothing has begun that this could be the end of."""

    def on_lost(self, *, reused: bool, why: str) -> None:
        _, relay = self._unfold()
        # It is told of that, and of nothing more.
        self.connection._relay = None
        relay.on_lost(reused=reused, why=why)

    def abandon(self) -> None:
        """Its answer is whole; that the connection cannot be kept changes nothing."""

    # What ends it before its time

    def on_timeout(self) -> bool:
        if self.is_over:
            return False
        _, relay = self._unfold()
        return relay.on_timeout()

    def cancel(self, reason: str = "") -> None:
        passage, _ = self._unfold()
        passage.cancel(reason)

    # From the engine

    def _finish(self, data: bytes) -> bool:
        """Pass a plain answer on, and settle all; False: it is not plain, and nothing was changed."""
        lane = self.lane
        last = lane._answered()
        found = heads.find(data, last, heads.answer)
        if found is None:
            return False
        head, digits, answer = found
        if digits != b"%d" % len(answer):
            return False
        usage = body.usage(answer) if head.status < 400 else None
        if usage is None or usage == (0, 0):
            return False
        if head is not last:
            lane._answered = weakref.ref(head)
        state = lane._state
        if state.draining:
            lane._keep_alive = False
        now = self.ended = lane._loop.time()
        end = _END if lane._keep_alive else _LAST
        lane.started = True
        try:
            lane._send(b"".join((head.lines, digits, head.rest, self.request_id, _END, self.answer_lines, end, answer)))
        except Exception as failure:
            # As `Lane.write` does.
            if not (isinstance(failure, RuntimeError) and lane._transport.is_closing()):
                self._break_off(head.status, answer)
                raise
        self.is_over = lane._complete = True
        self._give_back(head.keep_alive)
        try:
            self._settle(head.status, *usage, len(answer))
        except Exception:
            log.exception("a request was not settled: %r", self)
        del state.serving[self]
        if state._is_awaited:
            state.settle(self)
        lane.on_answered(now, len(self.body))
        return True

    def _break_off(self, status: int, answer: bytes) -> None:
        """Nobody knows what the client has got of this answer, which is cut off where its engine's connection ends."""
        passage, relay = self._unfold()
        exchange = passage.exchange
        exchange.upstream_status = exchange.status = status
        exchange.first_byte = self.ended
        relay.received = relay._started = True
        relay._size, relay._tail = len(answer), wire_usage.Tail()
        relay._tail.feed(answer)

    def _give_back(self, keep_alive: bool) -> None:
        """The engine's connection, and the pod."""
        forwarder, pod, connection = self.lane._journey._forwarder, self.pod, self.connection
        self.series.upstream.number -= 1.0
        if self.deadline is not None:
            forwarder.deadlines.cancel(self.deadline)
            # Each holds the other.
            self.deadline = None
        pool, kept, transport = forwarder.pool, pod.connections, connection.transport
        if (
            keep_alive
            and not transport.is_closing()
            and not transport.get_write_buffer_size()
            and not kept.is_retired
            and kept.idle < pool._most_idle
            and pool._sweeper is not None
        ):
            connection._relay, connection.idle_since = None, self.ended
            connection.before = kept.last
            kept.last, kept.idle = connection, kept.idle + 1
        else:
            self.is_reusable = keep_alive
            pool.give_back(pod, connection, self.ended)
        pod.in_flight -= 1
        if pod.census is not None:
            pod.census.move(pod.place, pod.in_flight + 1, pod.in_flight)

    def _settle(self, status: int, read: int, produced: int, size: int) -> None:
        """Its account, the metrics and the line in the access log."""
        journey, series, now = self.lane._journey, self.series, self.ended
        metrics, access_log = journey._metrics, journey._access_log
        if self.gate is not None:
            self._end_turn(self.gate, read, produced)
        series.downstream.number -= 1.0
        metrics.active.number -= 1.0
        if series.generation != metrics.generation or series._status != status or series._error_type != SUCCESS:
            # Where a name has left since, what was counted by it is no longer what is shown.
            metrics.observe_end(self._record(status, read, produced, size), now)
        else:
            took, durations = now - self.began, series._duration
            durations._at[bisect_left(durations._bounds, took)] += 1.0
            durations.sum += took
            series._requests.number += 1.0
            series._input.number += read or self._input
            series._output.number += produced
        if access_log._writer is not None:
            written = line.text(self, status, read, produced, size)
            if written is None:
                written = access_log._line(self._record(status, read, produced, size), now)
            access_log._writer.write(written)

    def _end_turn(self, gate: Gate, read: int, produced: int) -> None:
        """`Turn.end`, where the engine has told its usage."""
        queue, terms = self.queue, self._terms
        turns = terms.turns
        ledger, ratios = turns.ledger, queue.ratios
        try:
            size = 0 if self.images else self.prompt_bytes
            ratios.learn_of(size, read, produced, 0, self.ended - self.since)
            if terms.answers is not None:
                terms.answers.learn(ratios.answers, self.user, produced)
            owed = terms._request_weight + terms._input_weight * (read or self._input) + terms._output_weight * produced
            units = (owed if owed < MOST_UNITS else MOST_UNITS) - self.charged  # noqa: FURB136 - no call
            ring, wall = ledger.ring, terms.wall()
            if not ring.since <= wall < ring.due:
                ledger.at(wall)
            if units > 0:
                ring._add(self.row, units)
            elif units:
                ring.subtract(self.row, -units)
        finally:
            gate.out -= 1
            self.state = GONE
            ledger.unpin_row(self.row)
            queue.meter._inflight.number -= 1.0
            if gate.rivals.busy:
                turns.call_waiting(gate)

    # What it stands for

    def _fields(self) -> Headers:
        """Those of its head."""
        fields = self.asked.fields.copy()
        fields[self.asked.length_at] = (b"content-length", self.digits)
        return fields

    def _exchange(self) -> Exchange:
        """Its record, up to the engine."""
        lane, asked, match = self.lane, self.asked, self.match
        peer, scheme = lane._peer, "https" if lane._is_tls else "http"
        exchange = Exchange(
            "POST", asked.target, asked.path, "", "HTTP/1.1", self._fields(), peer, peer, scheme, self.request_id,
            self.began, self.wall,
        )  # fmt: skip
        exchange.content_type = asked.content_type
        exchange.body = self.body
        exchange.peek = wire_peek.peek(self.body)
        exchange.parsed = exchange.forwarded = self.since
        exchange.kept = match
        exchange.model, exchange.route, exchange.lora = match.model, match.route, match.lora
        exchange.user = self.user
        exchange.prompt_estimate = self._input
        exchange.server, exchange.pod, exchange.upstream_model = self.server.key, self.pod.name, self.upstream_model
        exchange.attempts = 1
        exchange.sent = True
        exchange.answer_lines = self.answer_lines
        if self.gate is not None:
            exchange.policy = self._terms.turns.policy
            exchange.usage_at_admission, exchange.share_at_admission = self.usage, 1.0
        return exchange

    def _record(self, status: int, read: int, produced: int, size: int) -> Exchange:
        """The whole of it."""
        exchange = self._exchange()
        exchange.upstream_status = exchange.status = status
        exchange.input_tokens, exchange.output_tokens, exchange.bytes_out = read, produced, size
        exchange.first_byte = exchange.upstream_ended = exchange.ended = self.ended
        return exchange

    def _unfold(self) -> tuple[Passage, Relay]:
        """Have the ordinary steps go on from here: their passage, and their relay for the answer."""
        lane, server, connection = self.lane, self.server, self.connection
        journey = lane._journey
        exchange = self._exchange()
        meter = Meter(journey._metrics, exchange)
        # It was counted when it came.
        journey._metrics.active.number -= 1.0
        meter._downstream, meter._upstream = self.series.downstream, self.series.upstream
        passage = Passage(journey, exchange, lane, meter)
        passage.server, passage.done = server, lane._on_served
        if self.gate is not None:
            self.exchange, self.find, self.future = exchange, _never_asked, None
            passage.turn = self
        turn = passage.turn
        request = Request(b"POST", self.asked.target, self.lines, self.payload)
        forwarding = Forwarding(journey._forwarder, exchange, server, lane, request, meter, turn)
        passage.forwarding = forwarding
        forwarding._over = passage.on_over
        forwarding._pod, forwarding._connection, forwarding._is_asking = self.pod, connection, True
        forwarding._tried.append(self.pod)
        may_refuse = server.retry_attempts > 0 and len(server.pods) > 1
        relay = Relay(lane._loop, exchange, lane, connection, False, may_refuse, turn, forwarding._on_over)
        forwarding._relay = connection._relay = relay
        if self.deadline is not None:
            forwarding._deadline, self.deadline = self.deadline, None
            forwarding._deadline._callback = relay.on_timeout
        lane.on_unfolded(len(self.body))
        del lane._state.serving[self]
        lane._state.serving[exchange] = lane._passage = passage
        return passage, relay
