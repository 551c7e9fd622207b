"""The gateway as no command line starts it: `python -m benchmarks.load.gateway ENGINE PORT [options]`.

ENGINE is the port of an engine on every address of loopback, PORT the inference port. It says `preloaded` on stdout
once it holds what it was told to. Rows and waiting requests get there as those of any request do, by `Turns.enter`,
`Turns.wait` and `Turn.end`. Both need fairness.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import os
from typing import TYPE_CHECKING

from benchmarks.load import bodies
from kthena_fast import settings
from kthena_fast.exchange.record import Exchange
from kthena_fast.gateway import app, process
from kthena_fast.sources import backend
from kthena_fast.wire import peek

if TYPE_CHECKING:
    from kthena_fast.queueing.turn import Turn
    from kthena_fast.queueing.turns import Turns
    from kthena_fast.routing.snapshot import Match

PRELOADED = "preloaded"

AT_ONCE = 1_000
"""Requests between which the loop gets to serve others."""

HOLD = 0.1
"""Seconds that a preloaded request has its permit when it is called, which happens only while no client asks."""


def main() -> int:
    """Run until told to stop; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.load.gateway", description=__doc__)
    parser.add_argument("engine", type=int)
    parser.add_argument("port", type=int)
    parser.add_argument("--no-express", action="store_true", help="aiohttp has all connections")
    parser.add_argument("--loop-transports", action="store_true", help="the loop has them all, not transport.sockets")
    parser.add_argument("--pods", type=int, default=1, help="that serve every model")
    parser.add_argument("--routes", type=int, default=0, help="for models m0, m1, ... beside that of m")
    parser.add_argument("--rows", type=int, default=0, help="of the ledger, for users user-0, user-1, ...")
    parser.add_argument("--queued", type=int, default=0, help="requests that wait, each of another user")
    arguments = parser.parse_args()
    options = app.Options(
        "127.0.0.1",
        arguments.port,
        metrics_port=0,
        debug_port=0,
        express=not arguments.no_express,
        own_sockets=not arguments.loop_transports,
    )
    source = backend.BackendSource(
        [f"http://{address}:{arguments.engine}" for address in addresses(arguments.pods)],
        [bodies.MODEL, *(f"{bodies.MODEL}{number}" for number in range(arguments.routes))],
    )
    loading: list[asyncio.Task[None]] = []

    def on_ready(gateway: app.Gateway) -> None:
        loading.append(asyncio.create_task(preload(gateway, arguments.rows, arguments.queued)))

    return process.run(options, settings.read(os.environ, print), source, on_ready)


def addresses(count: int) -> list[str]:
    """So many addresses of loopback."""
    return [f"127.0.{number // 250}.{number % 250 + 1}" for number in range(count)]


async def preload(gateway: app.Gateway, rows: int, queued: int) -> None:
    """Give the ledger its rows and the queue its requests, and say so."""
    waiting: list[asyncio.Task[None]] = []
    if rows or queued:
        preloading = Preloading(gateway)
        for number in range(rows):
            await preloading.serve(f"{bodies.USER}{number}")
            if number % AT_ONCE == 0:
                await asyncio.sleep(0)
        waiting += [asyncio.create_task(preloading.keep_waiting(f"waiting-{number}")) for number in range(queued)]
        # Every task has come to its wait once it had its first step.
        await asyncio.sleep(0)
    print(PRELOADED, flush=True)
    await asyncio.gather(*waiting)


class Preloading:
    """Requests that no client asked for, in the gateway's own queues."""

    def __init__(self, gateway: app.Gateway) -> None:
        # Not public: nothing but the gateway itself has its turns.
        fairness = gateway._fairness
        if fairness is None:
            raise SystemExit("--rows and --queued need ENABLE_FAIRNESS_SCHEDULING=true")
        self._turns: Turns = fairness.turns
        self._state = gateway.state
        self._loop = asyncio.get_running_loop()
        self._body = bodies.chat().encode()
        self._peek = peek.peek(self._body)
        self._numbers = itertools.count()

    async def serve(self, user: str) -> None:
        """A whole request: its turn, and an answer with the usage of `bodies.answer`."""
        exchange = self._exchange(user)
        turn = await self._turn(exchange)
        exchange.sent = True
        exchange.status = 200
        exchange.input_tokens, exchange.output_tokens = 12, 34
        turn.end()

    async def keep_waiting(self, user: str) -> None:
        """A request that waits, and another one when it was called."""
        while True:
            turn = await self._turn(self._exchange(user))
            await asyncio.sleep(HOLD)
            turn.end()

    async def _turn(self, exchange: Exchange) -> Turn:
        """Return when it has come."""
        turn = self._turns.enter(exchange, self._match(exchange), self._loop.time())
        if turn.server is None:
            await self._turns.wait(turn, lambda: self._match(exchange))
        return turn

    def _exchange(self, user: str) -> Exchange:
        exchange = Exchange(
            *("POST", bodies.PATH.encode(), bodies.PATH, "", "HTTP/1.1", []),
            *("127.0.0.1", "127.0.0.1", "http", b"preloaded-%d" % next(self._numbers)),
            *(self._loop.time(), self._turns.wall()),
        )
        exchange.body, exchange.peek = self._body, self._peek
        exchange.model, exchange.user = bodies.MODEL, user
        return exchange

    def _match(self, exchange: Exchange) -> Match:
        match = self._state.snapshot.match(exchange.model, exchange.path, exchange.headers)
        assert match is not None
        return match


if __name__ == "__main__":
    raise SystemExit(main())
