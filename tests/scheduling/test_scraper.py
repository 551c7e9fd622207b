"""What engines say of their load, read from their metrics; and engines that do not, or never answer."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Callable

import pytest

from kthena_fast.mock_engine import EngineConfig, MockEngine
from kthena_fast.routing.snapshot import Pod, Server
from kthena_fast.scheduling import scraper
from kthena_fast.scheduling.scraper import Scraper, read_load

PATIENCE = 10.0

VLLM = b"""# HELP vllm:num_requests_running Number of requests in model execution batches.
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="m"} 3.0
# TYPE vllm:num_requests_waiting gauge
vllm:num_requests_waiting{engine="0",model_name="m"} 2.0
vllm:num_requests_waiting_by_reason{engine="0",reason="capacity"} 9.0
"""

SGLANG = b"""sglang:num_running_reqs{model_name="m"} 4.0
sglang:num_queue_reqs{model_name="m"} 1.0
"""


def test_the_gauges_of_vllm() -> None:
    load = read_load(VLLM, "vLLM")
    assert load is not None
    assert (load.waiting, load.running) == (2.0, 3.0)


def test_the_gauges_of_sglang() -> None:
    load = read_load(SGLANG, "SGLang")
    assert load is not None
    assert (load.waiting, load.running) == (1.0, 4.0)


def test_the_parts_of_a_data_parallel_engine_are_summed() -> None:
    """Upstream reads the last series alone."""
    load = read_load(VLLM + VLLM.replace(b'"0"', b'"1"').replace(b" 2.0", b" 5.0"), "vLLM")
    assert load is not None
    assert (load.waiting, load.running) == (7.0, 6.0)


@pytest.mark.parametrize("line", [b"7", b"7.0", b"7e0", b"0.7e+1", b"70e-1", b"7.0 1772356500000"])
def test_numbers_as_prometheus_writes_them(line: bytes) -> None:
    load = read_load(b"vllm:num_requests_running 1\nvllm:num_requests_waiting %b\n" % line, "vLLM")
    assert load is not None
    assert load.waiting == 7.0


@pytest.mark.parametrize(
    "page",
    [
        b"",
        b"vllm:num_requests_running 1\n",
        b"vllm:num_requests_waiting 1\n",
        b"vllm:num_requests_running 1\nvllm:num_requests_waiting NaN\n",
        b"vllm:num_requests_running 1\nvllm:num_requests_waiting +Inf\n",
        # An engine may write any number of digits; infinity has no whole part.
        b"vllm:num_requests_running 1\nvllm:num_requests_waiting 1e999\n",
        b"vllm:num_requests_running 1\nvllm:num_requests_waiting 1e\n",
        b"vllm:num_requests_running 1\nvllm:num_requests_waiting ..\n",
        b"vllm:num_requests_running 1\n# vllm:num_requests_waiting 1\n",
        b"\xff\xfe\x00" * 1000,
    ],
)
def test_a_page_without_both_numbers_says_nothing(page: bytes) -> None:
    assert read_load(page, "vLLM") is None


def test_an_unknown_engine_says_nothing() -> None:
    assert read_load(VLLM, "llama.cpp") is None
    assert read_load(SGLANG, "vLLM") is None


def test_a_label_may_hold_what_looks_like_a_value() -> None:
    page = b'vllm:num_requests_waiting{model_name="a} 9 {b"} 2\nvllm:num_requests_running{model_name="m"} 1\n'
    load = read_load(page, "vLLM")
    assert load is not None
    assert load.waiting == 2.0


class Heard:
    """What the scraper told, and who waits for it."""

    def __init__(self) -> None:
        self.said: list[tuple[str, float | None]] = []
        self._news = asyncio.Condition()
        self._tasks: set[asyncio.Task[None]] = set()

    def __call__(self, pod: Pod, waiting: float | None) -> None:
        self.said.append((pod.name, waiting))
        task = asyncio.create_task(self._tell())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _tell(self) -> None:
        async with self._news:
            self._news.notify_all()

    async def until(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE), self._news:
            await self._news.wait_for(holds)

    def of(self, name: str) -> list[float | None]:
        return [waiting for pod, waiting in self.said if pod == name]


def server(*pods: Pod, engine: str = "vLLM") -> Server:
    return Server("default/s", engine=engine, model=None, pods=pods, timeout=None, retry_attempts=1, retry_interval=0.0)


def pod(name: str, port: int, host: str = "127.0.0.1", prefix: bytes = b"") -> Pod:
    return Pod(f"default/s {name}", "default", name, host, port, prefix=prefix)


@contextlib.asynccontextmanager
async def scraping(*servers: Server, interval: float = 0.001) -> AsyncIterator[tuple[Scraper, Heard]]:
    heard = Heard()
    asks = Scraper(interval, ssl.create_default_context(), heard)
    asks.on_servers(servers)
    task = asyncio.create_task(asks.run())
    try:
        yield asks, heard
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


@contextlib.asynccontextmanager
async def answering(answer: bytes) -> AsyncIterator[int]:
    """A port where every connection gets these bytes and is closed; none: it hangs."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            if answer:
                writer.write(answer)
                await writer.drain()
            else:
                await reader.read()
        writer.close()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield listening.sockets[0].getsockname()[1]
    finally:
        listening.close()


