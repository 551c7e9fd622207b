"""The journey of a request, told once, whichever way it came in.

    read -> peek -> match -> identify -> wait for a turn -> pick -> forward -> settle

1. Matching is pure and comes before any wait: a name that nobody serves never reaches a queue or a metric's label.
2. A request takes a snapshot twice: it matches on one, and its target and pod are drawn on the one of its turn.
3. Whatever happens, a request is settled exactly once: its metrics moved, its line written, its permit given back.
4. A cancellation is the client leaving, unless the drain's time is over (`state.LEAVING`): then it is answered.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from kthena_fast import errors
from kthena_fast.gateway import models, replies
from kthena_fast.gateway.state import LEAVING
from kthena_fast.upstream.forward import Request
from kthena_fast.wire import headers as wire_headers
from kthena_fast.wire import multipart, paths, targets
from kthena_fast.wire import peek as wire_peek

if TYPE_CHECKING:
    from kthena_fast.auth.identity import Identifier
    from kthena_fast.exchange.downstream import Downstream
    from kthena_fast.exchange.record import Exchange
    from kthena_fast.gateway.state import State
    from kthena_fast.queueing.turn import Turn
    from kthena_fast.queueing.turns import Turns
    from kthena_fast.routing.snapshot import Match, Server
    from kthena_fast.telemetry.access_log import AccessLog
    from kthena_fast.telemetry.requests import Meter, RequestMetrics
    from kthena_fast.upstream.forward import Forwarder

log = logging.getLogger(__name__)

BYTES_PER_TOKEN = 4
"""Of English text under today's tokenizers, about; upstream counts the same."""

QUEUE_TIME = b"X-Kthena-Queue-Time: %.3f\r\n"
"""Seconds that the request waited for its turn."""

NO_QUEUE_TIME = QUEUE_TIME % 0.0
"""Of nearly every request."""

Read = Callable[[], Awaitable[bytes]]


class Journey:
    """Takes requests through their steps; one for the process."""

    def __init__(
        self,
        state: State,
        forwarder: Forwarder,
        request_metrics: RequestMetrics,
        access_log: AccessLog,
        turns: Turns | None,
        identifier: Identifier,
        clock: Callable[[], float],
        draw: Callable[[], float],
    ) -> None:
        """`turns` is None where nobody waits. `clock` is the loop's; `draw` gives numbers in [0, 1), which decide among
        weighted targets."""
        self._state = state
        self._forwarder = forwarder
        self._metrics = request_metrics
        self._access_log = access_log
        self._turns = turns
        self._identifier = identifier
        self._clock = clock
        self._draw = draw

    def count_refusal(self, error: errors.GatewayError) -> None:
        """Count what was refused before it became a request."""
        self._metrics.count_refusal(error)

    async def serve(self, exchange: Exchange, downstream: Downstream, read: Read) -> None:
        """Answer one request, whatever happens, and settle it. `read` gives the whole body.

        Raises CancelledError only, where the client has left.
        """
        self._state.begin(exchange)
        meter = self._metrics.begin(exchange)
        try:
            await self._travel(exchange, downstream, read, meter)
        except errors.GatewayError as error:
            _answer(exchange, downstream, error)
        except wire_headers.Unsafe as unsafe:
            _answer(exchange, downstream, errors.bad_request(f"The request cannot be passed on: {unsafe}."))
        except asyncio.CancelledError as cancelled:
            if cancelled.args != (LEAVING,):
                exchange.error = errors.client_gone()
                exchange.status = exchange.status or 499
                raise
            _answer(exchange, downstream, errors.draining())
        except Exception:
            log.exception("a request failed in the gateway: %r", exchange)
            _answer(exchange, downstream, errors.internal())
        finally:
            self._settle(exchange, meter)

    async def _travel(self, exchange: Exchange, downstream: Downstream, read: Read, meter: Meter) -> None:
        problem = targets.problem(exchange.target, exchange.path)
        if problem:
            raise errors.bad_request(problem, close=True)
        if models.is_model_list(exchange.path) and exchange.method in {"GET", "HEAD"}:
            self._list_models(exchange, downstream)
            return
        _require_inference(exchange)
        exchange.body = await read()
        self._require_sync()
        self._peek(exchange)
        match = self._match(exchange)
        meter.parsed()
        # Also where nobody waits: the access log names the user.
        exchange.user = self._identifier.of(exchange)
        if self._turns is None:
            server = self._draw_server(exchange, match)
            await self._forward(exchange, downstream, server, meter, None)
        else:
            await self._take_a_turn(exchange, match, downstream, self._turns, meter)

    async def _take_a_turn(
        self, exchange: Exchange, match: Match, downstream: Downstream, turns: Turns, meter: Meter
    ) -> None:
        """Wait until the user is next, be served, and give the permit back whatever happens."""
        # Also where it is refused.
        exchange.answer_lines = NO_QUEUE_TIME
        turn = turns.enter(exchange, match, exchange.parsed)
        try:
            if turn.server is None:
                await self._wait(exchange, turns, turn)
            assert turn.server is not None
            await self._forward(exchange, downstream, turn.server, meter, turn)
        finally:
            turn.end()

    async def _wait(self, exchange: Exchange, turns: Turns, turn: Turn) -> None:
        try:
            await turns.wait(turn, lambda: self._match_usable(exchange))
        finally:
            # Also where it waited in vain.
            exchange.answer_lines = QUEUE_TIME % exchange.queue_time

    async def _forward(
        self, exchange: Exchange, downstream: Downstream, server: Server, meter: Meter, tally: Turn | None
    ) -> None:
        exchange.server = server.key
        exchange.upstream_model = exchange.model if exchange.lora or server.model is None else server.model
        await self._forwarder.forward(exchange, server, downstream, _request(exchange), meter, tally)

    def _list_models(self, exchange: Exchange, downstream: Downstream) -> None:
        self._require_sync()
        document = models.answer(self._state.snapshot, exchange.path)
        exchange.status = 200
        exchange.bytes_out = replies.send_json(downstream, 200, document, exchange.request_id)

    def _require_sync(self) -> None:
        if not self._state.synced:
            raise errors.not_synced()

    def _peek(self, exchange: Exchange) -> None:
        """Fill in what the body says: model, stream, and how large the prompt is."""
        try:
            boundary = multipart.boundary(exchange.header(b"content-type"))
            if boundary is not None:
                exchange.form = multipart.peek(exchange.body, boundary)
                exchange.model = exchange.form.model
            else:
                exchange.peek = wire_peek.peek(exchange.body)
                exchange.model = wire_peek.require_model(exchange.peek)
                exchange.streaming = exchange.peek.stream
                exchange.prompt_estimate = _estimate(exchange.peek)
        finally:
            exchange.parsed = self._clock()

    def _match(self, exchange: Exchange) -> Match:
        match = self._state.snapshot.match(exchange.model, exchange.path, exchange.headers)
        if match is None:
            raise errors.model_not_found(exchange.model)
        exchange.route = match.route
        exchange.lora = match.lora
        return match

    def _match_usable(self, exchange: Exchange) -> Match:
        match = self._match(exchange)
        if not self._state.snapshot.is_usable(match):
            raise errors.no_ready_pod(exchange.model)
        return match

    def _draw_server(self, exchange: Exchange, match: Match) -> Server:
        server = self._state.snapshot.draw(match, self._draw)
        if server is None:
            raise errors.no_ready_pod(exchange.model)
        return server

    def _settle(self, exchange: Exchange, meter: Meter) -> None:
        exchange.ended = self._clock()
        meter.settle(exchange.ended)
        self._access_log.record(exchange, exchange.ended)
        self._state.settle(exchange)


