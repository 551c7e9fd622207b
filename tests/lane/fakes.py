"""A lane on a transport that is none, before a journey that only notes what came."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import ModuleType
from typing import Any

from kthena_fast.errors import GatewayError
from kthena_fast.exchange.downstream import Downstream
from kthena_fast.exchange.record import Exchange
from kthena_fast.gateway import replies
from kthena_fast.gateway.inference import InferenceWay
from kthena_fast.gateway.journey import Journey
from kthena_fast.gateway.state import State
from kthena_fast.routing.snapshot import Pod
from kthena_fast.settings import Settings
from kthena_fast.upstream.deadlines import Deadlines
from kthena_fast.upstream.forward import Request
from kthena_fast.wire import headers


class Transport(asyncio.Transport):
    """Takes everything at once."""

    def __init__(self) -> None:
        super().__init__({"peername": ("::ffff:192.0.2.1", 1), "socket": self})
        self.written = b""
        self.protocol: Any = None
        self._reads = True
        self.closed = self.ended = False

    def setsockopt(self, *_: object) -> None:
        """As the socket of itself."""

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self.high = high

    def write(self, data: bytes | bytearray | memoryview[Any]) -> None:
        assert not self.closed
        self.written += bytes(data)

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self.ended = True

    def close(self) -> None:
        self.closed = True

    abort = close

    def get_write_buffer_size(self) -> int:
        return 0

    def is_closing(self) -> bool:
        return self.closed

    def pause_reading(self) -> None:
        self._reads = False

    def resume_reading(self) -> None:
        self._reads = True

    def is_reading(self) -> bool:
        return self._reads

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self.protocol = protocol


class Handed:
    """Takes the place of aiohttp's handler."""

    def __init__(self) -> None:
        self.data = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None: ...

    def data_received(self, data: bytes) -> None:
        self.data += data


class Handing:
    """Takes the place of aiohttp's server."""

    connections = ()

    def __init__(self, handed: Handed) -> None:
        self._handed = handed

    def __call__(self) -> Handed:
        return self._handed


class Noting(Journey):
    """Answers what has come, while `go` is set."""

    def __init__(self) -> None:
        self.exchanges: list[Exchange] = []
        self.go = asyncio.Event()
        self.go.set()
        self.refused: list[int] = []

    def count_refusal(self, error: GatewayError) -> None:
        self.refused.append(error.status)

    def serve_at_once(self, exchange: Exchange, downstream: Downstream, done: Callable[[Exchange], object]) -> Any:
        passage = self.begin(exchange, downstream, done)
        passage.on_body(exchange.body)
        return passage

    def begin(self, exchange: Exchange, downstream: Downstream, done: Callable[[Exchange], object]) -> Any:
        return Begun(self, exchange, downstream, done)

    def requests(self) -> list[bytes]:
        """What an engine would get."""
        return [_to_engine(exchange) for exchange in self.exchanges]


class Begun:
    """A passage of a request that waits for its body, and then for `go`."""

    def __init__(
        self, journey: Noting, exchange: Exchange, downstream: Downstream, done: Callable[[Exchange], object]
    ) -> None:
        self._journey = journey
        self._exchange = exchange
        self._downstream = downstream
        self._done = done
        self._task: asyncio.Task[None] | None = None

    def on_body(self, body: bytes) -> None:
        self._exchange.body = body
        self._journey.exchanges.append(self._exchange)
        if self._journey.go.is_set():
            self._answer()
        else:
            self._task = asyncio.ensure_future(self._wait())

    def on_no_body(self, problem: GatewayError) -> None:
        replies.refuse(self._downstream, problem, b"id")
        self._done(self._exchange)

    def cancel(self, reason: str = "") -> None:
        if self._task is not None:
            self._task.cancel(reason)
        self._done(self._exchange)

    async def _wait(self) -> None:
        await self._journey.go.wait()
        self._answer()

    def _answer(self) -> None:
        replies.send(self._downstream, 200, b"text/plain", b"%d" % len(self._journey.exchanges), b"id")
        self._done(self._exchange)


def _to_engine(exchange: Exchange) -> bytes:
    lines = headers.to_engine(
        exchange.headers,
        length=len(exchange.body),
        request_id=b"id",
        client=exchange.peer,
        scheme=exchange.scheme,
        trusted_proxy=exchange.trusted,
        strip_credentials=False,
    )
    return Request(b"POST", exchange.target, lines, exchange.body).head(_POD) + exchange.body


_POD = Pod("key", "default", "pod", "engine.test", 80)


class Stage:
    """One connection in the lane."""

    def __init__(self, module: ModuleType, journey: Any = None, **settings: Any) -> None:
        self.journey = Noting() if journey is None else journey
        self.deadlines = Deadlines(asyncio.get_running_loop())
        knobs = Settings(**settings)
        self.way = InferenceWay(knobs, State(), self.journey, self.deadlines, {})
        self.handed = Handed()
        self.way.server = Handing(self.handed)  # type: ignore[assignment]
        self.transport = Transport()
        self.lane = module.Lane(self.way)
        self.lane.connection_made(self.transport)

    async def say(self, *pieces: bytes) -> None:
        """Give the lane these pieces, and the loop its time after each."""
        for piece in pieces:
            if self.transport.protocol is not None:
                self.handed.data_received(piece)
            elif not self.transport.closed:
                self.lane.data_received(piece)
            await self.rest()

    async def rest(self) -> None:
        for _ in range(4):
            await asyncio.sleep(0)

    def leave(self) -> None:
        if self.transport.protocol is None:
            self.lane.connection_lost(None)
        self.deadlines.close()
