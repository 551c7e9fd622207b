"""The source of both twins of `turns`; see there for the contract."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from importlib import import_module
from typing import TYPE_CHECKING, Final

from kthena_fast import errors
from kthena_fast.queueing import gates as limits
from kthena_fast.queueing.sweeping import Sweeper
from kthena_fast.queueing.tariff import DENOMINATOR

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Iterable

    from kthena_fast.core import _heap_py as heaps
    from kthena_fast.core import _ledger_py as ledgers
    from kthena_fast.exchange import record
    from kthena_fast.queueing import _estimates_py as estimates
    from kthena_fast.queueing import _gates_py as gates
    from kthena_fast.queueing import _queue_py as queues
    from kthena_fast.queueing import _turn_py as turn_room
    from kthena_fast.queueing.report import Report
    from kthena_fast.queueing.shares import Shares
    from kthena_fast.queueing.tariff import Tariff
    from kthena_fast.queueing.turns import Timers
    from kthena_fast.routing.snapshot import Destination, Match, Pod, Server, Snapshot
else:
    # A twin works with twins of its own kind, whatever the chooser chose.
    heaps = import_module(__name__.replace("queueing._turns", "core._heap"))
    ledgers = import_module(__name__.replace("queueing._turns", "core._ledger"))
    estimates = import_module(__name__.replace("_turns", "_estimates"))
    gates = import_module(__name__.replace("_turns", "_gates"))
    queues = import_module(__name__.replace("_turns", "_queue"))
    turn_room = import_module(__name__.replace("_turns", "_turn"))

UNITS: Final = float(DENOMINATOR)

EXACT_POSITIONS: Final = 256
"""Users up to which a newcomer's place is counted; among more it would cost more than the request."""


