"""A desk at which requests wait: the real queues, ledger and timers, with clocks that only the test moves.

desk = Desk(one_server(), permits=1)
alice = await desk.come("alice")
assert alice.was_called
alice.end(output=10)
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Any, cast

import orjson

from kthena_fast import errors
from kthena_fast.core.ledger import Ledger
from kthena_fast.exchange.record import Exchange
from kthena_fast.queueing import gates
from kthena_fast.queueing.estimates import RecentAnswers
from kthena_fast.queueing.report import Report
from kthena_fast.queueing.tariff import Tariff
from kthena_fast.queueing.turn import Turn
from kthena_fast.queueing.turns import Turns
from kthena_fast.routing import shards
from kthena_fast.routing.snapshot import Match, Snapshot
from kthena_fast.telemetry.registry import Registry
from kthena_fast.upstream.deadlines import Deadlines
from kthena_fast.wire import peek
from tests.routing import given
from tests.upstream.clock import Clock

MODEL = "m"

WALL = 1_800_000_001.5
"""Unix time when the desk's clock says 1000; inside a slot of the ledger."""


def one_server(**spec: Any) -> Snapshot:
    """The model `m` on one ModelServer with one pod."""
    return given.snapshot(given.route("r", given.to("s")), given.server("s", "10.0.0.1:8000"), **spec)


class Visitor:
    """One request and its wait."""

    def __init__(self, exchange: Exchange, wait: asyncio.Task[Turn]) -> None:
        self.exchange = exchange
        self.wait = wait

    @property
    def was_called(self) -> bool:
        return self.wait.done() and not self.wait.cancelled() and self.wait.exception() is None

    @property
    def turn(self) -> Turn:
        return self.wait.result()

    @property
    def server(self) -> str:
        assert self.turn.server is not None
        return self.turn.server.key

    @property
    def error(self) -> errors.GatewayError:
        problem = self.wait.exception()
        assert isinstance(problem, errors.GatewayError)
        return problem

    def end(self, *, output: int = 0, input: int = 0, status: int = 200) -> None:  # noqa: A002 - as in usage
        """The engine answered, with this usage; zeros: it did not say."""
        exchange = self.exchange
        exchange.sent = True
        exchange.status = exchange.upstream_status = status
        exchange.input_tokens = input
        exchange.output_tokens = output
        self.turn.end()

    def __repr__(self) -> str:
        return f"<{self.exchange.user} {self.wait}>"


