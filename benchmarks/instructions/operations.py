"""What is counted: each operation on a gateway as `app` puts it together, with everything on, in memory.

An operation is made ready (`prepare`, not counted) and then done so many times (`run`, counted).
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import time
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import orjson

from benchmarks.instructions import calibration
from kthena_fast.core import _choice
from kthena_fast.exchange.downstream import Downstream, Flow, Framing
from kthena_fast.exchange.record import Exchange
from kthena_fast.gateway import _lane_py, app, replies
from kthena_fast.gateway.journey import Journey
from kthena_fast.routing.objects import Objects
from kthena_fast.settings import Settings
from kthena_fast.transport.sockets import Sockets
from kthena_fast.transport.stream import Stream
from tests.gateway import in_memory, running
from tests.transport import ends

MESSAGES = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "What does a gateway do all day? " * 4},
]


def _request(**members: Any) -> bytes:
    """As the OpenAI SDK writes it."""
    document = {"model": running.MODEL, "messages": MESSAGES, "max_tokens": 100, "user": "ann", **members}
    return running.request(
        orjson.dumps(document),
        "Accept: application/json",
        "Accept-Encoding: gzip, deflate",
        "Connection: keep-alive",
        "Content-Type: application/json",
        "User-Agent: OpenAI/Python 2.8.0",
        "X-Stainless-Lang: python",
        "Authorization: Bearer sk-0123456789",
    )


REQUEST = _request()
STREAMING = _request(stream=True, stream_options={"include_usage": True})
ANSWER_BODY = orjson.dumps(
    {
        "id": "chatcmpl-0123456789abcdef0123456789abcdef",
        "object": "chat.completion",
        "created": 1_700_000_000,
        "model": running.MODEL,
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "token " * 10}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 40, "total_tokens": 52, "completion_tokens": 12},
    }
)
ANSWER = (
    b"HTTP/1.1 200 OK\r\ndate: Mon, 01 Jan 2024 00:00:00 GMT\r\nserver: uvicorn\r\ncontent-length: %d\r\n"
    b"content-type: application/json\r\n\r\n%b" % (len(ANSWER_BODY), ANSWER_BODY)
)
STREAM_HEAD = (
    b"HTTP/1.1 200 OK\r\ndate: Mon, 01 Jan 2024 00:00:00 GMT\r\nserver: uvicorn\r\n"
    b"content-type: text/event-stream; charset=utf-8\r\ntransfer-encoding: chunked\r\n\r\n"
)
EVENT = b"data: %b\n\n" % orjson.dumps(
    {
        "id": "chatcmpl-0123456789abcdef0123456789abcdef",
        "object": "chat.completion.chunk",
        "created": 1_700_000_000,
        "model": running.MODEL,
        "choices": [{"index": 0, "delta": {"content": " token"}, "finish_reason": None}],
    }
)
CHUNK = b"%x\r\n%b\r\n" % (len(EVENT), EVENT)


class Operation(Protocol):
    """`times` is N; see the package."""

    times: int

    async def prepare(self, times: int) -> None: ...

    async def run(self, times: int) -> None: ...


class Requests:
    """Whole requests, one after the other on one connection: each is parsed, proxied to an engine and answered."""

    times = 200

    def __init__(self, gateway: Made, burn: Callable[[], object]) -> None:
        self._loop = gateway.loop
        self._burn = burn
        self._left = 0
        self._done: asyncio.Future[None]
        gateway.loop.on_connect = self._on_engine
        self._client = gateway.connect()
        self._client.on_write = self._on_answer

    async def prepare(self, times: int) -> None:
        self._left = times
        self._done = self._loop.create_future()

    async def run(self, times: int) -> None:
        self._ask()
        await self._done

    def _ask(self) -> None:
        self._burn()
        self._client.protocol.data_received(REQUEST)

    def _on_engine(self, transport: in_memory.Transport) -> None:
        transport.on_write = lambda _: self._loop.call_soon(transport.protocol.data_received, ANSWER)

    def _on_answer(self, data: bytes) -> None:
        if not data.startswith(b"HTTP/1.1 200 OK\r\n") or not data.endswith(ANSWER_BODY):
            self._done.set_exception(AssertionError(f"the client got {data!r}"))
            return
        self._left -= 1
        if self._left:
            self._loop.call_soon(self._ask)
        else:
            self._done.set_result(None)


class RequestsOfModels(Requests):
    """The same, each for another of many models: what one of them needs is in no cache when it is asked for again."""

    times = 1000

    def __init__(self, gateway: Made, burn: Callable[[], object]) -> None:
        super().__init__(gateway, burn)
        # Put together when it is sent: so many requests would be in no cache either.
        self._before, _, self._after = _request(model=gateway.models[0]).partition(gateway.models[0].encode())
        self._models = itertools.cycle([model.encode() for model in gateway.models])

    def _ask(self) -> None:
        self._burn()
        self._client.protocol.data_received(b"".join((self._before, next(self._models), self._after)))


class Chunks:
    """Chunks of one stream, from the engine's connection to the client's, each with one event of 190 bytes."""

    times = 1000

    def __init__(self, gateway: Made, burn: Callable[[], object]) -> None:
        self._gateway = gateway
        self._burn = burn
        self._engine: in_memory.Transport | None = None
        self._asked = gateway.loop.create_future()
        self._written = 0
        gateway.loop.on_connect = self._on_engine
        client = gateway.connect()
        client.on_write = self._on_answer
        client.protocol.data_received(STREAMING)

    def _on_engine(self, transport: in_memory.Transport) -> None:
        self._engine = transport
        transport.on_write = lambda _: self._asked.set_result(None)

    async def prepare(self, times: int) -> None:
        await self._asked
        if not self._written:
            assert self._engine is not None
            self._engine.protocol.data_received(STREAM_HEAD + CHUNK)
        self._written = 0

    async def run(self, times: int) -> None:
        assert self._engine is not None
        receive = self._engine.protocol.data_received
        for _ in range(times):
            self._burn()
            receive(CHUNK)
        assert self._written == times

    def _on_answer(self, data: bytes) -> None:
        self._written += 1
        assert data.endswith(CHUNK), data


class Pieces:
    """Pieces of 190 bytes from one connection to another one, as an engine's go to a client: the kernel's loopback, and
    between its two ends nothing but `transport`."""

    times = 500

    def __init__(self, gateway: Made, burn: Callable[[], object]) -> None:
        self._burn = burn
        self._sockets = Sockets(gateway.loop)
        from_engine, self._engine = ends.a_pair()
        to_client, self._client = ends.a_pair()
        client = self._sockets.adopt(to_client, asyncio.Protocol)
        self._sockets.adopt(from_engine, lambda: _Passing(client))

    async def prepare(self, times: int) -> None:
        # What comes with a new connection is its first edge.
        await ends.turns()

    async def run(self, times: int) -> None:
        engine, client, size = self._engine.fileno(), self._client.fileno(), len(CHUNK)
        # As the loop does: by itself it needs ten times as much for a turn.
        on_ready = self._sockets._on_ready
        for _ in range(times):
            self._burn()
            os.write(engine, CHUNK)
            on_ready()
            assert os.read(client, size) == CHUNK


class _Passing(asyncio.Protocol):
    def __init__(self, client: Stream) -> None:
        self.data_received = client.write  # type: ignore[method-assign]


class Parses:
    """Requests that the lane reads and hands to a journey that answers them at once."""

    times = 300

    def __init__(self, gateway: Made, burn: Callable[[], object]) -> None:
        self._burn = burn
        gateway.journey_of_lanes(_Answering())
        self._client = gateway.connect()

    async def prepare(self, times: int) -> None: ...

    async def run(self, times: int) -> None:
        receive = self._client.protocol.data_received
        for _ in range(times):
            self._burn()
            receive(REQUEST)
            await asyncio.sleep(0)


class Steps:
    """The steps of the journey without the lane: peek, match, identify, a turn where there are turns, pick, an engine's
    answer, settle."""

    times = 300

    def __init__(self, gateway: Made, burn: Callable[[], object]) -> None:
        self._burn = burn
        self._loop = gateway.loop
        self._journey = gateway.journey
        self._left = 0
        self._done: asyncio.Future[None]
        self._exchanges: list[Exchange] = []
        head, _, self._body = REQUEST.partition(b"\r\n\r\n")
        lines = [line.partition(b": ") for line in head.split(b"\r\n")[1:]]
        self._fields = [(name.lower(), value) for name, _, value in lines]
        gateway.loop.on_connect = self._on_engine

    async def prepare(self, times: int) -> None:
        self._exchanges = [self._exchange() for _ in range(times)]
        self._left = times
        self._done = self._loop.create_future()

    async def run(self, times: int) -> None:
        self._go_on()
        await self._done
        assert all(exchange.status == 200 for exchange in self._exchanges)

    def _go_on(self) -> None:
        self._burn()
        self._journey.serve_at_once(self._exchanges[-self._left], _Nobody(), self._on_settled)

    def _on_settled(self, exchange: Exchange) -> None:
        self._left -= 1
        if self._left:
            self._loop.call_soon(self._go_on)
        else:
            self._done.set_result(None)

    def _on_engine(self, transport: in_memory.Transport) -> None:
        transport.on_write = lambda _: self._loop.call_soon(transport.protocol.data_received, ANSWER)

    def _exchange(self) -> Exchange:
        path = "/v1/chat/completions"
        now = asyncio.get_running_loop().time()
        exchange = Exchange(
            "POST",
            path.encode(),
            path,
            "",
            "HTTP/1.1",
            self._fields,
            "192.0.2.1",
            "192.0.2.1",
            "http",
            b"id",
            now,
            time.time(),
        )
        exchange.body = self._body
        return exchange


class Calibration:
    """The fixed piece of work that figures are compared with where there is none of this build."""

    times = 150

    def __init__(self, gateway: Made, burn: Callable[[], object]) -> None:
        self._burn = burn
        self._proxy = calibration.Proxy(gateway.loop)

    async def prepare(self, times: int) -> None: ...

    async def run(self, times: int) -> None:
        for _ in range(times):
            self._burn()
            await self._proxy.serve(REQUEST, ANSWER)


class Made:
    """A gateway in memory, and its parts where an operation leaves others out."""

    def __init__(self, gateway: app.Gateway, loop: in_memory.Loop, models: Sequence[str]) -> None:
        assert gateway._way is not None
        self.models = models
        self._way = gateway._way
        self.loop = loop
        self.journey = gateway._way.journey

    def connect(self) -> in_memory.Transport:
        """A client's new connection."""
        protocol = self._way.accept()
        transport = in_memory.Transport(protocol)
        protocol.connection_made(transport)
        return transport

    def journey_of_lanes(self, journey: Journey) -> None:
        """Have lanes hand requests to this one, and take all steps up to there."""
        self._way.journey = journey
        if _choice.NO_EXTENSIONS:
            # The short way of that build goes through no journey.
            self._way.lane = _lane_py.Lane


