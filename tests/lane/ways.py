"""The same bytes to the same gateway, once for each way in, and an engine that writes down what reaches it.

async with ways.gateways() as gateways:
    for way in gateways:
        answers, requests = await way.converse(b"POST /v1/...")
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import h11

from kthena_fast.core import _choice
from kthena_fast.gateway import app
from kthena_fast.settings import Settings
from tests.gateway import running

IN_USE = importlib.import_module(f"kthena_fast.gateway.{'interpreted.lane' if _choice.NO_EXTENSIONS else '_lane_c'}")
"""The module of the lane that connections begin in."""

PATIENCE = 10.0

UNLIKE = {"date", "x-request-id"}
"""Headers that may differ between two answers to the same request."""

JSON = b'{"object":"chat.completion","usage":{"prompt_tokens":1,"completion_tokens":2,"total_tokens":3}}'
EVENTS = b'data: {"choices":[{"delta":{"content":"a"}}]}\n\n', b"data: [DONE]\n\n"

LAST = b"GET /v1/models HTTP/1.1\r\nHost: gateway.test\r\nConnection: close\r\n\r\n"
"""Ends every conversation, so that there is an end to wait for."""


@dataclass(frozen=True, order=True)
class Said:
    """One answer, or one request as an engine got it."""

    first: str
    headers: tuple[tuple[str, str], ...]
    body: bytes


class Recorder:
    """An engine that holds what reaches it to h11's reading of HTTP/1.1, and answers always the same."""

    def __init__(self) -> None:
        self.requests: list[Said] = []
        self.problems: list[str] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = h11.Connection(h11.SERVER)
        request: h11.Request | None = None
        body = b""
        try:
            while True:
                event = connection.next_event()
                if event is h11.NEED_DATA:
                    connection.receive_data(await reader.read(65536))
                elif isinstance(event, h11.Request):
                    request, body = event, b""
                elif isinstance(event, h11.Data):
                    body += bytes(event.data)
                elif isinstance(event, h11.EndOfMessage):
                    assert request is not None
                    self._note(request, body)
                    writer.write(_answer(b'"stream":true' in body.replace(b" ", b"")))
                    connection.send(h11.Response(status_code=200, headers=[("content-length", "0")]))
                    connection.send(h11.EndOfMessage())
                    connection.start_next_cycle()
                else:
                    return
        except h11.RemoteProtocolError as problem:
            self.problems.append(f"{problem} after {request!r}")
        except ConnectionError:
            pass
        finally:
            writer.close()

    def _note(self, request: h11.Request, body: bytes) -> None:
        headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in request.headers]
        names = [name for name, _ in headers]
        for once in ("host", "content-length", "x-request-id"):
            if names.count(once) != 1:
                self.problems.append(f"{names.count(once)} {once} in {request!r}")
        if "transfer-encoding" in names:
            self.problems.append(f"a transfer coding in {request!r}")
        line = f"{request.method.decode()} {request.target.decode()}"
        self.requests.append(Said(line, tuple(sorted(h for h in headers if h[0] not in UNLIKE)), body))


def _answer(streams: bool) -> bytes:
    if streams:
        chunks = b"".join(b"%x\r\n%b\r\n" % (len(event), event) for event in EVENTS)
        head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
        return head + chunks + b"0\r\n\r\n"
    return b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (len(JSON), JSON)


class Way:
    """A gateway of which all connections begin in one way."""

    def __init__(self, name: str, gateway: app.Gateway, engine: Recorder) -> None:
        self.name = name
        self.gateway = gateway
        self.engine = engine

    async def converse(self, data: bytes, cuts: tuple[int, ...] = ()) -> tuple[list[Said], list[Said]]:
        """The answers to these bytes on a connection of their own, and what reached the engine."""
        del self.engine.requests[:], self.engine.problems[:]
        reader, writer = await asyncio.open_connection("127.0.0.1", self.gateway.port)
        try:
            begin = 0
            for end in (*cuts, len(data)):
                writer.write(data[begin:end])
                await writer.drain()
                begin = end
            if b"Connection: close" not in data:
                writer.write(LAST)
            async with asyncio.timeout(PATIENCE):
                heard = await _until_closed(reader)
        finally:
            writer.transport.abort()
        async with asyncio.timeout(PATIENCE):
            await self.gateway.state.idle()
        assert not self.engine.problems, f"{self.name}: {self.engine.problems}"
        return _answers(heard, to_head=data.startswith(b"HEAD")), list(self.engine.requests)


async def _until_closed(reader: asyncio.StreamReader) -> bytes:
    heard = b""
    with contextlib.suppress(ConnectionResetError):
        while piece := await reader.read(65536):
            heard += piece
    return heard


def _answers(heard: bytes, *, to_head: bool) -> list[Said]:
    """What the bytes say, read by h11 as a client would that had asked often enough; `to_head`: the first to a HEAD."""
    answers: list[Said] = []
    while heard:
        connection = h11.Connection(h11.CLIENT)
        method = "HEAD" if to_head and not answers else "POST"
        connection.send(h11.Request(method=method, target="/", headers=[("host", "x"), ("content-length", "0")]))
        connection.send(h11.EndOfMessage())
        connection.receive_data(heard)
        body = b""
        head: h11.Response | None = None
        while not isinstance(event := connection.next_event(), h11.EndOfMessage):
            if event is h11.NEED_DATA:
                connection.receive_data(b"")
            elif isinstance(event, h11.InformationalResponse):
                answers.append(Said(str(event.status_code), (), b""))
            elif isinstance(event, h11.Response):
                head = event
            elif isinstance(event, h11.Data):
                body += bytes(event.data)
        assert head is not None
        headers = sorted((name.decode("latin-1"), value.decode("latin-1")) for name, value in head.headers)
        answers.append(Said(str(head.status_code), tuple(h for h in headers if h[0] not in UNLIKE), body))
        heard = connection.trailing_data[0]
    return answers


@contextlib.asynccontextmanager
async def gateways(twins: dict[str, ModuleType], **settings: Any) -> AsyncIterator[list[Way]]:
    """aiohttp's way first, which the others are compared with, then the lane as each of these modules has it."""
    async with contextlib.AsyncExitStack() as closing:
        found: list[Way] = []
        engine = Recorder()
        server = await asyncio.start_server(engine.serve, "127.0.0.1", 0)
        closing.callback(server.close)
        port = server.sockets[0].getsockname()[1]
        for name in ("aiohttp", *twins):
            options = app.Options("127.0.0.1", 0, metrics_port=0, debug_port=0, express=name in twins)
            source = running.Given(running.objects([f"127.0.0.1:{port}"]))
            knobs = Settings(**({"access_log_enabled": False} | settings))
            gateway = await closing.enter_async_context(app.running(options, knobs, source))
            if name in twins:
                assert gateway._way is not None
                gateway._way.lane = twins[name].Lane
            await source.begun.wait()
            found.append(Way(name, gateway, engine))
        yield found
