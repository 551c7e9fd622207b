"""A mock engine on a socket, the OpenAI SDK towards it, and raw connections."""

import asyncio
from collections.abc import AsyncIterator

import openai
import orjson
import pytest

from kthena_fast.mock_engine import EngineConfig, MockEngine, RunningEngine


@pytest.fixture
def config() -> EngineConfig:
    """Of the `engine` fixture; a module overrides it where it needs another."""
    return EngineConfig(models=("mock", "org/model"), adapters=("adapter",), output_tokens=5)


@pytest.fixture
async def engine(config: EngineConfig) -> MockEngine:
    return MockEngine(config)


@pytest.fixture
async def server(engine: MockEngine) -> AsyncIterator[RunningEngine]:
    async with engine.running() as running:
        yield running


@pytest.fixture
async def sdk(server: RunningEngine) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0) as client:
        yield client


class Raw:
    """A connection without an HTTP client's opinions."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def open(cls, server: RunningEngine) -> "Raw":
        return cls(*await asyncio.open_connection(server.host, server.port))

    def post(
        self, path: str = "/v1/chat/completions", /, *, headers: dict[str, str] | None = None, **body: object
    ) -> None:
        """Sends a chat call, `body` over its defaults; `headers` are added."""
        content = orjson.dumps({"model": "mock", "messages": [{"role": "user", "content": "hi"}], **body})
        fields = {"Host": "engine", "Content-Length": str(len(content)), **(headers or {})}
        lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        self.writer.write(f"POST {path} HTTP/1.1\r\n{lines}\r\n".encode() + content)

    async def head(self) -> bytes:
        return await self.reader.readuntil(b"\r\n\r\n")

    async def rest(self) -> bytes:
        """Everything until the engine closes."""
        return await self.reader.read()

    def close(self) -> None:
        self.writer.close()


@pytest.fixture
async def raw(server: RunningEngine) -> AsyncIterator[Raw]:
    connection = await Raw.open(server)
    yield connection
    connection.close()