@contextlib.asynccontextmanager
async def gateway(log: Path, setup: Setup) -> AsyncIterator[Made]:
    """One with the access log and the metrics on; its pods are not there."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, in_memory.Loop)
    settings = Settings(
        access_log_output=str(log),
        enable_fairness_scheduling=setup.fair,
        # The pods have no metrics to read.
        metrics_scrape_interval=86_400.0,
    )
    # Of one length: so are requests for them.
    models = [f"{running.MODEL}-{number:04}" for number in range(setup.models)] if setup.models > 1 else [running.MODEL]
    addresses = [f"10.0.0.{number + 1}:8000" for number in range(setup.pods)]
    every = [
        running.objects(addresses, model=model, route_name=f"route{number or ''}")
        for number, model in enumerate(models)
    ]
    routes = {key: route for each in every for key, route in each.routes.items()}
    source = running.Given(Objects(routes=routes, servers=every[0].servers))
    options = app.Options("127.0.0.1", 0, metrics_port=0, debug_port=0, own_sockets=False)
    async with app.running(options, settings, source) as started:
        await source.begun.wait()
        yield Made(started, loop, models)


class _Answering(Journey):
    """Answers at once."""

    def __init__(self) -> None: ...

    def serve_at_once(self, exchange: Exchange, downstream: Downstream, done: Callable[[Exchange], object]) -> None:
        replies.send(downstream, 200, b"text/plain", b"ok", exchange.request_id)
        done(exchange)


class _Nobody:
    """A client that takes what it gets."""

    accepts_chunked = wants_body = True
    started = False

    def end_connection(self) -> None: ...

    def start(self, status: int, lines: bytes, framing: Framing, first: bytes = b"") -> None: ...

    def write(self, data: bytes) -> None: ...

    def attach(self, flow: Flow | None) -> None: ...

    def finish(self) -> None: ...

    def abort(self) -> None: ...


PODS = 100
"""Where there are many: each has had a request before anything is counted."""

MODELS = 1000
"""Where there are many: what they need is more than a cache holds."""


class Setup(NamedTuple):
    """What does an operation, and on which gateway."""

    make: Callable[[Made, Callable[[], object]], Operation]
    fair: bool = True
    """Whether fairness is on."""
    pods: int = 1
    models: int = 1
    """Each has a route to these pods."""


OPERATIONS: dict[str, Setup] = {
    "calibration": Setup(Calibration),
    "request": Setup(Requests),
    "request_unfair": Setup(Requests, fair=False),
    "request_pods": Setup(Requests, pods=PODS),
    "request_models": Setup(RequestsOfModels, models=MODELS),
    "lane_parse": Setup(Parses),
    "steps": Setup(Steps),
    "steps_unfair": Setup(Steps, fair=False),
    "relay_chunk": Setup(Chunks),
    "transport_piece": Setup(Pieces),
}