async def test_a_real_page_is_read_over_a_socket() -> None:
    async with MockEngine(EngineConfig()).running() as engine:
        asked = pod("p", engine.port)
        async with scraping(server(asked)) as (asks, heard):
            await heard.until(lambda: heard.said != [])
            assert heard.said[0] == ("p", 0.0)
            assert asks.loads[asked].running == 0.0


async def test_a_pod_that_hangs_delays_nobody_and_is_not_asked_again_meanwhile() -> None:
    async with (
        MockEngine(EngineConfig()).running() as engine,
        answering(b"") as hung,
        scraping(server(pod("hung", hung), pod("p", engine.port))) as (_, heard),
    ):
        await heard.until(lambda: len(heard.of("p")) >= 20)
        assert heard.of("hung") == []


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\ncut",
        b"garbage\r\n\r\n",
        b"\r\n",
    ],
)
async def test_what_is_no_page_is_told_as_nothing(answer: bytes) -> None:
    async with answering(answer) as port, scraping(server(pod("p", port))) as (asks, heard):
        await heard.until(lambda: len(heard.said) >= 2)
        assert set(heard.said) == {("p", None)}
        assert not asks.loads


async def test_a_pod_that_nobody_listens_for_is_told_as_nothing() -> None:
    async with answering(b"x") as port:
        pass
    async with scraping(server(pod("p", port))) as (_, heard):
        await heard.until(lambda: heard.said != [])
        assert heard.said[0] == ("p", None)


async def test_a_page_without_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scraper, "MOST_BYTES", 1000)
    page = b"HTTP/1.1 200 OK\r\nContent-Length: 2000\r\n\r\n" + VLLM + b"#" * (2000 - len(VLLM))
    async with answering(page) as port, scraping(server(pod("p", port))) as (_, heard):
        await heard.until(lambda: heard.said != [])
        assert heard.said[0] == ("p", None)


async def test_what_a_pod_says_after_it_left_is_not_kept() -> None:
    async with MockEngine(EngineConfig()).running() as engine:
        asked = pod("p", engine.port)
        async with scraping(server(asked)) as (asks, heard):
            await heard.until(lambda: asked in asks.loads)
            told = len(heard.said)
            asks.on_servers([])
            assert not asks.loads
            asks.on_servers([server(pod("q", engine.port))])
            await heard.until(lambda: heard.of("q") != [])
            assert asked not in asks.loads
            assert len(heard.of("p")) <= told + 1


async def test_the_prefix_of_a_backend_comes_before_the_path() -> None:
    heads: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%b" % (len(VLLM), VLLM))
        writer.close()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    asked = pod("p", listening.sockets[0].getsockname()[1], prefix=b"/engine")
    async with scraping(server(asked), interval=10.0) as (_, heard):
        await heard.until(lambda: heard.said == [("p", 2.0)])
    listening.close()
    assert heads[0].startswith(b"GET /engine/metrics HTTP/1.1\r\n")