class Desk:
    def __init__(
        self,
        snapshot: Snapshot,
        *,
        permits: int = 1,
        limit: gates.Limit | None = None,
        policy: str = "window",
        users: int = 1000,
        weights: tuple[float, float, float] = (1.0, 2.0, 0.0),
        draw: Callable[[], float] = lambda: 0.0,
        max_qps: int | None = None,
        timeout: float = 60.0,
        max_queue: int = 100,
        max_queue_per_user: int = 100,
        reserves: bool = False,
    ) -> None:
        self.clock = Clock()
        # It has of a loop what is used.
        loop = cast("asyncio.AbstractEventLoop", self.clock)
        self.registry = Registry()
        self.timers = Deadlines(loop)
        self.snapshot = snapshot
        report = Report(self.registry, 10)
        self.turns = Turns(
            loop=loop,
            wall=lambda: WALL - 1000.0 + self.clock.time(),
            draw=draw,
            timers=self.timers,
            ledger=Ledger(300.0, users, seed=1),
            window=300.0,
            policy=policy,
            tariff=Tariff.of(*weights),
            limit=limit or gates.Fixed(permits),
            max_qps=max_qps,
            queue_timeout=timeout,
            max_queue=max_queue,
            max_queue_per_user=max_queue_per_user,
            image_tokens=1000,
            answers=RecentAnswers(100) if reserves else None,
            report=report,
        )
        report.watch(self.turns)
        self.turns.on_snapshot(snapshot, ())

    def find(self, exchange: Exchange) -> Match:
        """As the journey matches."""
        match = self.snapshot.match(exchange.model, exchange.path, exchange.headers)
        if match is None:
            raise errors.model_not_found(exchange.model)
        if not self.snapshot.is_usable(match):
            raise errors.no_ready_pod(exchange.model)
        return match

    def change(self, snapshot: Snapshot) -> None:
        """Other objects are in service."""
        _, left = shards.differences(self.snapshot.pods, snapshot.pods)
        self.snapshot = snapshot
        self.turns.on_snapshot(snapshot, left)

    async def come(
        self,
        user: str,
        *,
        model: str = MODEL,
        tokens: int = 0,
        headers: Iterable[tuple[bytes, bytes]] = (),
        path: str = "/v1/chat/completions",
        **members: Any,
    ) -> Visitor:
        """A request arrives, with a prompt of so many tokens; it is in the queue or called when this returns."""
        exchange = self.exchange(user, model=model, tokens=tokens, headers=headers, path=path, **members)
        match = self.find(exchange)
        wait = asyncio.create_task(self.take_a_turn(exchange, match))
        await pause()
        return Visitor(exchange, wait)

    async def take_a_turn(self, exchange: Exchange, match: Match | None = None) -> Turn:
        """As the journey takes it."""
        turn = self.turns.enter(exchange, match or self.find(exchange), self.clock.time())
        if turn.server is None:
            await self.turns.wait(turn, lambda: self.find(exchange))
        return turn

    def exchange(
        self,
        user: str,
        *,
        model: str = MODEL,
        tokens: int = 0,
        headers: Iterable[tuple[bytes, bytes]] = (),
        path: str = "/v1/chat/completions",
        **members: Any,
    ) -> Exchange:
        now = self.clock.time()
        arrived = Exchange("POST", path.encode(), path, "", "HTTP/1.1", list(headers), "", "", "http", b"id", now, WALL)
        arrived.body = orjson.dumps({"model": model, "prompt": [7] * tokens, **members})
        arrived.peek = peek.peek(arrived.body)
        arrived.model = model
        arrived.streaming = arrived.peek.stream
        arrived.user = user
        return arrived

    def advance(self, seconds: float) -> None:
        self.clock.advance(seconds)

    def service(self, user: str, model: str = MODEL) -> float:
        """Weighted tokens that the window holds of a user."""
        ledger = self.turns.ledger
        if ledger.find(model, user) < 0:
            return 0.0
        now = self.turns.wall()
        row = ledger.pin(model, user, now)
        held = ledger.service(row, now)
        ledger.unpin(row)
        return self.turns.tariff.service(held)

    def permits(self, server: str = "default/s") -> int:
        """How many are out."""
        gate = self.turns.server_gates.get(server)
        return gate.out if gate is not None else 0

    def waiting(self) -> int:
        return sum(len(queue.heap) for queue in self.turns.queues.values())

    def is_as_new(self) -> bool:
        """Whether no request has left anything behind but what it was charged."""
        return (
            not self.waiting()
            and not len(self.timers)
            and not any(gate.out for gate in self.turns.server_gates.values())
            and self.metric("kthena_router_fairness_queue_size") == 0
            and self.metric("kthena_router_fairness_queue_inflight") == 0
        )

    def metric(self, name: str, **labels: str) -> float:
        """The sum of a metric's samples with these labels."""
        self.registry.refresh()
        return sum(
            sample.value
            for family in self.registry.collect()
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        )


async def pause() -> None:
    """Let every task go as far as it can without time passing."""
    for _ in range(4):
        await asyncio.sleep(0)


async def order(desk: Desk, *visitors: Visitor) -> list[str]:
    """The users in the order in which they are called, one at a time, each request costing nothing more."""
    called: list[str] = []
    left = list(visitors)
    while left:
        now = [visitor for visitor in left if visitor.was_called]
        assert len(now) == 1, now
        called.append(now[0].exchange.user)
        left.remove(now[0])
        now[0].turn.end()
        await pause()
    return called
