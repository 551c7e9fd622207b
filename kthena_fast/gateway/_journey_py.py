"""The source of both twins; `journey` is the contract."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from typing import TYPE_CHECKING, Any, Final

from kthena_fast import errors
from kthena_fast.exchange.downstream import LEAVING
from kthena_fast.gateway import models, replies
from kthena_fast.upstream.attempt import Outcome
from kthena_fast.upstream.forward import Request
from kthena_fast.wire import headers as wire_headers
from kthena_fast.wire import multipart, paths, targets
from kthena_fast.wire import peek as wire_peek
from kthena_fast.wire.headers import Unsafe

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
    from kthena_fast.upstream.forward import Forwarder, Forwarding

log = logging.getLogger(__name__)

BYTES_PER_TOKEN: Final = 4
"""Of English text under today's tokenizers, about; upstream counts the same."""

QUEUE_TIME: Final = b"X-Kthena-Queue-Time: %.3f\r\n"
"""Seconds that the request waited for its turn."""

NO_QUEUE_TIME: Final = QUEUE_TIME % 0.0
"""Of nearly every request."""

_JSON: Final = b"application/json"
_MODELS: Final = "/v1/models"

# Members of an enum, which cost more to look up than what they decide.
_DONE, _CUT = Outcome.DONE, Outcome.CUT

Read = Callable[[], Awaitable[bytes]]


