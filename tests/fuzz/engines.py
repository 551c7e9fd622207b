"""Whatever an engine answers to one client, the next one gets the answer that is his: nothing is left in between.

Through the whole gateway, in memory: pool, retries and fairness take part. The relay's twins are compared in `answers`.
"""

from __future__ import annotations

import asyncio
import contextlib
import enum
import logging
from typing import Any, Self

from kthena_fast.gateway import app
from kthena_fast.settings import Settings
from tests.fuzz import strict
from tests.fuzz.conversations import KNOBS, Problems, rest
from tests.fuzz.given import Given
from tests.gateway import in_memory, running

OURS = b'{"object":"chat.completion","choices":[],"usage":{"prompt_tokens":1,"completion_tokens":2,"total_tokens":3}}'
GOOD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (len(OURS), OURS)

PODS = ["10.0.0.1:8000", "10.0.0.2:8000"]


class End(enum.Enum):
    ANSWERED = "and the connection may serve another request"
    WAITING = "the engine has not said all"
    BROKEN = "the connection was ended"


class Engines:
    """One gateway before two pods: what is asked first is answered with the given bytes, everything else well."""

    def __init__(self) -> None:
        self._runner = asyncio.Runner(loop_factory=in_memory.Loop)
        self._closing = contextlib.AsyncExitStack()
        self._problems = Problems()
        self._gateway: app.Gateway
        self._given: Given | None = None
        self._moves = 0

    def __enter__(self) -> Self:
        logging.getLogger().addHandler(self._problems)
        self._runner.run(self._open())
        return self

    def __exit__(self, *_: object) -> None:
        self._runner.run(self._closing.aclose())
        self._runner.close()
        logging.getLogger().removeHandler(self._problems)

    async def _open(self) -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, in_memory.Loop)
        loop.on_connect = self._on_connect
        loop.set_exception_handler(lambda _, context: self._problems.found.append(repr(context)))
        source = running.Given(running.objects(PODS, policy={"retry": {"attempts": 1}}))
        options = app.Options("127.0.0.1", 0, metrics_port=0, debug_port=0, own_sockets=False)
        self._gateway = await self._closing.enter_async_context(app.running(options, Settings(**KNOBS), source))
        await source.begun.wait()

    def check(self, given: Given) -> None:
        """AssertionError where it does not hold."""
        self._runner.run(self._check(given))

    async def _check(self, given: Given) -> None:
        self._given = given
        first, end = await self._ask(stream=given.chose(0))
        if end is End.ANSWERED:
            assert len([answer for answer in strict.answers(first) if answer.status >= 200]) == 1, first
        for _ in PODS:
            second, end = await self._ask(stream=False)
            assert end is End.ANSWERED
            assert [answer.body for answer in strict.answers(second)] == [OURS], second
        assert not self._problems.found, self._problems.found
        in_flight = sum(pod.in_flight for pod in self._gateway.state.snapshot.pods.values())
        assert not in_flight
        assert not self._gateway.state.serving

    async def _ask(self, *, stream: bool) -> tuple[bytes, End]:
        """What a new client hears, and how it stands with his request when nothing more comes."""
        heard: list[bytes] = []
        way: Any = self._gateway._way
        protocol = way.accept()
        transport = in_memory.Transport(protocol)

        def on_write(data: bytes) -> None:
            self._moves += 1
            heard.append(bytes(data))

        transport.on_write = on_write
        protocol.connection_made(transport)
        protocol.data_received(running.chat("X-Request-Id: a", stream=stream))
        await rest(lambda: self._moves)
        end = End.BROKEN if transport.ended else End.WAITING if self._gateway.state.serving else End.ANSWERED
        transport.close()
        await rest(lambda: self._moves)
        return b"".join(heard), end

    def _on_connect(self, transport: in_memory.Transport) -> None:
        transport.on_write = lambda data: self._answer(transport, data)

    def _answer(self, transport: in_memory.Transport, data: bytes) -> None:
        self._moves += 1
        strict.request(bytes(data))
        given, self._given = self._given, None
        asyncio.get_running_loop().call_soon(self._say, transport, [GOOD] if given is None else [*given.pieces], given)

    def _say(self, transport: in_memory.Transport, pieces: list[bytes], given: Given | None) -> None:
        self._moves += 1
        if transport.is_closing():
            return
        if pieces:
            transport.protocol.data_received(pieces.pop(0))
            asyncio.get_running_loop().call_soon(self._say, transport, pieces, given)
        elif given is not None and given.chose(4):
            transport.protocol.eof_received()
            transport.close()
        elif given is not None and given.chose(5):
            transport.close()
