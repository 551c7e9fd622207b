"""Whatever bytes a client sends, in whatever pieces: the same through each way in, in memory and without waiting.

with Ways() as ways:
    ways.agree([b"POST /v1/...", b"..."])

What each way must keep is asserted: an engine gets whole requests and nothing else, the client gets whole answers, and
nothing is left or logged when the client has gone. Two things may differ between aiohttp's way and the lane: of a piece
whose end is malformed aiohttp forgets the requests before it, which the lane answers; and a request with two faults is
refused for either. Between the twins nothing does.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterable
from types import ModuleType
from typing import Any, Self

from kthena_fast.gateway import _lane_py, app
from kthena_fast.settings import Settings
from tests.fuzz import strict
from tests.gateway import in_memory, running
from tests.lane import ways

KNOBS: dict[str, Any] = {
    "access_log_enabled": False,
    "enable_fairness_scheduling": True,
    # Engines that are in memory have no metrics to read.
    "metrics_scrape_interval": 86_400.0,
    # Low, so that they are met.
    "max_body_bytes": 4096,
    "max_header_bytes": 2048,
    "max_headers": 24,
}

REFUSALS = {400, 413, 431}
"""Of what is not well-formed or too large; they end the connection."""

QUIET = 6
"""Turns of the loop without anything said, after which nothing more will be."""
MOST_TURNS = 2_000

Outcome = tuple[list[strict.Answer], list[strict.Request], bool]
"""The answers, what reached an engine, and whether the gateway ended the connection."""


class Ways:
    """aiohttp's way in, the lane's twins, and behind each an engine that reads strictly and answers at once."""

    def __init__(self) -> None:
        modules: dict[str, ModuleType | None] = {"aiohttp": None, "pure": _lane_py, "in use": ways.IN_USE}
        self._runner = asyncio.Runner(loop_factory=in_memory.Loop)
        self._closing = contextlib.AsyncExitStack()
        self._modules = modules
        self._ways: list[_Way] = []
        self._problems = Problems()

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
        for number, (name, module) in enumerate(self._modules.items()):
            options = app.Options(
                "127.0.0.1", 0, metrics_port=0, debug_port=0, express=module is not None, own_sockets=False
            )
            source = running.Given(running.objects([f"10.0.0.{number}:8000"]))
            knobs = Settings(**KNOBS)
            gateway = await self._closing.enter_async_context(app.running(options, knobs, source))
            if module is not None:
                assert gateway._way is not None
                gateway._way.lane = module.Lane
            await source.begun.wait()
            self._ways.append(_Way(name, gateway))

    def _on_connect(self, transport: in_memory.Transport) -> None:
        number = int(transport.address[0].rpartition(".")[2])
        transport.on_write = _Engine(self._ways[number], transport).on_write

    def agree(self, pieces: Iterable[bytes]) -> Outcome:
        """The outcome of this conversation, which is the same on each way; AssertionError where it is not.

        One more request follows, as long as the gateway reads: it ends a head that is not ended, which aiohttp may
        refuse before its end and the lane never does.
        """
        return self._runner.run(self._agree([*pieces, ways.LAST]))

    async def _agree(self, pieces: list[bytes]) -> Outcome:
        outcomes = [await way.converse(pieces) for way in self._ways]
        assert not self._problems.found, self._problems.found
        first = outcomes[0]
        for way, outcome in zip(self._ways[1:], outcomes[1:], strict=True):
            if not _is_alike(first, outcome):
                # Of a piece with more bytes behind `Connection: close`, too, aiohttp forgets what is before them.
                first = await self._ways[0].converse([bytes([octet]) for octet in b"".join(pieces)])
            assert _is_alike(first, outcome), f"{way.name}: {outcome}\n{self._ways[0].name}: {first}"
        assert outcomes[-1] == outcomes[1], (
            f"{self._ways[-1].name}: {outcomes[-1]}\n{self._ways[1].name}: {outcomes[1]}"
        )
        return outcomes[1]


def _is_alike(aiohttp: Outcome, lane: Outcome) -> bool:
    """Whether no more differs than may."""
    if aiohttp == lane:
        return True
    (few, reached, ended), (more, all_reached, lane_ended) = aiohttp, lane
    if not (few and more and ended == lane_ended and few[-1].status in REFUSALS and more[-1].status in REFUSALS):
        return False
    return more[: len(few) - 1] == few[:-1] and all_reached[: len(reached)] == reached


async def rest(moves: Callable[[], int]) -> None:
    """Return when the gateway has done what it had to do; `moves` counts what is written on any side."""
    still = turns = 0
    while still < QUIET:
        before = moves()
        await asyncio.sleep(0)
        still = still + 1 if moves() == before else 0
        turns += 1
        assert turns < MOST_TURNS, "it never rests"


class _Way:
    def __init__(self, name: str, gateway: app.Gateway) -> None:
        self.name = name
        self.reached: list[strict.Request] = []
        self.problems: list[str] = []
        self.moves = 0
        """Counts what is written on any side."""
        self._gateway = gateway
        assert gateway._way is not None
        self._way = gateway._way

    async def converse(self, pieces: list[bytes]) -> Outcome:
        self.reached.clear()
        heard: list[bytes] = []
        protocol = self._way.accept()
        transport = in_memory.Transport(protocol)

        def on_write(data: bytes) -> None:
            assert not transport.ended, "written behind the end"
            self.moves += 1
            heard.append(bytes(data))

        transport.on_write = on_write
        protocol.connection_made(transport)
        for piece in pieces:
            await self._say(transport, piece)
        ended = transport.ended
        if not transport.is_closing():
            if not transport.protocol.eof_received():
                transport.close()
            await self._rest()
            transport.close()
        await self._rest()
        self._is_as_before()
        return strict.answers(b"".join(heard)), list(self.reached), ended

    async def _say(self, transport: in_memory.Transport, piece: bytes) -> None:
        if piece and not transport.is_closing() and transport.is_reading():
            transport.protocol.data_received(piece)
            await self._rest()

    async def _rest(self) -> None:
        await rest(lambda: self.moves)

    def _is_as_before(self) -> None:
        assert not self.problems, f"{self.name}: {self.problems}"
        way = self._way
        state = self._gateway.state
        left = {
            "connections": way.open_connections,
            "lanes": len(way.lanes),
            "aiohttp's": len(way.server.connections),
            "requests": len(state.serving),
            "bytes held": way.budget.held,
            "in flight": sum(pod.in_flight for pod in state.snapshot.pods.values()),
        }
        assert not any(left.values()), f"{self.name}: {left}"


class _Engine:
    """One connection to it: each write is one whole request, or it is a problem."""

    def __init__(self, way: _Way, transport: in_memory.Transport) -> None:
        self._way = way
        self._transport = transport

    def on_write(self, data: bytes) -> None:
        self._way.moves += 1
        try:
            request = strict.request(bytes(data))
        except AssertionError as problem:
            self._way.problems.append(str(problem))
            self._transport.close()
            return
        # Each way has an engine of its own.
        fields = tuple(field for field in request.fields if field[0] != b"host")
        self._way.reached.append(strict.Request(request.target, fields, request.body))
        answer = ways._answer(b'"stream":true' in request.body.replace(b" ", b""))
        asyncio.get_running_loop().call_soon(self._transport.protocol.data_received, answer)


class Problems(logging.Handler):
    """What nobody should have to log, whatever a client sends."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.found: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.found.append(record.getMessage() + (f": {record.exc_info[1]!r}" if record.exc_info else ""))
