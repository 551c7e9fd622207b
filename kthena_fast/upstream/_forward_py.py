"""The source of both twins; `forward` is the contract."""

from __future__ import annotations

import asyncio
import errno
import os
import ssl
from collections.abc import Callable, Collection
from typing import Final, Protocol

from kthena_fast import errors
from kthena_fast.exchange.downstream import Downstream
from kthena_fast.exchange.record import Exchange
from kthena_fast.routing.snapshot import Pod, Server
from kthena_fast.upstream.attempt import Gauge, Outcome, Tally
from kthena_fast.upstream.connection import Connection
from kthena_fast.upstream.deadlines import Deadline, Deadlines
from kthena_fast.upstream.pool import Pool
from kthena_fast.upstream.relay import Relay
from kthena_fast.wire import _lines as lines
from kthena_fast.wire import headers

MOST_UNREACHABLE: Final = 5
"""Connections that may fail for one request."""

# Members of an enum, which cost more to look up than what they decide.
_DONE, _CUT = Outcome.DONE, Outcome.CUT


class Picker(Protocol):
    """Chooses a pod; declared here because `scheduling`, which does it, is a neighbour."""

    def pick(self, server: Server, tried: Collection[Pod]) -> Pod | None: ...


class Request:
    """What goes to an engine, whichever it will be."""

    __slots__ = ("body", "lines", "method", "strip_usage", "target")

    def __init__(self, method: bytes, target: bytes, lines: bytes, body: bytes, strip_usage: bool = False) -> None:
        self.method = method
        self.target = target
        """In origin form; the pod's prefix is put before it."""
        self.lines = lines
        """Header lines, each with its CRLF: all but Host."""
        self.body = body
        self.strip_usage = strip_usage
        """Whether the client did not ask for the stream's usage and must not see it."""

    def head(self, pod: Pod) -> bytes:
        """The request's head for this pod, up to its blank line."""
        target = pod.prefix + self.target if pod.prefix else self.target
        return lines.together(headers.request_line(self.method, target), pod.host_line, self.lines, b"\r\n")


class Forwarder:
    """Forwards requests; one for all of them."""

    __slots__ = ("deadlines", "loop", "picker", "pool")

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        pool: Pool,
        deadlines: Deadlines,
        picker: Picker,
    ) -> None:
        self.loop = loop
        self.pool = pool
        self.deadlines = deadlines
        self.picker = picker

    def forwarding(
        self,
        exchange: Exchange,
        server: Server,
        downstream: Downstream,
        request: Request,
        gauge: Gauge | None = None,
        tally: Tally | None = None,
    ) -> Forwarding:
        """A request that is to be forwarded: `start` or `complete` it."""
        return Forwarding(self, exchange, server, downstream, request, gauge, tally)


