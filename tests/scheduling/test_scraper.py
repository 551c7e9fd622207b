"""Engines that are asked how busy they are; and such as do not say, or never answer."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import ssl
from collections.abc import AsyncIterator, Callable, Sequence

import pytest

from kthena_fast.mock_engine import EngineConfig, MockEngine
from kthena_fast.queueing import gates
from kthena_fast.routing.snapshot import Pod, Server
from kthena_fast.scheduling import page_connection, scraper
from kthena_fast.scheduling.asking import Asking
from kthena_fast.scheduling.scraper import Scraper
from kthena_fast.upstream.deadlines import Deadlines

PATIENCE = 10.0

VLLM = b"""# HELP vllm:num_requests_running Number of requests in model execution batches.
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="m"} 3.0
# TYPE vllm:num_requests_waiting gauge
vllm:num_requests_waiting{engine="0",model_name="m"} 2.0
vllm:num_requests_waiting_by_reason{engine="0",reason="capacity"} 9.0
"""


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
    """One that is busy with a request of ours."""
    busy = Pod(f"default/s {name}", "default", name, host, port, prefix=prefix)
    busy.in_flight = 1
    return busy


def take(asks: Scraper, *servers: Server, without: Sequence[Pod] = ()) -> None:
    """These are in service, and all their pods are new."""
    asks.on_snapshot({each.key: each for each in servers}, [new for each in servers for new in each.pods], without)


@contextlib.asynccontextmanager
async def scraping(
    *servers: Server, interval: float = 0.001, tls: ssl.SSLContext | None = None
) -> AsyncIterator[tuple[Scraper, Heard]]:
    heard = Heard()
    deadlines = Deadlines(asyncio.get_running_loop())
    asks = Scraper(interval, tls or ssl.create_default_context(), deadlines, heard)
    take(asks, *servers)
    task = asyncio.create_task(asks.run())
    try:
        yield asks, heard
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        deadlines.close()


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
    monkeypatch.setattr(page_connection, "MOST_BYTES", 1000)
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
            take(asks, without=[asked])
            assert not asks.loads
            take(asks, server(pod("q", engine.port)))
            await heard.until(lambda: heard.of("q") != [])
            assert asked not in asks.loads
            assert len(heard.of("p")) <= told + 1


async def test_a_pod_that_stays_is_read_as_the_engine_that_its_server_names_now() -> None:
    page = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%b" % (len(VLLM), VLLM)
    async with answering(page) as port:
        asked = pod("p", port)
        async with scraping(server(asked, engine="SGLang")) as (asks, heard):
            await heard.until(lambda: heard.said != [])
            assert heard.said[-1] == ("p", None)
            asks.on_snapshot({"default/s": server(asked)}, [], [])
            await heard.until(lambda: heard.said[-1] == ("p", 2.0))


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


class Turns:
    """Who is asked in which turn, where nobody has to be there."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, interval: float, *pods: Pod) -> None:
        self.asked: list[str] = []

        def ask(asking: Asking) -> None:
            asking.is_new = False
            self.asked.append(asking.pod.name)

        monkeypatch.setattr(Asking, "ask", ask)
        self.scraper = Scraper(interval, ssl.create_default_context(), Deadlines(asyncio.get_running_loop()), Heard())
        take(self.scraper, server(*pods))

    def take(self) -> tuple[list[str], float]:
        """Who is asked now, and when others are."""
        self.asked = []
        pause = self.scraper._ask_some()
        return self.asked, pause


def busy(count: int) -> list[Pod]:
    return [pod(f"p{number}", 1) for number in range(count)]


@pytest.mark.parametrize("count", [1, 2, 7, 19, 20, 21, 333, 1000])
async def test_a_busy_pod_is_asked_once_an_interval_and_the_pods_are_spread_over_it(
    monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    turns = Turns(monkeypatch, 1.0, *busy(count))
    for _ in range(3):
        seen: list[str] = []
        passed = 0.0
        while passed < 1.0 - 1e-6:
            asked, pause = turns.take()
            assert len(asked) <= -(-count // 20)
            seen += asked
            passed += pause
        assert passed == pytest.approx(1.0)
        assert sorted(seen) == sorted(each.name for each in busy(count))


async def test_an_interval_too_short_to_be_divided_has_one_turn_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    turns = Turns(monkeypatch, 0.001, *busy(30))
    asked, pause = turns.take()
    assert (len(asked), pause) == (30, 0.001)


async def test_a_pod_that_is_new_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    turns = Turns(monkeypatch, 1.0, *busy(10))
    turns.take()
    take(turns.scraper, server(pod("new", 1)))
    take(turns.scraper, server(pod("newer", 1)))
    assert turns.take()[0] == ["newer"]


@pytest.mark.parametrize(("interval", "every"), [(1.0, 4), (2.0, 2), (3.0, 1), (10.0, 1), (0.5, 8)])
async def test_a_pod_without_a_request_of_ours_is_asked_before_what_it_said_is_too_old(
    monkeypatch: pytest.MonkeyPatch, interval: float, every: int
) -> None:
    idle = busy(8)
    for each in idle:
        each.in_flight = 0
    turns = Turns(monkeypatch, interval, *idle)
    asked_in: dict[str, list[int]] = {each.name: [] for each in idle}
    for turn in range(8 * 24):
        for name in turns.take()[0]:
            asked_in[name].append(turn // 8)
    # Never asked before, all of them are in the first interval.
    assert {rounds[0] for rounds in asked_in.values()} == {0}
    for rounds in asked_in.values():
        gaps = {later - earlier for earlier, later in itertools.pairwise(rounds[1:])}
        assert gaps == {every}
    assert max(every * interval, interval) <= max(scraper.OLDEST, interval)
    # And not all in the same interval.
    assert len({tuple(rounds[1:]) for rounds in asked_in.values()}) == min(every, 8)


def test_what_idle_pods_said_still_counts_when_they_are_asked_again() -> None:
    assert scraper.OLDEST < gates.FRESH_SECONDS


async def test_nothing_is_left_of_a_scraper_that_was_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    before = asyncio.all_tasks()
    # Nobody answers on this address: connecting goes on until it is cancelled.
    async with answering(b"") as hung, scraping(server(pod("hung", hung), pod("far", 9, "192.0.2.1"))) as (asks, _):
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert all(asking.is_asked for asking in asks._line.values())
    assert asyncio.all_tasks() == before
