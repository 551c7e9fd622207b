"""`Turn`: one request's wait, its permit, and its account with the ledger."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kthena_fast.core.heap import Ticket
from kthena_fast.wire import paths

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from kthena_fast.errors import GatewayError
    from kthena_fast.exchange.record import Exchange
    from kthena_fast.queueing.gates import Gate
    from kthena_fast.queueing.queue import Queue
    from kthena_fast.queueing.turns import Turns
    from kthena_fast.routing.snapshot import Match, Server
    from kthena_fast.wire.usage import Usage

MOST_UNITS = (1 << 40) - 1
"""What the ledger takes in one charge; no answer is that long, but an engine may claim anything."""

GENERATES = frozenset({"chat", "completions", "responses", "messages"})
"""Dialects whose answers are text: where usage is missing, their length tells of tokens."""


class Turn(Ticket):
    """Made by `Turns.wait`: what waits in the heap, and what the relay reports to (`upstream.attempt.Tally`).

    What it owes is always `request + input + max(output, reserved)`, in units; each step charges the difference.
    """

    __slots__ = (
        "_input",
        "_output",
        "_reserved",
        "_turns",
        "exchange",
        "find",
        "future",
        "gate",
        "queue",
        "server",
        "since",
    )

    def __init__(
        self, turns: Turns, queue: Queue, exchange: Exchange, find: Callable[[], Match], since: float, image_tokens: int
    ) -> None:
        Ticket.__init__(self)
        self._turns = turns
        self.queue = queue
        self.exchange = exchange
        self.find = find
        """Matches it anew."""
        self.since = since
        """When the wait began."""
        self.future: asyncio.Future[None] | None = None
        """Done once it may go; None if it never had to wait."""
        self.gate: Gate | None = None
        """Whose permit it holds."""
        self.server: Server | None = None
        self._input = exchange.prompt_estimate = queue.ratios.input_tokens(exchange, image_tokens)
        self._output: float = 0
        answers = turns.answers
        mean = 0.0 if answers is None else answers.mean(exchange.model, exchange.user)
        # The user's recent mean answer, charged in advance, within what this request allows.
        self._reserved = self._within_limit(int(mean)) if mean else 0

    # What `Turns` calls

    def admit(self, gate: Gate, server: Server) -> None:
        """It was called, and charged for what it brings along: let it go."""
        self.gate = gate
        self.server = server
        if self.future is not None and not self.future.done():
            self.future.set_result(None)

    def refuse(self, error: GatewayError) -> None:
        """It will not be called: tell whoever waits for it. It leaves at once, so that no permit goes to it."""
        self.leave()
        if self.future is not None and not self.future.done():
            self.future.set_exception(error)

    # What the relay calls

    def on_events(self, count: int) -> None:
        self._output += count * self.queue.ratios.tokens_per_event
        self._charge()

    def on_usage(self, usage: Usage) -> None:
        # An answer that is not streamed is over when its usage is known: it is charged as it ends.
        if self.exchange.streaming:
            self._take(usage.input_tokens, usage.output_tokens)
            self._charge()

    # What the journey calls

    def end(self) -> None:
        """The request is over: settle its account, give its permit back and let the next one go. A second time does
        nothing."""
        gate = self.gate
        if gate is None:
            self.leave()
            return
        self.gate = None
        turns = self._turns
        try:
            self.finish(self._true_cost(), turns.wall())
        finally:
            gate.give_back()
            # Where its account could not be settled it has not left yet.
            self.leave()
            turns.on_end(self, gate)

    def _take(self, tokens_in: int, tokens_out: int) -> None:
        # Engines that report no input (or no output) have said nothing about it.
        if tokens_in:
            self._input = tokens_in
        if tokens_out:
            self._output = tokens_out

    def _within_limit(self, tokens: int) -> int:
        peeked = self.exchange.peek
        most = None if peeked is None else peeked.max_completion_tokens or peeked.max_tokens
        if most is None or tokens <= most:
            return tokens
        return max(most, 0)

    def owed(self) -> int:
        """What the request costs as far as is known, in units."""
        # Asked for at every event: neither calls nor min and max.
        tariff = self._turns.tariff
        output = self._output
        tokens = round(output) if output > self._reserved else self._reserved
        owed = tariff.request_weight + tariff.input_weight * self._input + tariff.output_weight * tokens
        if owed > MOST_UNITS:
            return MOST_UNITS
        return owed

    def _charge(self) -> None:
        owed = self.owed()
        if owed != self.charged:
            self.settle(owed, self._turns.wall())

    def _true_cost(self) -> int:
        """What it cost, as far as is known, in units; nothing is reserved any longer.

        `exchange.status` is the engine's, if the client got any of its answer, else 0.
        """
        exchange = self.exchange
        if not exchange.sent:
            # No engine got it: nobody did anything for this user.
            return 0
        self._reserved = 0
        tokens_in, tokens_out = exchange.input_tokens, exchange.output_tokens
        if tokens_in or tokens_out:
            self._take(tokens_in, tokens_out)
            self._learn()
        elif 400 <= exchange.status < 500:
            # The engine refused it and read no prompt; the request itself still counts, where requests do. It also
            # keeps those whom an engine does not know from using up what the user they name may have.
            self._input = 0
            self._output = 0
        elif not self._output and paths.dialect(exchange.path) in GENERATES:
            # No event came. What was asked for says little: some engines stream for a "true" that is a string.
            self._output = self._unseen_output()
        return self.owed()

    def _unseen_output(self) -> int:
        """Output tokens of an answer that had no events and did not tell its usage."""
        exchange = self.exchange
        ratios = self.queue.ratios
        if 200 <= exchange.status < 300:
            return ratios.output_tokens_of_bytes(exchange.bytes_out)
        if exchange.streaming or exchange.upstream_ended is None or exchange.forwarded is None:
            # A stream that nobody saw an event of had not begun to produce.
            return 0
        if not exchange.status:
            # The client left before the answer: what was produced until then (upstream charges nothing).
            return self._within_limit(ratios.output_tokens_of_seconds(exchange.upstream_ended - exchange.forwarded))
        # What failed by itself produced nothing that anybody knows of.
        return 0

    def _learn(self) -> None:
        exchange = self.exchange
        self.queue.ratios.learn(exchange)
        answers = self._turns.answers
        if answers is not None:
            answers.learn(exchange.model, exchange.user, exchange.output_tokens)
