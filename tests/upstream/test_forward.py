"""Over real sockets, against engines that say what the test tells them to, byte for byte."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest

from kthena_fast.errors import GatewayError
from kthena_fast.exchange.record import Exchange
from kthena_fast.routing.snapshot import Pod, Server
from kthena_fast.scheduling.least_requests import LeastRequests
from kthena_fast.upstream import forward
from kthena_fast.upstream.deadlines import Deadlines
from kthena_fast.upstream.pool import Pool
from tests.upstream.client import Client, an_exchange, chunked
from tests.upstream.engine import Engine, a_dead_pod, an_engine

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
        self.deadlines = Deadlines(loop)
        self.gauge = Gauge()
        self.forwarder = forward.Forwarder(loop, self.pool, self.deadlines, LeastRequests())
        self.tasks: list[asyncio.Task[None]] = []

    def ask(self, server: Server, client: Client | None = None, body: bytes = b"{}", **options: Any) -> Call:
        exchange = an_exchange()
        client = client or Client()
        lines = b"Content-Length: %d\r\nX-Request-Id: r-1\r\n" % len(body)
        request = forward.Request(b"POST", exchange.target, lines, body, **options)
        task = asyncio.ensure_future(self.forwarder.forward(exchange, server, client, request, self.gauge))
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


Start = Callable[..., Any]


@pytest.fixture
async def gateway() -> AsyncIterator[Gateway]:
    gateway = Gateway()
    yield gateway
    await gateway.close()
    # Whatever a test did, what it lent came back.
    assert gateway.gauge.active == 0
    assert len(gateway.deadlines) == 0


@pytest.fixture
async def engines() -> AsyncIterator[Callable[..., Any]]:
    async with AsyncExitStack() as stack:

        async def start(name: str, **options: Any) -> Engine:
            return await stack.enter_async_context(an_engine(name, **options))

        yield start


async def test_an_answer_is_passed_with_its_status_headers_and_body(gateway: Gateway, engines: Start) -> None:
    engine = await engines("pod-0")
    call = gateway.ask(a_server(engine.pod), body=b'{"model":"m"}')
    visit = await engine.asked()
    visit.say(
        b"HTTP/1.1 418 Teapot\r\nContent-Length: 2\r\nX-Extra: yes\r\nConnection: X-Secret\r\nX-Secret: no\r\n\r\n{}"
    )
    await call.task
    assert repr(call.client) == "<418 LENGTH b'{}' finished>"
    assert call.client.header(b"x-extra") == b"yes"
    assert call.client.header(b"x-secret") is None
    assert call.client.header(b"x-request-id") == b"r-1"
    assert call.client.header(b"content-length") == b"2"
    assert (call.exchange.status, call.exchange.upstream_status, call.exchange.bytes_out) == (418, 418, 2)
    assert (call.exchange.pod, call.exchange.attempts, engine.pod.in_flight) == ("pod-0", 1, 0)


async def test_the_engine_gets_exactly_one_well_formed_request(gateway: Gateway, engines: Start) -> None:
    engine = await engines("pod-0", prefix=b"/engine")
    call = gateway.ask(a_server(engine.pod), body=b'{"model":"m"}')
    visit = await engine.asked()
    line, *lines = visit.request.rstrip(b"\r\n").split(b"\r\n")
    assert line == b"POST /engine/v1/chat/completions HTTP/1.1"
    assert sorted(line.lower() for line in lines) == [
        b"content-length: 13",
        b"host: " + engine.pod.authority,
        b"x-request-id: r-1",
    ]
    assert visit.body == b'{"model":"m"}'
    visit.say(OK)
    await call.task


async def test_a_connection_serves_one_request_after_another(gateway: Gateway, engines: Start) -> None:
    engine = await engines("pod-0")
    visit = None
    for _ in range(3):
        call = gateway.ask(a_server(engine.pod))
        visit = visit or await engine.visited()
        await visit.asked()
        visit.say(OK)
        await call.task
    assert engine.visits == 1
    assert repr(gateway.pool) == "<Pool pods=1 idle=1>"