class Passage:
    """One request on its journey: what it holds, and what ends it."""

    __slots__ = (
        "_journey",
        "_rest",
        "done",
        "downstream",
        "exchange",
        "forwarding",
        "is_settled",
        "meter",
        "server",
        "task",
        "turn",
    )

    def __init__(self, journey: Journey, exchange: Exchange, downstream: Downstream, meter: Meter) -> None:
        self._journey = journey
        self.exchange = exchange
        self.downstream = downstream
        self.meter = meter
        self.turn: Turn | None = None
        self.server: Server | None = None
        self.forwarding: Forwarding | None = None
        self.is_settled = False
        self.task: asyncio.Task[Any] | None = None
        """What serves it; None while only the engine is waited for."""
        self.done: Callable[[Exchange], object] | None = None
        self._rest: Coroutine[Any, Any, None] | None = None

    def cancel(self, reason: str = "") -> None:
        """End it where it is: its client has left, or with `LEAVING` the drain's time is over."""
        if self.task is not None:
            self.task.cancel(reason)
        elif not self.is_settled:
            if self.forwarding is not None:
                self.forwarding.abandon()
            self._journey.on_cancelled(self, reason)
            self._journey.settle(self)

    def on_body(self, body: bytes) -> None:
        """What it was begun without has come."""
        self.exchange.body = body
        self._journey.proceed(self)

    def on_no_body(self, problem: errors.GatewayError) -> None:
        """It does not come, or is not taken."""
        self._journey.refuse(self, problem)

    def end_turn(self) -> None:
        """Settle its account by what the engine did, before the record says what the gateway made of that."""
        if self.turn is not None:
            self.turn.end()
            self.turn = None

    def on_over(self, outcome: Outcome) -> None:
        """An attempt that was started at once has ended."""
        if outcome is _DONE or outcome is _CUT:
            self._journey.settle(self, self.exchange.upstream_ended)
        else:
            assert self.forwarding is not None
            self.go_on(self.forwarding.complete(outcome))

    def go_on(self, rest: Coroutine[Any, Any, None]) -> None:
        """Have a task take the steps that are left."""
        self._rest = rest
        self.task = asyncio.get_running_loop().create_task(self._journey.finish(self, rest))
        self.task.add_done_callback(self._on_task_done)

    def _on_task_done(self, task: asyncio.Task[None]) -> None:
        self.task = None
        if self._rest is not None:
            # A task that is cancelled before its first step takes none, and closes nothing.
            self._rest.close()
            self._rest = None
        if not self.is_settled:
            self._journey.on_cancelled(self, "")
            self._journey.settle(self)


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
        passage = self._begin(exchange, downstream)
        passage.task = asyncio.current_task()
        await self.finish(passage, self._travel(passage, read))

    async def _travel(self, passage: Passage, read: Read) -> None:
        exchange = passage.exchange
        if self._is_model_list(exchange):
            self._list_models(passage)
            return
        _require_inference(exchange)
        exchange.body = await read()
        self._enter(passage, self._understand(passage))
        await self._wait_and_forward(passage)

    async def _wait_and_forward(self, passage: Passage) -> None:
        if passage.server is None:
            await self._wait(passage)
        await self._set_out(passage).complete()

    def serve_at_once(
        self, exchange: Exchange, downstream: Downstream, done: Callable[[Exchange], object]
    ) -> Passage | None:
        """The same for a request whose body has come, without waiting for anything; `done` is called once it is
        settled. What is returned may be cancelled; None: it is settled already."""
        passage = self.begin(exchange, downstream, done)
        if passage is None:
            return None
        self.proceed(passage)
        return None if passage.is_settled else passage

    def begin(self, exchange: Exchange, downstream: Downstream, done: Callable[[Exchange], object]) -> Passage | None:
        """The steps before the body, as `serve_at_once` takes them; what is returned waits for `Passage.on_body` or
        `Passage.on_no_body`."""
        passage = self._begin(exchange, downstream)
        passage.done = done
        try:
            if not self._is_model_list(exchange):
                _require_inference(exchange)
                return passage
            self._list_models(passage)
        except Exception as problem:  # noqa: BLE001 - whatever it is, the client is told
            self._fail(passage, problem)
        self.settle(passage)
        return None

    def proceed(self, passage: Passage) -> None:
        """The steps behind it."""
        try:
            self._enter(passage, self._understand(passage))
            if passage.server is None:
                passage.go_on(self._wait_and_forward(passage))
                return
            forwarding = self._set_out(passage)
            if not forwarding.start(passage.on_over):
                passage.go_on(forwarding.complete())
        except Exception as problem:  # noqa: BLE001 - whatever it is, the client is told
            self.refuse(passage, problem)

    def refuse(self, passage: Passage, problem: Exception) -> None:
        """Tell the client, and settle it."""
        self._fail(passage, problem)
        self.settle(passage)

    async def finish(self, passage: Passage, rest: Coroutine[Any, Any, None]) -> None:
        """Take the steps that are left, whatever comes of them."""
        try:
            await rest
        except asyncio.CancelledError as cancelled:
            if not self.on_cancelled(passage, *cancelled.args):
                raise
        except Exception as problem:  # noqa: BLE001 - whatever it is, the client is told
            self._fail(passage, problem)
        finally:
            self.settle(passage)

    # The steps

    def _begin(self, exchange: Exchange, downstream: Downstream) -> Passage:
        passage = Passage(self, exchange, downstream, self._metrics.begin(exchange))
        self._state.begin(exchange, passage)
        return passage

    def _is_model_list(self, exchange: Exchange) -> bool:
        problem = targets.problem(exchange.target, exchange.path)
        if problem:
            raise errors.bad_request(problem, close=True)
        return (
            exchange.path.startswith(_MODELS)
            and models.is_model_list(exchange.path)
            and exchange.method in {"GET", "HEAD"}
        )

    def _list_models(self, passage: Passage) -> None:
        self._require_sync()
        exchange = passage.exchange
        document = models.answer(self._state.snapshot, exchange.path)
        exchange.status = 200
        exchange.bytes_out = replies.send_json(passage.downstream, 200, document, exchange.request_id)

    def _require_sync(self) -> None:
        if self._state.detail:
            raise errors.not_synced()

    def _understand(self, passage: Passage) -> Match:
        """What the request wants, of whom it is, and which rule takes it."""
        exchange = passage.exchange
        self._require_sync()
        self._peek(exchange)
        match = self._match(exchange)
        passage.meter.parsed()
        # Also where nobody waits: the access log names the user.
        exchange.user = self._identifier.of(exchange)
        return match

    def _peek(self, exchange: Exchange) -> None:
        """Fill in what the body says: model, stream, and how large the prompt is."""
        try:
            kind = exchange.content_type
            boundary = None if kind is None or kind == _JSON else multipart.boundary(kind)
            if boundary is not None:
                exchange.form = multipart.peek(exchange.body, boundary)
                exchange.model = exchange.form.model
            else:
                peeked = wire_peek.peek(exchange.body)
                exchange.peek = peeked
                exchange.model = wire_peek.require_model(peeked)
                exchange.streaming = peeked.stream
                if self._turns is None:
                    exchange.prompt_estimate = _estimate(peeked)
        finally:
            exchange.parsed = self._clock()

    def _match(self, exchange: Exchange) -> Match:
        snapshot = self._state.snapshot
        match = snapshot.match(exchange.model, exchange.path, exchange.headers)
        if match is None:
            raise errors.model_not_found(exchange.model)
        exchange.kept = match
        # The same name, but the object that every table has it by: what is looked up from here on is found by identity.
        exchange.model = match.model
        exchange.route = match.route
        exchange.lora = match.lora
        return match

    def _enter(self, passage: Passage, match: Match) -> None:
        """Find the server, or a place in the queue for one."""
        if self._turns is None:
            passage.server = self._draw_server(passage.exchange, match)
        else:
            # Also where it is refused.
            passage.exchange.answer_lines = NO_QUEUE_TIME
            turn = self._turns.enter(passage.exchange, match, passage.exchange.parsed)
            passage.turn = turn
            passage.server = turn.server

    async def _wait(self, passage: Passage) -> None:
        """Return when the user is next."""
        exchange = passage.exchange
        assert self._turns is not None
        assert passage.turn is not None
        try:
            await self._turns.wait(passage.turn, lambda: self._match_usable(exchange))
        finally:
            # Also where it waited in vain.
            exchange.answer_lines = QUEUE_TIME % exchange.queue_time
        passage.server = passage.turn.server

    def _match_usable(self, exchange: Exchange) -> Match:
        """Nobody begins to wait for a server that has no pod."""
        match = self._match(exchange)
        if not self._state.snapshot.is_usable(match):
            raise errors.no_ready_pod(exchange.model)
        return match

    def _draw_server(self, exchange: Exchange, match: Match) -> Server:
        server = self._state.snapshot.draw(match, self._draw)
        if server is None:
            raise errors.no_ready_pod(exchange.model)
        return server

    def _set_out(self, passage: Passage) -> Forwarding:
        exchange = passage.exchange
        server = passage.server
        assert server is not None
        exchange.server = server.key
        exchange.upstream_model = exchange.model if exchange.lora or server.model is None else server.model
        passage.forwarding = self._forwarder.forwarding(
            exchange, server, passage.downstream, _request(exchange), passage.meter, passage.turn
        )
        return passage.forwarding

    # The end

    def on_cancelled(self, passage: Passage, reason: str = "") -> bool:
        """Note why; whether that is answered."""
        passage.end_turn()
        if reason == LEAVING:
            _answer(passage.exchange, passage.downstream, errors.draining())
            return True
        exchange = passage.exchange
        exchange.error = errors.client_gone()
        exchange.status = exchange.status or 499
        return False

    def _fail(self, passage: Passage, problem: Exception) -> None:
        passage.end_turn()
        exchange = passage.exchange
        if isinstance(problem, errors.GatewayError):
            error = problem
        elif isinstance(problem, Unsafe):
            error = errors.bad_request(f"The request cannot be passed on: {problem}.")
        else:
            log.error("a request failed in the gateway: %r", exchange, exc_info=problem)
            error = errors.internal()
        _answer(exchange, passage.downstream, error)

    def settle(self, passage: Passage, at: float | None = None) -> None:
        """Give back what it holds, count it and write its line; a second time does nothing. `at`: when it ended, for
        who knows it."""
        if passage.is_settled:
            return
        passage.is_settled = True
        exchange = passage.exchange
        try:
            passage.end_turn()
            now = self._clock() if at is None else at
            exchange.ended = now
            passage.meter.settle(now)
            self._access_log.record(exchange, now)
        except Exception:
            log.exception("a request was not settled: %r", exchange)
        passage.forwarding = None
        self._state.settle(exchange)
        done = passage.done
        passage.done = None
        if done is not None:
            done(exchange)


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
        len(body),
        exchange.request_id,
        exchange.peer,
        exchange.scheme,
        exchange.trusted,
        # Nobody's credentials are checked yet: they are the engine's to check.
        False,
    )
    return Request(b"POST", exchange.target, lines, body, strip_usage)


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