class Turns:
    """Gives requests their turn; one for the process, used on its loop only."""

    __slots__ = (
        "_all_equal", "_draw", "_equal", "_limit", "_loop", "_max_qps", "_max_queue",
        "_max_queue_per_user",
        "_model_gates", "_ratios", "_report", "_snapshot", "_sweeper", "_timeout", "_timers", "ledger", "policy",
        "queues", "rebuilds", "server_gates", "shares", "terms", "window",
    )  # fmt: skip

    def __init__(
        self,
        *,
        loop: asyncio.AbstractEventLoop,
        wall: Callable[[], float],
        draw: Callable[[], float],
        timers: Timers,
        ledger: ledgers.Ledger,
        window: float,
        policy: str,
        tariff: Tariff,
        limit: limits.Limit,
        max_qps: int | None,
        queue_timeout: float,
        max_queue: int,
        max_queue_per_user: int,
        image_tokens: int,
        answers: estimates.RecentAnswers | None,
        report: Report,
    ) -> None:
        """`wall` is Unix time in seconds, `draw` gives numbers in [0, 1). `max_qps` set: one turn of a model
        per interval instead of permits. `answers` set: output is reserved by a user's recent mean answer."""
        self.terms = turn_room.Terms(self, wall, tariff, image_tokens, answers)
        self.ledger = ledger
        self.window = window
        """Seconds."""
        self.policy = policy
        # Not with the module: what only shows its version loads the twins and no types.
        from kthena_fast.queueing import shares

        self._equal = shares.EQUAL
        self.shares = shares.EQUAL
        self._all_equal = True
        self.queues: dict[Destination, queues.Queue] = {}
        self.rebuilds = 0
        """How often the window has moved on, and put all queues in order anew."""
        self.server_gates: dict[str, gates.ServerGate] = {}
        self._model_gates: dict[str, gates.ModelGate] = {}
        self._ratios: dict[str, estimates.Ratios] = {}
        self._loop = loop
        self._draw = draw
        self._timers = timers
        self._limit = limit
        self._max_qps = max_qps
        self._timeout = queue_timeout
        self._max_queue = max_queue
        self._max_queue_per_user = max_queue_per_user
        self._report = report
        self._snapshot: Snapshot | None = None
        self._sweeper = Sweeper(loop, wall, ledger, self._on_turned)

    @property
    def tariff(self) -> Tariff:
        return self.terms.tariff

    def wall(self) -> float:
        """Unix time in seconds."""
        return self.terms.wall()

    def start(self) -> None:
        """Begin to forget what leaves the window."""
        self._sweeper.start()

    def stop(self) -> None:
        self._sweeper.stop()

    # The wait

    def enter(self, exchange: record.Exchange, match: Match, now: float) -> turn_room.Turn:
        """Let a request wait, or go at once."""
        queue = match.queue
        if queue is None or queue.owner is not self:
            queue = self._queue_at(match)
        # What nearly every request meets: a permit that nobody waits for.
        gate = self._open_gate(queue, now)
        server = gate.server() if gate is not None and len(gate.rivals.busy) == 0 else None
        if server is None and (self._snapshot is None or not self._snapshot.is_usable(match)):
            # Nobody begins to wait for a server that has no pod.
            raise errors.no_ready_pod(match.model)
        turn = turn_room.Turn.__new__(turn_room.Turn)
        turn.begin(self.terms, queue, exchange, now)
        exchange.policy = self.policy
        self._enter(turn, self.terms.wall(), server is not None)
        if gate is not None and server is not None:
            gate.take(now)
            turn.gate = gate
            turn.server = server
            queue.called_at = now
            queue.meter.called(0.0)
        else:
            self._arrive(turn)
        return turn

    async def wait(self, turn: turn_room.Turn, find: Callable[[], Match]) -> None:
        """Return once it may go."""
        turn.find = find
        turn.future = self._loop.create_future()
        turn.queue.meter.entered()
        deadline = self._timers.add(self._timeout, lambda: self._on_timeout(turn))
        try:
            await turn.future
        except BaseException:
            if turn.server is None:
                turn.exchange.queue_time = self._loop.time() - turn.since
                turn.queue.meter.cancelled(turn.exchange.queue_time)
            # It may have been called a moment ago: then it gives its permit back and the next one goes.
            turn.end()
            raise
        finally:
            self._timers.cancel(deadline)
            turn.queue.meter.left()

    def _enter(self, turn: turn_room.Turn, now: float, at_once: bool) -> None:
        """Put a request into its queue, or have it called; `now` is Unix time."""
        exchange = turn.exchange
        queue = turn.queue
        share, standing = 1.0, heaps.DEFAULT
        if not self._all_equal:
            share, rank = self.shares.of(exchange.user)
            standing = self.ledger.standing(share, rank)
        try:
            if at_once:
                self.ledger.at(now)
                queue.heap.admit_as(turn, exchange.user, turn.owed(), standing)
            else:
                queue.heap.enter(turn, exchange.user, turn.owed(), now, standing)
        except (heaps.QueueFull, ledgers.LedgerFull) as full:
            raise self._refusal(queue, full) from None
        exchange.share_at_admission = share
        # Without what this request has just been charged.
        exchange.usage_at_admission = (self.ledger.service(turn.row, now) - turn.charged) / UNITS

    def _refusal(self, queue: queues.Queue, full: Exception) -> errors.GatewayError:
        reason = full.reason if isinstance(full, heaps.QueueFull) else "queue_full"
        per_user = reason == "user_queue_full"
        limit = self._max_queue_per_user if per_user else self._max_queue
        if isinstance(full, ledgers.LedgerFull):
            limit = len(self.ledger)
        queue.meter.rejected(reason)
        return errors.queue_full(per_user=per_user, limit=limit, retry_after=queue.retry_after())

    def _arrive(self, turn: turn_room.Turn) -> None:
        """Call somebody if there is room: usually the newcomer, for nobody waits where there is."""
        queue = turn.queue
        now = turn.since
        while turn.server is None:
            gate = self._open_gate(queue, now)
            if gate is None or not self._call(gate, now):
                break
        if turn.server is None:
            waiting = queue.heap.waiting
            turn.exchange.queue_position = queue.heap.position(turn) + 1 if waiting <= EXACT_POSITIONS else waiting
            for _, shared in queue.gates:
                self._wake_when_ready(shared)

    def _open_gate(self, queue: queues.Queue, now: float) -> gates.Gate | None:
        """One that has room now, drawn by weight."""
        gate = queue.gate
        if gate is not None:
            return gate if gate.has_room(now) else None
        open_gates = [entry for entry in queue.gates if entry[1].has_room(now)]
        if len(open_gates) < 2:
            return open_gates[0][1] if open_gates else None
        point = self._draw() * sum([weight for weight, _ in open_gates])
        for weight, drawn in open_gates:
            point -= weight
            if point < 0:
                return drawn
        return open_gates[-1][1]

    # The call

    def _call(self, gate: gates.Gate, now: float) -> bool:
        """Give one permit of a gate that has room to the best who can use it; False: nobody can."""
        server = gate.server()
        heap = gate.rivals.best() if server is not None else self._best(gate)
        ticket = heap.pop(self.terms.wall()) if heap is not None else None
        if ticket is None:
            return False
        assert isinstance(ticket, turn_room.Turn)
        turn: turn_room.Turn = ticket
        queue = turn.queue
        waited = now - turn.since
        gate.take(now)
        if turn.future is not None:
            queue.on_call(turn.since, now)
        queue.called_at = now
        turn.exchange.queue_time = waited
        queue.meter.called(waited)
        turn.admit(gate, server if server is not None else self._drawn_server(queue))
        return True

    def _best(self, gate: gates.Gate) -> heaps.Heap | None:
        """Where the best waits of those who have pods."""
        best: heaps.Heap | None = None
        for queue in gate.queues:
            heap = queue.heap
            if heap.waiting > 0 and (best is None or heap.ahead_of(best)) and self._has_pods(queue):
                best = heap
        return best

    def _has_pods(self, queue: queues.Queue) -> bool:
        return self._snapshot is not None and self._snapshot.is_usable(queue.match)

    def _drawn_server(self, queue: queues.Queue) -> Server:
        """Where a turn that is not bound to a server goes."""
        assert self._snapshot is not None
        server = self._snapshot.draw(queue.match, self._draw)
        assert server is not None
        return server

    def call_waiting(self, gate: gates.Gate) -> None:
        """Give out every permit that a gate has and somebody waits for."""
        now = self._loop.time()
        while gate.has_room(now) and self._call(gate, now):
            pass
        self._wake_when_ready(gate)

    def _wake_when_ready(self, gate: gates.Gate) -> None:
        """See that somebody is called when the next interval of a model begins."""
        if isinstance(gate, gates.ModelGate) and not gate.is_awaited and self._best(gate) is not None:
            gate.is_awaited = True
            # A millisecond late rather than early: uvloop's clock has whole milliseconds.
            self._loop.call_at(gate.ready_at + 0.001, functools.partial(self._on_ready, gate))

    def _on_ready(self, gate: gates.ModelGate) -> None:
        now = self._loop.time()
        while gate.has_room(now) and self._call(gate, now):
            pass
        gate.is_awaited = False
        self._wake_when_ready(gate)

    def _on_timeout(self, turn: turn_room.Turn) -> None:
        if turn.is_waiting:
            turn.queue.meter.timed_out()
            turn.refuse(errors.queue_timeout(self._timeout))

    # What changes around the queues

    def obey(self, new_shares: Shares, tariff: Tariff) -> None:
        """Compare users by other shares from now on, those who wait too, and charge by other weights."""
        self.shares = new_shares
        self._all_equal = new_shares is self._equal
        self.terms.obey(tariff)
        for queue in self.queues.values():
            waiting = {turn.exchange.user: turn for turn in _turns_at(queue)}
            for user, turn in waiting.items():
                share, rank = new_shares.of(user)
                turn.stand(self.ledger.standing(share, rank))

    def on_snapshot(self, snapshot: Snapshot, left: Iterable[Pod]) -> None:
        """Take the routes and servers that are in service now, where these pods are no longer."""
        before = self._snapshot
        self._snapshot = snapshot
        for name, gate in self.server_gates.items():
            gate.serve(snapshot.servers.get(name))
        if before is None or before.table is not snapshot.table:
            gone = [self.queues.pop(key) for key in list(self.queues) if not snapshot.leads_to(key)]
            for queue in gone:
                self._close(queue)
            self._forget_models(snapshot)
            for queue in gone:
                self._match_anew(queue)
        for queue in list(self.queues.values()):
            if queue.heap.waiting and not snapshot.is_usable(queue.match):
                self._match_anew(queue)
        self.server_gates = {name: gate for name, gate in self.server_gates.items() if gate.queues or gate.out}
        if isinstance(self._limit, limits.Adaptive):
            self._limit.forget(left)
        self.call_all()

    def _match_anew(self, queue: queues.Queue) -> None:
        """Have whoever waits here wait where his request belongs now, each user's oldest first.

        Where the queue is gone, who belongs nowhere is told so; where its pods are gone, he waits for them.
        """
        stays = self.queues.get(queue.match.destination) is queue
        # In their order, the least served first: vtc would lift who comes after one that was served more.
        for turn in _turns_at(queue):
            try:
                match = turn.find()
                if stays and match.destination == queue.match.destination:
                    continue
                turn.leave()
                turn.queue = self._queue_at(match)
                self._enter(turn, self.terms.wall(), False)
            except errors.GatewayError as error:
                if not (stays and turn.is_waiting):
                    turn.refuse(error)

    def on_load(self, pod: Pod, waiting: float | None) -> None:
        """An engine was asked how many requests wait in it; None: it did not say."""
        if self._snapshot is None or self._snapshot.pods.get(pod.key) is not pod:
            # It left while it was asked.
            return
        if isinstance(self._limit, limits.Adaptive) and waiting is not None:
            self._limit.on_scrape(pod, waiting, self._loop.time())
        gate = self.server_gates.get(pod.server)
        if gate is not None:
            gate.relearn()
            self.call_waiting(gate)

    def call_all(self) -> None:
        """Give out whatever has become free without a turn having ended: pods that came, limits that grew."""
        every: list[gates.Gate] = [*self.server_gates.values(), *self._model_gates.values()]
        for gate in every:
            self.call_waiting(gate)

    def _on_turned(self) -> None:
        self.rebuilds += 1

    # Queues and gates

    def _queue_at(self, match: Match) -> queues.Queue:
        queue = self.queues.get(match.destination)
        if queue is None:
            queue = self._make_queue(match)
        match.queue = queue
        return queue

    def _make_queue(self, match: Match) -> queues.Queue:
        model = match.model
        heap = heaps.Heap(self.ledger, model, self.policy, most=self._max_queue, most_per_user=self._max_queue_per_user)
        ratios = self._ratios.setdefault(model, estimates.Ratios())
        queue = queues.Queue(self, match, heap, ratios, self._report.meter(model, self.rebuilds))
        for weight, gate in self._gates_of(match):
            queue.gates.append((weight, gate))
            gate.queues.add(queue)
        if len(queue.gates) == 1:
            queue.gate = queue.gates[0][1]
        heap.compete([gate.rivals for _, gate in queue.gates])
        self.queues[match.destination] = queue
        return queue

    def _close(self, queue: queues.Queue) -> None:
        """Its routes are gone: it gets no more permits."""
        for _, gate in queue.gates:
            gate.queues.remove(queue)
        # No scrape will ask it any more.
        queue.meter.rebuilt(self.rebuilds)
        queue.meter.rekeyed(queue.heap.rekeyed)
        queue.owner = None
        if queue.match.queue is queue:
            # Nobody would free the two: what was there when the gateway began, the collector does not look at.
            queue.match.queue = None
        queue.heap.compete([])

    def _gates_of(self, match: Match) -> Iterator[tuple[int, gates.Gate]]:
        if self._max_qps is not None:
            gate = self._model_gates.get(match.model)
            if gate is None:
                gate = self._model_gates[match.model] = gates.ModelGate(match.model, 1 / self._max_qps)
            yield 1, gate
            return
        weights: dict[str, int] = {}
        for target in match.targets:
            if target.weight and not target.is_provider:
                weights[target.name] = weights.get(target.name, 0) + target.weight
        for name, weight in weights.items():
            yield weight, self._server_gate(name)

    def _server_gate(self, name: str) -> gates.ServerGate:
        gate = self.server_gates.get(name)
        if gate is None:
            gate = self.server_gates[name] = gates.ServerGate(name, self._limit)
            gate.serve(self._snapshot.servers.get(name) if self._snapshot is not None else None)
        return gate

    def _forget_models(self, snapshot: Snapshot) -> None:
        for known in (self._ratios, self._model_gates):
            for model in [model for model in known if not snapshot.knows(model)]:
                del known[model]


def _turns_at(queue: queues.Queue) -> list[turn_room.Turn]:
    """Who waits there, the least served first, each user's oldest first."""
    return [turn for turn in queue.heap.tickets() if isinstance(turn, turn_room.Turn)]
