"""`Turns`: every queue of the process, and who is called when. See the rules of the room."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Protocol

from kthena_fast import errors
from kthena_fast.core import heap as heaps
from kthena_fast.core.heap import Heap
from kthena_fast.core.ledger import Ledger, LedgerFull
from kthena_fast.queueing import estimates, gates, shares
from kthena_fast.queueing.turn import Turn

if TYPE_CHECKING:
    import asyncio

    from kthena_fast.exchange.record import Exchange
    from kthena_fast.queueing.gates import Gate
    from kthena_fast.queueing.report import Meter, Report
    from kthena_fast.queueing.tariff import Tariff
    from kthena_fast.routing.snapshot import Destination, Match, Pod, Server, Snapshot, Target

EXACT_POSITIONS = 256
"""Users up to which a newcomer's place is counted; among more it would cost more than the request."""

PACE_OF_NEWEST = 0.1
"""Weight of the newest interval between two turns in the mean that Retry-After is made of."""

LONGEST_RETRY = 3600


class Timers(Protocol):
    """Coarse timers (`upstream.deadlines.Deadlines` has this shape, but is a neighbour)."""

    def add(self, seconds: float, callback: Callable[[], object]) -> Any: ...

    @staticmethod
    def cancel(deadline: Any) -> None: ...


class Queue:
    """Who waits for one model name and one list of targets."""

    __slots__ = ("called_at", "gates", "heap", "interval", "meter", "model", "ratios", "targets")

    def __init__(
        self, model: str, targets: tuple[Target, ...], heap: Heap, ratios: estimates.Ratios, meter: Meter
    ) -> None:
        self.model = model
        self.targets = targets
        self.heap = heap
        self.ratios = ratios
        """Of its model: shared by the model's queues."""
        self.meter = meter
        self.gates: list[tuple[int, Gate]] = []
        """What its requests may go through, each with its weight."""
        self.called_at = 0.0
        self.interval = 0.0
        """Mean seconds between two turns while requests waited."""

    def retry_after(self) -> int:
        """Whole seconds until a newcomer would have his turn, estimated."""
        return min(max(1, math.ceil((len(self.heap) + 1) * self.interval)), LONGEST_RETRY)