def _require_inference(exchange: Exchange) -> None:
    if not exchange.path.startswith("/v1/"):
        raise errors.path_not_found(exchange.path)
    if exchange.method != "POST":
        raise errors.method_not_allowed(exchange.method, "POST")


def _estimate(peeked: wire_peek.Peek) -> int:
    """Input tokens, estimated: bytes of text by four, and tokens as they were counted."""
    return -(-peeked.prompt_bytes // BYTES_PER_TOKEN) + peeked.prompt_tokens


def _request(exchange: Exchange) -> Request:
    """What the engine gets; it is the same for every pod that is tried."""
    body, strip_usage = _body_for_engine(exchange)
    lines = wire_headers.to_engine(
        exchange.headers,
        length=len(body),
        request_id=exchange.request_id,
        client=exchange.peer,
        scheme=exchange.scheme,
        trusted_proxy=exchange.trusted,
        # Nobody's credentials are checked yet: they are the engine's to check.
        strip_credentials=False,
    )
    return Request(b"POST", exchange.target, lines, body, strip_usage=strip_usage)


def _body_for_engine(exchange: Exchange) -> tuple[bytes, bool]:
    """The body with what must change spliced in, and whether usage is to be taken out of the stream again.

    A streaming client that did not ask for usage gets none; the gateway asks for it all the same.
    """
    rewrite = exchange.upstream_model if exchange.upstream_model != exchange.model else None
    if exchange.form is not None:
        return (
            multipart.splice(exchange.body, exchange.form, rewrite) if rewrite is not None else exchange.body
        ), False
    peeked = exchange.peek
    assert peeked is not None
    wants_usage = peeked.stream and not peeked.include_usage and exchange.path in paths.USAGE_ON_REQUEST
    if rewrite is None and not wants_usage:
        return exchange.body, False
    return wire_peek.splice(exchange.body, peeked, rewrite, wants_usage), wants_usage


def _answer(exchange: Exchange, downstream: Downstream, error: errors.GatewayError) -> None:
    """Tell the client, where it can still be told; a stream that has begun is cut off."""
    exchange.error = error
    if downstream.started:
        downstream.abort()
        return
    exchange.status = error.status
    exchange.bytes_out = replies.refuse(downstream, error, exchange.request_id, exchange.answer_lines)
