"""The step that takes a request to an engine: which pod, how often, and what becomes of each failure.

Attempts
1. A pod is tried once for a request. Its connection may have been kept from an earlier request and be closed by the
   engine just as it is used again; before the first byte of a response that is nobody's failure, and the same pod is
   asked once more over a new connection. It counts as no retry, or an engine that keeps connections for five seconds
   would show up as 502 where there is one pod or no retry is allowed.
2. Where no connection can be had, nothing was written, and the next pod is tried at once: up to five, always.
3. A connection that ends before the response head, and an engine's 429, 502 or 503, are tried on another pod up to
   `retry_attempts` times, each after `retry_interval`.
4. Everything else is final. A timeout is never tried again: it would repeat the generation under overload.
5. An engine's answer is shown as it is when no retry is left or no other pod is.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from typing import Final, Protocol

from kthena_fast import errors
from kthena_fast.exchange.downstream import Downstream
from kthena_fast.exchange.record import Exchange
from kthena_fast.routing.snapshot import Pod, Server
from kthena_fast.upstream.attempt import Gauge, Outcome, Tally
from kthena_fast.upstream.deadlines import Deadlines
from kthena_fast.upstream.pool import Pool
from kthena_fast.upstream.relay import Relay
from kthena_fast.wire import headers

MOST_UNREACHABLE: Final = 5
"""Connections that may fail for one request."""


class Picker(Protocol):
    """Chooses a pod; declared here because `scheduling`, which does it, is a neighbour."""

    def pick(self, server: Server, tried: Collection[Pod]) -> Pod | None: ...


class Request:
    """What goes to an engine, whichever it will be."""

    __slots__ = ("body", "lines", "method", "strip_usage", "target")

    def __init__(self, method: bytes, target: bytes, lines: bytes, body: bytes, *, strip_usage: bool = False) -> None:
        self.method = method
        self.target = target
        """In origin form; the pod's prefix is put before it."""
        self.lines = lines
        """Header lines, each with its CRLF: all but Host."""
        self.body = body
        self.strip_usage = strip_usage
        """Whether the client did not ask for the stream's usage and must not see it."""

    def head(self, pod: Pod) -> bytes:
        line = headers.request_line(self.method, pod.prefix + self.target)
        return b"%bHost: %b\r\n%b\r\n" % (line, pod.authority, self.lines)


class Forwarder:
    """Forwards requests; one for all of them."""

    __slots__ = ("_deadlines", "_loop", "_picker", "_pool")

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        pool: Pool,
        deadlines: Deadlines,
        picker: Picker,
    ) -> None:
        self._loop = loop
        self._pool = pool
        self._deadlines = deadlines
        self._picker = picker

    async def forward(
        self,
        exchange: Exchange,
        server: Server,
        downstream: Downstream,
        request: Request,
        gauge: Gauge | None = None,
        tally: Tally | None = None,
    ) -> None:
        """Have one of the server's pods answer, and its answer passed to `downstream` to the end.

        Raises GatewayError only if the client has got nothing; a failure after that is in `exchange.error`, and the
        client's answer was visibly broken off. Cancelled, it closes the engine's connection at once.
        """
        tried: list[Pod] = []
        unreachable = 0
        retries = server.retry_attempts
        failure: errors.GatewayError | None = None
        while (pod := self._picker.pick(server, tried)) is not None:
            tried.append(pod)
            exchange.pod = pod.name
            if exchange.forwarded is None:
                exchange.forwarded = self._loop.time()
            exchange.attempts += 1
            may_refuse = retries > 0 and len(tried) < len(server.pods)
            outcome, detail = await self._attempt(exchange, server, pod, downstream, request, may_refuse, gauge, tally)
            if outcome is Outcome.DONE or outcome is Outcome.CUT:
                return
            if outcome is Outcome.TIMED_OUT:
                raise errors.upstream_timeout(server.timeout or 0.0)
            if outcome is Outcome.MALFORMED:
                raise errors.protocol_error(detail)
            failure = errors.connection_failed(detail)
            if outcome is Outcome.UNREACHABLE:
                unreachable += 1
                if unreachable == MOST_UNREACHABLE:
                    break
            else:
                if retries == 0:
                    break
                retries -= 1
                if len(tried) < len(server.pods) and server.retry_interval > 0:
                    await asyncio.sleep(server.retry_interval)
        raise failure or errors.no_ready_pod(exchange.model)

    async def _attempt(
        self,
        exchange: Exchange,
        server: Server,
        pod: Pod,
        downstream: Downstream,
        request: Request,
        may_refuse: bool,
        gauge: Gauge | None,
        tally: Tally | None,
    ) -> tuple[Outcome, str]:
        """Ask one pod; what came of it, and why it was not better."""
        head = request.head(pod)
        pod.in_flight += 1
        if gauge is not None:
            gauge.attempt_began()
        try:
            connection = self._pool.take(pod)
            while True:
                if connection is None:
                    try:
                        connection = await self._pool.connect(pod)
                    except OSError as problem:
                        return Outcome.UNREACHABLE, _said(problem)
                relay = Relay(self._loop, exchange, downstream, connection, request.strip_usage, may_refuse, tally)
                deadline = None if server.timeout is None else self._deadlines.add(server.timeout, relay.on_timeout)
                try:
                    connection.send(head, request.body, relay)
                    exchange.sent = True
                    outcome = await relay.outcome
                finally:
                    if deadline is not None:
                        self._deadlines.cancel(deadline)
                    # Also after a cancellation: an answer that is not over closes the connection.
                    self._pool.give_back(pod, connection)
                if outcome is not Outcome.STALE:
                    return outcome, relay.detail
                exchange.sent = False
                connection = None
        finally:
            pod.in_flight -= 1
            if gauge is not None:
                gauge.attempt_ended()


def _said(problem: OSError) -> str:
    if isinstance(problem, TimeoutError):
        return "no connection in time"
    return (problem.strerror or str(problem) or type(problem).__name__).lower()
