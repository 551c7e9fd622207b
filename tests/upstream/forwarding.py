"""A forwarder with what it needs, and requests to it that a test can look into."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from kthena_fast.errors import GatewayError
from kthena_fast.exchange.record import Exchange
from kthena_fast.routing.snapshot import Pod, Server
from kthena_fast.scheduling.least_requests import LeastRequests
from kthena_fast.upstream import forward
from kthena_fast.upstream.deadlines import Deadlines
from kthena_fast.upstream.pool import Pool
from tests.upstream.client import Client, an_exchange
from tests.upstream.clock import Clock

OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
STREAM = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


def a_server(*pods: Pod, timeout: float | None = None, attempts: int = 1, interval: float = 0.0) -> Server:
    return Server(
        "default/server",
        engine="vLLM",
        model=None,
        pods=pods,
        timeout=timeout,
        retry_attempts=attempts,
        retry_interval=interval,
    )


class Gateway:
    """A forwarder with what it needs; `ask` begins a request and hands back its task, record and client."""

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self.pool = Pool(loop, connect_timeout=5.0)
        self.clock = Clock()
        """Moves the deadlines, and nothing else."""
        self.deadlines = Deadlines(cast("asyncio.AbstractEventLoop", self.clock))
        self.gauge = Gauge()
        self.forwarder = forward.Forwarder(loop, self.pool, self.deadlines, LeastRequests())
        self.tasks: list[asyncio.Task[None]] = []

    def ask(self, server: Server, client: Client | None = None, body: bytes = b"{}", **options: Any) -> Call:
        exchange = an_exchange()
        client = client or Client()
        lines = b"Content-Length: %d\r\nX-Request-Id: r-1\r\n" % len(body)
        request = forward.Request(b"POST", exchange.target, lines, body, **options)
        forwarding = self.forwarder.forwarding(exchange, server, client, request, self.gauge)
        task = asyncio.ensure_future(forwarding.complete())
        self.tasks.append(task)
        return Call(task, exchange, client)

    async def close(self) -> None:
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        self.pool.close()
        self.deadlines.close()


class Call:
    def __init__(self, task: asyncio.Task[None], exchange: Exchange, client: Client) -> None:
        self.task = task
        self.exchange = exchange
        self.client = client

    async def fails(self) -> GatewayError:
        with pytest.raises(GatewayError) as caught:
            await self.task
        assert not self.client.started
        return caught.value

    async def cancel(self) -> None:
        self.task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await self.task


class Gauge:
    """What the forwarder counted."""

    def __init__(self) -> None:
        self.active = 0
        self.attempts = 0

    def attempt_began(self) -> None:
        self.active += 1
        self.attempts += 1

    def attempt_ended(self) -> None:
        self.active -= 1
