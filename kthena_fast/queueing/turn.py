"""`Turn`: one request's wait, its permit, and its account with the ledger."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kthena_fast.core.heap import Ticket
from kthena_fast.wire import paths

if TYPE_CHECKING:
    import asyncio

    from kthena_fast.exchange.record import Exchange
    from kthena_fast.queueing.estimates import RecentAnswers
    from kthena_fast.queueing.gates import Gate
    from kthena_fast.queueing.turns import Queue, Turns
    from kthena_fast.routing.snapshot import Server
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
        "future",
        "gate",
        "queue",
        "server",
        "since",
    )

    def __init__(self, turns: Turns, queue: Queue, exchange: Exchange, since: float) -> None:
        super().__init__()
        self._turns = turns
        self.queue = queue
        self.exchange = exchange
        self.since = since
        """When the wait began."""
        self.future: asyncio.Future[bool] | None = None
        """While it waits: True once it may go, False if it is to be matched anew."""
        self.gate: Gate | None = None
        """Whose permit it holds."""
        self.server: Server | None = None
        self._input = exchange.prompt_estimate
        self._output = 0.0
        self._reserved = self._reserve(turns.answers)

    # What `Turns` calls

    def admit(self, gate: Gate, server: Server) -> None:
        """It was called, and charged for what it brings along: let it go."""
        self.gate = gate
        self.server = server
        if self.future is not None and not self.future.done():
            self.future.set_result(True)

    # What the relay calls

    def on_events(self, count: int) -> None:
        self._output += count * self.queue.ratios.tokens_per_event
        self._charge()

    def on_usage(self, usage: Usage) -> None:
        self._take(usage.input_tokens, usage.output_tokens)
        self._charge()

    # What the journey calls

    def end(self) -> None:
        """The request is over: settle its account, give its permit back and let the next one go. A second time does
        nothing."""
        gate = self.gate
        if gate is not None:
            self.gate = None
            self._settle_account()
            gate.give_back()
        self.leave()
        if gate is not None:
            self._turns.on_end(self, gate)

    def _take(self, tokens_in: int, tokens_out: int) -> None:
        # Engines that report no input (or no output) have said nothing about it.
        self._input = tokens_in or self._input
        self._output = float(tokens_out) if tokens_out else self._output

    def _reserve(self, answers: RecentAnswers | None) -> int:
        """Output tokens to be charged in advance."""
        if answers is None:
            return 0
        peeked = self.exchange.peek
        most = None if peeked is None else peeked.max_completion_tokens or peeked.max_tokens
        mean = int(answers.mean(self.exchange.model, self.exchange.user))
        return mean if most is None else min(mean, most)

    def owed(self) -> int:
        """What the request costs as far as is known, in units."""
        tariff = self._turns.tariff
        output = max(round(self._output), self._reserved)
        owed = tariff.request_weight + tariff.input_units(self._input) + tariff.output_units(output)
        return min(owed, MOST_UNITS)

    def _charge(self) -> None:
        self.settle(self.owed(), self._turns.wall())

    def _settle_account(self) -> None:
        """Charge the truth, as far as it is known; nothing is reserved any longer."""
        exchange = self.exchange
        turns = self._turns
        self._reserved = 0
        if not exchange.sent:
            # No engine got it: nobody did anything for this user.
            self.settle(0, turns.wall())
            return
        if 400 <= exchange.upstream_status < 500:
            # The engine refused it and read no prompt; the request itself still counts, where requests do.
            self._input = 0
            self._output = 0.0
        elif exchange.input_tokens or exchange.output_tokens:
            self._take(exchange.input_tokens, exchange.output_tokens)
            self.queue.ratios.learn(exchange)
            if turns.answers is not None:
                turns.answers.learn(exchange.model, exchange.user, exchange.output_tokens)
        elif not exchange.streaming and paths.dialect(exchange.path) in GENERATES:
            self._output = float(self.queue.ratios.output_tokens_of_bytes(exchange.bytes_out))
        self._charge()
