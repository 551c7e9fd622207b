"""A gateway over mock engines, on real sockets, and a client that says every byte itself.

async with running.scene() as scene:
    answer = await scene.ask(running.chat())
    assert answer.status == 200
    assert scene.engine.requests[0].json()["model"] == "llama"
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from typing import Any

import openai
import orjson

from kthena_fast import sources
from kthena_fast.gateway import app
from kthena_fast.mock_engine import EngineConfig, Fault, MockEngine, RunningEngine
from kthena_fast.mock_engine.faults import parse
from kthena_fast.resources import decoding
from kthena_fast.resources.model_route import ModelRoute
from kthena_fast.resources.model_server import ENDPOINTS, ModelServer
from kthena_fast.routing.objects import Objects
from kthena_fast.settings import Settings
from kthena_fast.sources import Observation

PATIENCE = 10.0
"""Seconds after which a test that waits for a socket fails instead of hanging."""

MODEL = "llama"


class Given:
    """A source whose objects the test gives; None: it has not read any yet."""

    def __init__(self, objects: Objects | None) -> None:
        self._objects = objects
        self._publish: Callable[[Observation], None] | None = None
        self.begun = asyncio.Event()

    async def run(self, publish: Callable[[Observation], None]) -> None:
        self._publish = publish
        if self._objects is not None:
            publish(Observation(self._objects))
        self.begun.set()
        await asyncio.get_running_loop().create_future()

    def change(self, objects: Objects, *faults: sources.Fault, synced: bool = True) -> None:
        assert self._publish is not None
        self._publish(Observation(objects, synced=synced, faults=faults))


def objects(
    addresses: Iterable[str],
    *,
    model: str = MODEL,
    route_name: str = "route",
    upstream_model: str | None = None,
    adapters: Iterable[str] = (),
    policy: Mapping[str, Any] | None = None,
) -> Objects:
    """One ModelRoute, `default/<route_name>`, and one ModelServer, `default/server`, over engines at `host:port`."""
    addresses = list(addresses)
    server: dict[str, Any] = {
        "inferenceEngine": "vLLM",
        "workloadSelector": {},
        "workloadPort": {"port": 8000},
    }
    if upstream_model is not None:
        server["model"] = upstream_model
    if policy is not None:
        server["trafficPolicy"] = policy
    rule = {"name": "all", "targetModels": [{"modelServerName": "server"}]}
    route = {"modelName": model, "loraAdapters": list(adapters), "rules": [rule]}
    made = (
        decoding.decode(
            {"apiVersion": kind.API_VERSION, "kind": kind.KIND, "metadata": metadata, "spec": spec},
        )
        for kind, metadata, spec in (
            (ModelRoute, {"name": route_name}, route),
            (
                ModelServer,
                {"name": "server", "annotations": {ENDPOINTS: ",".join(addresses)} if addresses else {}},
                server,
            ),
        )
    )
    model_route, model_server = made
    assert isinstance(model_route, ModelRoute)
    assert isinstance(model_server, ModelServer)
    return Objects(
        routes={model_route.metadata.key: model_route},
        servers={model_server.metadata.key: model_server},
    )


@dataclasses.dataclass(frozen=True, slots=True)
class Answer:
    """One answer, as its bytes were read."""

    status: int
    headers: dict[str, str]
    """Names in lower case."""
    body: bytes
    """Without its chunks."""
    wire: bytes
    """The body as it stood on the wire."""
    version: str = "HTTP/1.1"

    @property
    def error(self) -> dict[str, Any]:
        """The one member of the OpenAI error object, whose shape is checked."""
        document = orjson.loads(self.body)
        assert list(document) == ["error"], document
        error: dict[str, Any] = document["error"]
        assert set(error) == {"message", "type", "param", "code"}, error
        assert self.headers["content-type"] == "application/json"
        assert self.headers["x-request-id"]
        return error

    @property
    def code(self) -> str:
        code: str = self.error["code"]
        return code

    def json(self) -> Any:
        return orjson.loads(self.body)


class Raw:
    """A connection on which the test says what it likes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def say(self, data: bytes) -> None:
        self.writer.write(data)

    async def head(self) -> tuple[str, int, dict[str, str]]:
        """The version, status and headers of the next answer, interim ones included."""
        async with asyncio.timeout(PATIENCE):
            raw = await self.reader.readuntil(b"\r\n\r\n")
        first, *lines = raw.decode("latin-1").split("\r\n")[:-2]
        version, status, _ = first.split(" ", 2)
        headers: dict[str, str] = {}
        for line in lines:
            name, _, value = line.partition(":")
            assert name.lower() not in headers, line
            headers[name.lower()] = value.strip()
        return version, int(status), headers

    async def answer(self, *, to_head: bool = False) -> Answer:
        """The next whole answer; `to_head`: to a HEAD request, so without its body."""
        version, status, headers = await self.head()
        async with asyncio.timeout(PATIENCE):
            if to_head or status < 200 or status == 204:
                body = wire = b""
            elif headers.get("transfer-encoding") == "chunked":
                body, wire = await self._chunks()
            elif "content-length" in headers:
                body = wire = await self.reader.readexactly(int(headers["content-length"]))
            else:
                assert headers["connection"] == "close"
                body = wire = await self.reader.read()
        return Answer(status, headers, body, wire, version)

    async def _chunks(self) -> tuple[bytes, bytes]:
        body = wire = b""
        while True:
            line = await self.reader.readuntil(b"\r\n")
            size = int(line, 16)
            chunk = await self.reader.readexactly(size + 2)
            assert chunk.endswith(b"\r\n")
            wire += line + chunk
            if size == 0:
                return body, wire
            body += chunk[:-2]

    async def until(self, end: bytes) -> bytes:
        """The bytes up to and with the next `end`."""
        async with asyncio.timeout(PATIENCE):
            return await self.reader.readuntil(end)

    async def rest(self) -> bytes:
        """All that comes until the gateway closes the connection, however it does."""
        came = b""
        async with asyncio.timeout(PATIENCE):
            with contextlib.suppress(ConnectionResetError):
                while piece := await self.reader.read(65536):
                    came += piece
        return came

    async def leave(self) -> None:
        """Close at once, with a reset if anything is under way."""
        self.writer.transport.abort()
        with contextlib.suppress(ConnectionError):
            await self.writer.wait_closed()