class Forwarding:
    """One request on its way to the pods of a server."""

    __slots__ = (
        "_connection",
        "_deadline",
        "_detail",
        "_downstream",
        "_exchange",
        "_forwarder",
        "_gauge",
        "_is_asking",
        "_over",
        "_pod",
        "_relay",
        "_request",
        "_retries",
        "_server",
        "_stale",
        "_tally",
        "_tried",
        "_unreachable",
        "_waiter",
    )

    def __init__(
        self,
        forwarder: Forwarder,
        exchange: Exchange,
        server: Server,
        downstream: Downstream,
        request: Request,
        gauge: Gauge | None,
        tally: Tally | None,
    ) -> None:
        self._forwarder = forwarder
        self._exchange = exchange
        self._server = server
        self._downstream = downstream
        self._request = request
        self._gauge = gauge
        self._tally = tally
        self._tried: list[Pod] = []
        self._unreachable = 0
        self._retries = self._server.retry_attempts
        # the attempt
        self._pod: Pod | None = None
        self._stale = False
        self._is_asking = False
        self._connection: Connection | None = None
        self._relay: Relay | None = None
        self._deadline: Deadline | None = None
        self._detail = ""
        self._over: Callable[[Outcome], object] | None = None
        self._waiter: asyncio.Future[Outcome] | None = None

    def start(self, over: Callable[[Outcome], object]) -> bool:
        """Ask a pod now, if a connection to it waits for work; `over` is told once how that ended, and last of all.

        False: nothing was asked, and `over` is not called; `complete` finds out what there is to wait for. To be called
        as soon as the request was understood.
        """
        pod = self._choose(self._exchange.parsed)
        if pod is None:
            return False
        connection = self._forwarder.pool.take(pod)
        if connection is None:
            return False
        self._over = over
        self._begin(pod)
        self._ask(pod, connection, self._on_over)
        return True

    async def complete(self, outcome: Outcome | None = None) -> None:
        """Make the attempts that are left, after one that was started ended with `outcome`.

        Raises GatewayError only if the client has got nothing; a failure after that is in `exchange.error`, and the
        client's answer was visibly broken off. Cancelled, it closes the engine's connection at once.
        """
        while True:
            if outcome is not None and await self._is_settled(outcome):
                return
            outcome = await self._attempt()

    def abandon(self) -> None:
        """End a started attempt: the engine's connection is closed at once, and nobody is told."""
        self._over = None
        self._end()

    # Between attempts

    async def _is_settled(self, outcome: Outcome) -> bool:
        """Whether nothing is left to be done; GatewayError where that failed, a pause where another pod is next."""
        pause = self._judge(outcome)
        if pause < 0:
            return True
        if pause > 0:
            await asyncio.sleep(pause)
        return False

    def _judge(self, outcome: Outcome) -> float:
        """Seconds until the next attempt; -1: there is none, all is done. Raises the failure that is final."""
        server = self._server
        if outcome is _DONE or outcome is _CUT:
            return -1.0
        if outcome is Outcome.TIMED_OUT:
            raise errors.upstream_timeout(server.timeout or 0.0)
        if outcome is Outcome.MALFORMED:
            raise errors.protocol_error(self._detail)
        if outcome is Outcome.STALE:
            self._stale = True
            self._exchange.sent = False
            return 0.0
        self._pod = None
        if outcome is Outcome.UNREACHABLE:
            self._unreachable += 1
            if self._unreachable == MOST_UNREACHABLE:
                raise errors.connection_failed(self._detail)
            return 0.0
        if self._retries == 0:
            raise errors.connection_failed(self._detail)
        self._retries -= 1
        return server.retry_interval if len(self._tried) < len(server.pods) else 0.0

    def _choose(self, now: float | None = None) -> Pod | None:
        """The pod of the next attempt, which may have been chosen before; None: there is none left."""
        if self._pod is None:
            pod = self._pod = self._forwarder.picker.pick(self._server, self._tried)
            if pod is not None:
                self._tried.append(pod)
                exchange = self._exchange
                exchange.pod = pod.name
                if exchange.forwarded is None:
                    exchange.forwarded = self._forwarder.loop.time() if now is None else now
                exchange.attempts += 1
        return self._pod

    # One attempt

    async def _attempt(self) -> Outcome:
        """Ask one pod; what came of it."""
        pod = self._choose()
        if pod is None:
            raise errors.connection_failed(self._detail) if self._tried else errors.no_ready_pod(self._exchange.model)
        pool = self._forwarder.pool
        connection = None if self._stale else pool.take(pod)
        self._stale = False
        self._begin(pod)
        try:
            if connection is None:
                try:
                    connection = await pool.connect(pod)
                except OSError as problem:
                    self._detail = _said(problem)
                    return Outcome.UNREACHABLE
            self._waiter = self._forwarder.loop.create_future()
            self._ask(pod, connection, self._wake)
            return await self._waiter
        finally:
            # Also after a cancellation: an answer that is not over closes the connection.
            self._end()

    def _begin(self, pod: Pod) -> None:
        self._is_asking = True
        pod.began()
        if self._gauge is not None:
            self._gauge.attempt_began()

    def _ask(self, pod: Pod, connection: Connection, over: Callable[[Outcome], object]) -> None:
        forwarder = self._forwarder
        request = self._request
        may_refuse = self._retries > 0 and len(self._tried) < len(self._server.pods)
        self._connection = connection
        try:
            head = request.head(pod)
            relay = self._relay = Relay(
                forwarder.loop,
                self._exchange,
                self._downstream,
                connection,
                request.strip_usage,
                may_refuse,
                self._tally,
                over,
            )
            timeout = self._server.timeout
            if timeout is not None:
                self._deadline = forwarder.deadlines.add(timeout, relay.on_timeout)
            connection.send(head, request.body, relay)
            self._exchange.sent = True
        except BaseException:
            self._over = None
            self._end()
            raise

    def _wake(self, outcome: Outcome) -> None:
        # Its task may have been cancelled a moment ago.
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(outcome)

    def _on_over(self, outcome: Outcome) -> None:
        over = self._over
        self._over = None
        self._end()
        if over is not None:
            over(outcome)

    def _end(self) -> None:
        """The attempt is over, however: what was taken for it goes back, once."""
        pod = self._pod
        if not self._is_asking or pod is None:
            return
        self._is_asking = False
        if self._deadline is not None:
            self._forwarder.deadlines.cancel(self._deadline)
            self._deadline = None
        relay = self._relay
        if relay is not None:
            self._detail = relay.detail
            self._relay = None
        connection = self._connection
        if connection is not None:
            self._connection = None
            self._forwarder.pool.give_back(pod, connection, self._exchange.upstream_ended)
        pod.ended()
        if self._gauge is not None:
            self._gauge.attempt_ended()


def _said(problem: OSError) -> str:
    if isinstance(problem, TimeoutError):
        return "no connection in time"
    said, number = problem.strerror, problem.errno
    if number is not None and number in errno.errorcode and not isinstance(problem, ssl.SSLError):
        # What is said beside it names the engine's address, which is not the client's to know.
        said = os.strerror(number)
    return (said or str(problem) or type(problem).__name__).lower()
