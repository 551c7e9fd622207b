"""The source of both twins of `turn`; see there for the contract."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Final

from kthena_fast.wire import paths

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from kthena_fast.core import _heap_py as heaps
    from kthena_fast.errors import GatewayError
    from kthena_fast.exchange import record
    from kthena_fast.queueing import _estimates_py as estimates
    from kthena_fast.queueing import _gates_py as gates
    from kthena_fast.queueing import _queue_py as queues
    from kthena_fast.queueing._turns_py import Turns
    from kthena_fast.queueing.tariff import Tariff
    from kthena_fast.routing.snapshot import Match, Server
    from kthena_fast.wire import usage as wire_usage
else:
    # A twin works with twins of its own kind, whatever the chooser chose.
    heaps = import_module(__name__.replace("queueing._turn", "core._heap"))

MOST_UNITS: Final = (1 << 40) - 1
"""What the ledger takes in one charge; no answer is that long, but an engine may claim anything."""

MOST_COUNT: Final = 1 << 30
"""Tokens up to which a cost is found without a look at how large it may be: weights are below 2**30."""

GENERATES: Final = frozenset({"chat", "completions", "responses", "messages"})
"""Dialects whose answers are text: where usage is missing, their length tells of tokens."""


def _never_asked() -> Match:
    raise AssertionError("only who waits is matched anew")


class Terms:
    """What the turns of one gateway are charged by."""

    __slots__ = (
        "_input_weight",
        "_output_weight",
        "_request_weight",
        "answers",
        "image_tokens",
        "tariff",
        "turns",
        "wall",
    )

    def __init__(
        self,
        turns: Turns,
        wall: Callable[[], float],
        tariff: Tariff,
        image_tokens: int,
        answers: estimates.RecentAnswers | None,
    ) -> None:
        self.turns = turns
        """Who calls the next one."""
        self.wall = wall
        """Unix time in seconds."""
        self.image_tokens = image_tokens
        """What an image in a prompt is estimated at."""
        self.answers = answers
        """Reserves output by a user's recent mean answer; None: nothing is reserved."""
        self.obey(tariff)

    def obey(self, tariff: Tariff) -> None:
        """Charge by other weights from now on."""
        self.tariff = tariff
        self._input_weight = tariff.input_weight
        self._output_weight = tariff.output_weight
        self._request_weight = tariff.request_weight

    def cost(self, tokens_in: int, tokens_out: float) -> int:
        """The units of one request."""
        if 0 <= tokens_in <= MOST_COUNT and tokens_out <= MOST_COUNT:
            # What C's integers hold, whatever the weights.
            whole = int(tokens_out + 0.5)
            units = self._request_weight + self._input_weight * tokens_in + self._output_weight * whole
            if units >= MOST_UNITS:
                return MOST_UNITS
            return units
        cost = (
            float(self._request_weight)
            + float(self._input_weight) * float(tokens_in)
            + float(self._output_weight) * tokens_out
        )
        if cost >= float(MOST_UNITS):
            return MOST_UNITS
        whole = int(tokens_out + 0.5)
        return self._request_weight + self._input_weight * tokens_in + self._output_weight * whole


class Turn(heaps.Ticket):
    """Made by `Turns.enter`."""

    __slots__ = (
        "_input",
        "_output",
        "_reserved",
        "_terms",
        "exchange",
        "find",
        "future",
        "gate",
        "queue",
        "server",
        "since",
    )

    gate: gates.Gate | None
    server: Server | None
    find: Callable[[], Match]
    future: asyncio.Future[None] | None

    def begin(self, terms: Terms, queue: queues.Queue, exchange: record.Exchange, since: float) -> None:
        """Instead of a constructor, which would cost as much as all of this."""
        self.state = heaps.NEW
        self._terms = terms
        self.queue = queue
        self.exchange = exchange
        self.since = since
        """When the wait began."""
        self.find = _never_asked
        """Matches it anew."""
        self.future = None
        """Done once it may go; None if it never had to wait."""
        self.gate = None
        """Whose permit it holds."""
        self.server = None
        self._input = queue.ratios.input_tokens(exchange, terms.image_tokens)
        exchange.prompt_estimate = self._input
        self._output = 0.0
        # The user's recent mean answer, charged in advance, within what this request allows.
        mean = 0.0 if terms.answers is None else terms.answers.mean(queue.ratios.answers, exchange.user)
        self._reserved = self._within_limit(int(mean)) if mean > 0.0 else 0

    # What `Turns` calls

    def admit(self, gate: gates.Gate, server: Server) -> None:
        """It was called, and charged for what it brings along: let it go."""
        self.gate = gate
        self.server = server
        if self.future is not None and not self.future.done():
            self.future.set_result(None)

    def refuse(self, error: GatewayError) -> None:
        """It will not be called: tell whoever waits for it. It leaves at once, so that no permit goes to it."""
        self._leave()
        if self.future is not None and not self.future.done():
            self.future.set_exception(error)

    # What the relay calls

    def on_events(self, count: int) -> None:
        self._output += count * self.queue.ratios.tokens_per_event
        self._charge()

    def on_usage(self, usage: wire_usage.Usage) -> None:
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
            self._leave()
            return
        self.gate = None
        queue = self.queue
        try:
            self.settle_at(self._true_cost(), self._terms.wall())
        finally:
            gate.give_back()
            # Also where its account could not be settled.
            self._leave()
            queue.meter.ended()
            if len(gate.rivals.busy) > 0:
                self._terms.turns.call_waiting(gate)

    def _take(self, tokens_in: int, tokens_out: int) -> None:
        # Engines that report no input (or no output) have said nothing about it.
        if tokens_in > 0:
            self._input = tokens_in
        if tokens_out > 0:
            self._output = tokens_out

    def _within_limit(self, tokens: int) -> int:
        peeked = self.exchange.peek
        most = None if peeked is None else peeked.max_completion_tokens or peeked.max_tokens
        if most is None or tokens <= most:
            return tokens
        return max(most, 0)

    def owed(self) -> int:
        """What the request costs as far as is known, in units."""
        return self._terms.cost(self._input, max(self._reserved, self._output))

    def _charge(self) -> None:
        owed = self.owed()
        if owed != self.charged:
            self.settle_at(owed, self._terms.wall())

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
        if tokens_in > 0 or tokens_out > 0:
            self._take(tokens_in, tokens_out)
            self.queue.ratios.learn(exchange)
            if self._terms.answers is not None:
                self._terms.answers.learn(self.queue.ratios.answers, exchange.user, tokens_out)
        elif 400 <= exchange.status < 500:
            # The engine refused it and read no prompt; the request itself still counts, where requests do. It also
            # keeps those whom an engine does not know from using up what the user they name may have.
            self._input = 0
            self._output = 0.0
        elif self._output == 0.0 and paths.dialect(exchange.path) in GENERATES:
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