class Scene:
    """A running gateway, the engines behind it and the clients in front of it, until the end of a `scene`."""

    def __init__(
        self,
        gateway: app.Gateway,
        source: Given,
        engines: list[MockEngine],
        servers: list[RunningEngine],
        host: str,
        closing: contextlib.AsyncExitStack,
    ) -> None:
        self.gateway = gateway
        self.source = source
        self.engines = engines
        self.servers = servers
        self.host = host
        self._closing = closing

    @property
    def engine(self) -> MockEngine:
        """The only engine."""
        (engine,) = self.engines
        return engine

    @property
    def url(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.gateway.port}"

    @property
    def in_flight(self) -> int:
        """Requests that the pods in service have not ended."""
        return sum(pod.in_flight for pod in self.gateway.state.snapshot.pods.values())

    async def connect(self, port: int | None = None, *, receive_buffer: int | None = None) -> Raw:
        """A new connection; to the inference port unless told otherwise."""
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        sock = socket.socket(family, socket.SOCK_STREAM)
        sock.setblocking(False)
        if receive_buffer is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        await asyncio.get_running_loop().sock_connect(sock, (self.host, port or self.gateway.port))
        reader, writer = await asyncio.open_connection(sock=sock)
        raw = Raw(reader, writer)
        self._closing.push_async_callback(raw.leave)
        return raw

    async def ask(self, request: bytes, port: int | None = None) -> Answer:
        """The answer to one request on a connection of its own."""
        raw = await self.connect(port)
        raw.say(request)
        return await raw.answer(to_head=request.startswith(b"HEAD"))

    async def get(self, path: str, port: int | None = None) -> Answer:
        return await self.ask(get(path), port)

    async def metrics(self) -> str:
        """What a scrape of the metrics port shows."""
        answer = await self.get("/metrics", self.gateway.metrics_port)
        assert answer.status == 200
        return answer.body.decode()

    def openai(self, **options: Any) -> openai.AsyncOpenAI:
        """The SDK as an application uses it; without retries unless the test asks for them."""
        client = openai.AsyncOpenAI(
            base_url=f"{self.url}/v1",
            api_key="sk-of-the-client",
            # The environment's proxies are not part of the test.
            http_client=openai.DefaultAsyncHttpxClient(trust_env=False),
            **({"max_retries": 0, "timeout": PATIENCE} | options),
        )
        self._closing.push_async_callback(client.close)
        return client

    async def settled(self) -> None:
        """Return once no request is left in the gateway."""
        async with asyncio.timeout(PATIENCE):
            await self.gateway.state.idle()


@contextlib.asynccontextmanager
async def scene(
    *configs: EngineConfig,
    given: Callable[[list[str]], Objects | None] = objects,
    options: Mapping[str, Any] | None = None,
    host: str = "127.0.0.1",
    before: Iterable[str] = (),
    **settings: Any,
) -> AsyncIterator[Scene]:
    """One mock engine for each of `configs` (default: one as it is) and a gateway over them.

    `given` makes the objects of the engines' addresses, which follow those in `before`; the rest are knobs.
    """
    async with contextlib.AsyncExitStack() as closing:
        engines = [MockEngine(config) for config in configs or (EngineConfig(models=(MODEL,)),)]
        servers = [await closing.enter_async_context(engine.running(host)) for engine in engines]
        source = Given(given([*before, *(server.url.removeprefix("http://") for server in servers)]))
        ports = app.Options(host=host, port=0, metrics_port=0, debug_port=0)
        chosen = dataclasses.replace(ports, **(options or {}))
        knobs = Settings(**({"access_log_enabled": False} | settings))
        gateway = await closing.enter_async_context(app.running(chosen, knobs, source))
        await source.begun.wait()
        clients = await closing.enter_async_context(contextlib.AsyncExitStack())
        yield Scene(gateway, source, engines, servers, host, clients)


def faulty(*faults: str, **config: Any) -> EngineConfig:
    """An engine with faults, as its command line takes them."""
    made: tuple[Fault, ...] = tuple(parse(fault) for fault in faults)
    return EngineConfig(**({"models": (MODEL,), "faults": made} | config))


async def within(seconds: float, wait: Awaitable[None]) -> None:
    """Fails where it takes longer."""
    async with asyncio.timeout(seconds):
        await wait


def body(**members: Any) -> bytes:
    """A chat."""
    return orjson.dumps({"model": MODEL, "messages": [{"role": "user", "content": "hello"}], **members})


def request(content: bytes, *lines: str, path: str = "/v1/chat/completions", method: str = "POST") -> bytes:
    """A well-formed request with further header lines."""
    head = [f"{method} {path} HTTP/1.1", "Host: gateway.test", f"Content-Length: {len(content)}", *lines, "", ""]
    return "\r\n".join(head).encode("latin-1") + content


def chat(*lines: str, **members: Any) -> bytes:
    """A whole chat request."""
    return request(body(**members), "Content-Type: application/json", *lines)


def get(path: str, *lines: str, method: str = "GET") -> bytes:
    return "\r\n".join([f"{method} {path} HTTP/1.1", "Host: gateway.test", *lines, "", ""]).encode("latin-1")