class Turns:
    """Gives requests their turn; one for the process, used on its loop only."""

    def __init__(
        self,
        *,
        loop: asyncio.AbstractEventLoop,
        wall: Callable[[], float],
        draw: Callable[[], float],
        timers: Timers,
        ledger: Ledger,
        window: float,
        policy: str,
        tariff: Tariff,
        limit: gates.Limit,
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
        self.wall = wall
        self.ledger = ledger
        self.window = window
        """Seconds."""
        self.policy = policy
        self.tariff = tariff
        self.answers = answers
        self.shares = shares.EQUAL
        self.queues: dict[Destination, Queue] = {}
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
        self._image_tokens = image_tokens
        self._report = report
        self._snapshot: Snapshot | None = None
        self._sweeper: asyncio.TimerHandle | asyncio.Handle | None = None

    # The wait

    async def wait(self, exchange: Exchange, find: Callable[[], Match]) -> Turn:
        """Return once it is this request's turn; the caller must `end` the turn.

        `find` matches the request on the snapshot in service, and is asked again if its routes change meanwhile.
        Raises what `find` raises, and GatewayError for a full queue, a wait that took too long and no ready pod.
        Cancelled, the request leaves the queue at once.
        """
        since = self._loop.time()
        while True:
            turn = self._enter(exchange, self._queue(find()), since)
            if turn.server is not None:
                return turn
            try:
                if await self._wait_for(turn):
                    return turn
            except BaseException:
                turn.end()
                raise
            turn.end()

    async def _wait_for(self, turn: Turn) -> bool:
        """Whether it may go; False: its queue is no more."""
        future = turn.future = self._loop.create_future()
        turn.queue.meter.entered()
        deadline = self._timers.add(self._timeout - (self._loop.time() - turn.since), lambda: self._on_timeout(turn))
        try:
            may_go: bool = await future
            return may_go
        except errors.GatewayError:
            raise
        except BaseException:
            turn.queue.meter.cancelled(self._loop.time() - turn.since)
            raise
        finally:
            self._timers.cancel(deadline)
            turn.queue.meter.left()

    def _enter(self, exchange: Exchange, queue: Queue, since: float) -> Turn:
        """Put a request into its queue; it is called at once where there is room."""
        exchange.policy = self.policy
        exchange.prompt_estimate = queue.ratios.input_tokens(exchange, self._image_tokens)
        standing = self.shares.of(exchange.user)
        turn = Turn(self, queue, exchange, since)
        now = self.wall()
        heap = queue.heap
        try:
            number = self.ledger.standing(standing.share, standing.rank)
            heap.enter(turn, exchange.user, turn.owed(), now, number)
        except heaps.QueueFull as full:
            per_user = full.reason == "user_queue_full"
            queue.meter.rejected(full.reason)
            limit = self._max_queue_per_user if per_user else self._max_queue
            raise errors.queue_full(per_user=per_user, limit=limit, retry_after=queue.retry_after()) from None
        except LedgerFull:
            queue.meter.rejected("queue_full")
            raise errors.queue_full(per_user=False, limit=len(self.ledger), retry_after=queue.retry_after()) from None
        exchange.share_at_admission = standing.share
        exchange.usage_at_admission = self.tariff.service(self.ledger.service(turn.row, now))
        moment = self._loop.time()
        while turn.server is None and (gate := self._open_gate(queue, moment)) is not None and self._call(gate):
            pass
        if turn.server is None:
            waiting = len(heap)
            exchange.queue_position = heap.position(turn) + 1 if waiting <= EXACT_POSITIONS else waiting
            for _, gate in queue.gates:
                self._wake_when_ready(gate)
        return turn

    def _open_gate(self, queue: Queue, now: float) -> Gate | None:
        """One that has room now, drawn by weight."""
        open_gates = [entry for entry in queue.gates if entry[1].has_room(now)]
        if len(open_gates) < 2:
            return open_gates[0][1] if open_gates else None
        point = self._draw() * sum(weight for weight, _ in open_gates)
        for weight, gate in open_gates:
            point -= weight
            if point < 0:
                return gate
        return open_gates[-1][1]

    # The call

    def _call(self, gate: Gate) -> bool:
        """Give one permit of a gate to the best who can use it; False: nobody waits, or there is nowhere to go."""
        heap = heaps.best([queue.heap for queue in gate.queues])
        if heap is None:
            return False
        turn = heap.first()
        assert isinstance(turn, Turn)
        server = gate.server() or self._drawn_server(turn.queue)
        if server is None:
            return False
        called = heap.pop(self.wall())
        assert called is turn
        now = self._loop.time()
        gate.take(now)
        queue = turn.queue
        if turn.future is not None:
            queue.interval += PACE_OF_NEWEST * (min(now - queue.called_at, LONGEST_RETRY) - queue.interval)
        queue.called_at = now
        turn.exchange.queue_time = now - turn.since
        turn.admit(gate, server)
        queue.meter.called(turn.exchange.queue_time)
        return True

    def call_waiting(self, gate: Gate) -> None:
        """Give out every permit that a gate has and somebody waits for."""
        now = self._loop.time()
        while gate.has_room(now) and self._call(gate):
            pass
        self._wake_when_ready(gate)

    def _wake_when_ready(self, gate: Gate) -> None:
        """See that somebody is called when the next interval of a model begins."""
        if isinstance(gate, gates.ModelGate) and not gate.is_awaited and any(len(queue.heap) for queue in gate.queues):
            gate.is_awaited = True
            # A millisecond late rather than early: uvloop's clock has whole milliseconds.
            self._loop.call_at(gate.ready_at + 0.001, self._on_ready, gate)

    def _on_ready(self, gate: gates.ModelGate) -> None:
        gate.is_awaited = False
        self.call_waiting(gate)

    def _drawn_server(self, queue: Queue) -> Server | None:
        """Where a turn that is not bound to a server goes."""
        assert self._snapshot is not None
        ready = [
            (target.weight, server)
            for target in queue.targets
            if target.weight and (server := self._snapshot.servers.get(target.name)) is not None and server.pods
        ]
        if not ready:
            return None
        point = self._draw() * sum(weight for weight, _ in ready)
        for weight, server in ready:
            point -= weight
            if point < 0:
                return server
        return ready[-1][1]

    def on_end(self, turn: Turn, gate: Gate) -> None:
        """A turn has ended and given its permit back."""
        turn.queue.meter.ended()
        self.call_waiting(gate)

    def _on_timeout(self, turn: Turn) -> None:
        future = turn.future
        if future is not None and not future.done():
            turn.queue.meter.timed_out(self._loop.time() - turn.since)
            # At once, so that no permit goes to a request that has already been given up.
            turn.leave()
            future.set_exception(errors.queue_timeout(self._timeout))

    # What changes around the queues

    def on_snapshot(self, snapshot: Snapshot) -> None:
        """Take the routes and servers that are in service now."""
        before = self._snapshot
        self._snapshot = snapshot
        if before is None or before.table is not snapshot.table:
            for key in [key for key in self.queues if not snapshot.leads_to(key)]:
                self._close(self.queues.pop(key))
            self._forget_models(snapshot)
        for name, gate in list(self.server_gates.items()):
            gate.serve(snapshot.servers.get(name))
            if not gate.queues and not gate.out:
                del self.server_gates[name]
        if isinstance(self._limit, gates.Adaptive):
            self._limit.retain(frozenset(snapshot.pods))
        self.call_all()

    def on_load(self, pod: Pod, waiting: float | None) -> None:
        """An engine was asked how many requests wait in it; None: it did not say."""
        if isinstance(self._limit, gates.Adaptive) and waiting is not None:
            self._limit.on_scrape(pod, waiting, self._loop.time())
        gate = self.server_gates.get(pod.server)
        if gate is not None:
            self.call_waiting(gate)

    def call_all(self) -> None:
        """Give out whatever has become free without a turn having ended: pods that came, limits that grew."""
        for server_gate in list(self.server_gates.values()):
            self.call_waiting(server_gate)
        for model_gate in list(self._model_gates.values()):
            self.call_waiting(model_gate)

    def _forget_models(self, snapshot: Snapshot) -> None:
        for known in (self._ratios, self._model_gates):
            for model in [model for model in known if not snapshot.knows(model)]:
                del known[model]

    def _close(self, queue: Queue) -> None:
        """Its routes are gone: whoever waits is matched anew, the oldest of each user first."""
        for _, gate in queue.gates:
            gate.queues.remove(queue)
        for turn in queue.heap.tickets():
            if isinstance(turn, Turn) and turn.future is not None and not turn.future.done():
                turn.future.set_result(False)

    def _queue(self, match: Match) -> Queue:
        queue = self.queues.get(match.destination)
        if queue is None:
            queue = self.queues[match.destination] = self._make_queue(match)
        return queue

    def _make_queue(self, match: Match) -> Queue:
        model = match.model
        heap = Heap(self.ledger, model, self.policy, most=self._max_queue, most_per_user=self._max_queue_per_user)
        ratios = self._ratios.setdefault(model, estimates.Ratios())
        queue = Queue(model, match.targets, heap, ratios, self._report.meter(model))
        for weight, gate in self._gates_of(match):
            queue.gates.append((weight, gate))
            gate.queues.append(queue)
        for _, gate in queue.gates:
            for other in gate.queues:
                other.heap.share_permits_with(
                    neighbour.heap for _, shared in other.gates for neighbour in shared.queues
                )
        return queue

    def _gates_of(self, match: Match) -> Iterator[tuple[int, Gate]]:
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

    # The ledger's turns

    def start(self) -> None:
        """Begin to sweep the ledger, at every turn of its ring, in pieces of one loop iteration each."""
        self._sweeper = self._loop.call_later(self._to_next_turn(), self._sweep)

    def stop(self) -> None:
        if self._sweeper is not None:
            self._sweeper.cancel()
            self._sweeper = None

    def _sweep(self) -> None:
        if self.ledger.sweep(self.wall()):
            self._sweeper = self._loop.call_soon(self._sweep)
        else:
            for queue in self.queues.values():
                queue.meter.rebuilt()
            self._sweeper = self._loop.call_later(self._to_next_turn(), self._sweep)

    def _to_next_turn(self) -> float:
        width = self.ledger.width
        return width - self.wall() % width
