"""The queue, the pool, what is recorded, and what happens to those who leave."""

import asyncio
import ssl

import httpx
import pytest
import trustme

from kthena_fast.mock_engine import EngineConfig, MockEngine, RunningEngine

from .conftest import Raw

HOLD = {"X-Mock-Hold-After": "0"}


async def scrape(server: RunningEngine) -> dict[str, float]:
    """Values by metric name, labels left off; of a histogram, its sum and its count."""
    async with httpx.AsyncClient() as http:
        text = (await http.get(f"{server.url}/metrics")).text
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    assert all('model_name="mock"' in line for line in lines)
    return {line.split("{")[0]: float(line.rsplit(" ", 1)[1]) for line in lines if "_bucket" not in line}


@pytest.fixture
def config() -> EngineConfig:
    return EngineConfig(max_running=2, kv_pool_tokens=100, output_tokens=9)


async def test_requests_beyond_the_room_wait_in_order(engine: MockEngine, server: RunningEngine) -> None:
    clients = [await Raw.open(server) for _ in range(4)]
    for index, client in enumerate(clients):
        client.post(headers=HOLD)
        await engine.until(lambda wanted=index + 1: engine.arrivals == wanted)  # type: ignore[misc]
    await engine.until(lambda: engine.held == 2)
    seen = await scrape(server)
    assert seen["vllm:num_requests_running"] == 2
    assert seen["vllm:num_requests_waiting"] == 2
    assert seen["vllm:kv_cache_usage_perc"] == pytest.approx(0.2)  # 2 x (1 in + 9 out) of 100
    engine.release()
    for client in clients[:2]:
        assert (await client.head()).startswith(b"HTTP/1.1 200")
    await engine.until(lambda: engine.held == 2)
    engine.release()
    for client in clients[2:]:
        assert (await client.head()).startswith(b"HTTP/1.1 200")
        client.close()
    seen = await scrape(server)
    assert (seen["vllm:num_requests_running"], seen["vllm:kv_cache_usage_perc"]) == (0, 0)
    for client in clients:
        client.close()


async def test_a_request_that_does_not_fit_holds_up_those_behind_it(engine: MockEngine, server: RunningEngine) -> None:
    first, large, small = [await Raw.open(server) for _ in range(3)]
    first.post(headers=HOLD, max_tokens=50)
    await engine.until(lambda: engine.held == 1)
    large.post(headers=HOLD, max_tokens=80)
    await engine.until(lambda: engine.arrivals == 2)
    small.post(headers=HOLD, max_tokens=1)
    await engine.until(lambda: engine.arrivals == 3)
    assert (await scrape(server))["vllm:num_requests_running"] == 1
    engine.release()
    # The large one leaves no room for running out of order: both fit once the first is gone.
    await engine.until(lambda: engine.held == 2)
    for client in (first, large, small):
        client.close()


async def test_a_request_larger_than_the_pool_takes_it_alone(engine: MockEngine, raw: Raw) -> None:
    raw.post(headers=HOLD, max_tokens=5_000)
    await engine.until(lambda: engine.held == 1)
    assert engine.pool.usage == 1


async def test_a_lost_client_is_noticed_and_its_room_freed(engine: MockEngine, raw: Raw) -> None:
    raw.post(headers={"X-Mock-Hold-After": "3"}, stream=True)
    await engine.until(lambda: engine.held == 1)
    raw.close()
    await engine.until(lambda: engine.requests[0].over)
    record = engine.requests[0]
    assert (record.aborted, record.finished, record.tokens_sent) == (True, False, 3)
    assert record.lost_at is not None
    assert record.lost_at >= record.arrived_at
    assert (engine.pool.running, engine.pool.used, engine.held) == (0, 0, 0)
    assert engine.metrics.finished["abort"] == 1


async def test_a_client_that_leaves_while_it_waits_leaves_the_line(engine: MockEngine, server: RunningEngine) -> None:
    clients = [await Raw.open(server) for _ in range(3)]
    for client in clients:
        client.post(headers=HOLD)
    await engine.until(lambda: engine.arrivals == 3)
    await engine.until(lambda: engine.held == 2)
    assert engine.pool.waiting == 1
    for client in clients:
        client.close()
    await engine.until(lambda: all(record.over for record in engine.requests))
    assert (engine.pool.waiting, engine.pool.running, engine.pool.used) == (0, 0, 0)


async def test_a_client_that_leaves_inside_its_body_is_recorded_with_what_came(engine: MockEngine, raw: Raw) -> None:
    raw.writer.write(b"POST /v1/completions HTTP/1.1\r\nHost: e\r\nContent-Length: 100\r\n\r\n{half")
    await engine.until(lambda: engine.arrivals == 1)
    raw.close()
    await engine.until(lambda: engine.requests[0].over)
    assert engine.requests[0].body == b"{half"
    assert engine.requests[0].aborted


async def test_a_request_is_recorded_as_it_was_received(engine: MockEngine, raw: Raw) -> None:
    raw.writer.write(
        b"POST /v1/completions?a=%20b HTTP/1.1\r\nHost: e\r\nX-Twice: 1\r\nx-twice: 2\r\n"
        b"Content-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}"
    )
    assert (await raw.head()).startswith(b"HTTP/1.1 400")
    await engine.until(lambda: engine.requests[0].over)
    record = engine.requests[0]
    assert (record.method, record.path, record.version) == ("POST", "/v1/completions?a=%20b", (1, 1))
    assert record.headers[:3] == ((b"Host", b"e"), (b"X-Twice", b"1"), (b"x-twice", b"2"))
    assert record.header("x-TWICE") == "1"
    assert record.header("absent") is None
    assert record.body == b"{}"
    assert (record.finished, record.aborted) == (True, False)
    assert repr(record) == "<POST /v1/completions?a=%20b 2 bytes finished over>"


async def test_requests_of_one_connection_can_be_told(engine: MockEngine, server: RunningEngine, raw: Raw) -> None:
    raw.post()
    raw.post(headers={"Connection": "close"})
    assert (await raw.rest()).count(b"HTTP/1.1 200") == 2
    await scrape(server)
    first, second, third = [record.connection for record in engine.requests]
    assert first == second != third


async def test_expect_is_answered_before_the_body(raw: Raw) -> None:
    raw.writer.write(b"POST /tokenize HTTP/1.1\r\nHost: e\r\nExpect: 100-continue\r\nContent-Length: 14\r\n\r\n")
    assert await raw.head() == b"HTTP/1.1 100 Continue\r\n\r\n"
    raw.writer.write(b'{"prompt":"a"}')
    assert (await raw.head()).startswith(b"HTTP/1.1 200")


async def test_records_are_bounded_in_number_and_in_bytes() -> None:
    engine = MockEngine(EngineConfig(keep_requests=3, keep_body_bytes=100))
    async with engine.running() as server, httpx.AsyncClient(base_url=server.url) as http:
        for size in (1, 2, 3, 4, 60, 70):
            await http.post("/tokenize", content=b"x" * size)
        assert [len(record.body) for record in engine.requests] == [70]
        engine.forget()
        await http.post("/tokenize", content=b"x" * 60)
        await http.post("/tokenize", content=b"x" * 40)
        assert [len(record.body) for record in engine.requests] == [60, 40]
        assert engine.arrivals == 8


async def test_no_records_are_kept_when_none_are_wanted(raw: Raw) -> None:
    engine = MockEngine(EngineConfig(keep_requests=0))
    async with engine.running() as server, httpx.AsyncClient(base_url=server.url) as http:
        assert (await http.post("/tokenize", json={"prompt": "a"})).status_code == 200
    assert (len(engine.requests), engine.arrivals) == (0, 1)


@pytest.mark.parametrize("stream", [False, True])
async def test_metrics_count_tokens_and_their_times(
    engine: MockEngine, server: RunningEngine, raw: Raw, stream: bool
) -> None:
    raw.post(headers={"X-Mock-Token-Interval": "5ms", "Connection": "close"}, stream=stream, max_tokens=5)
    await raw.rest()
    seen = await scrape(server)
    assert seen["vllm:prompt_tokens_total"] == 1
    assert seen["vllm:generation_tokens_total"] == 5
    assert seen["vllm:time_to_first_token_seconds_count"] == 1
    assert seen["vllm:inter_token_latency_seconds_count"] == 4
    assert 0.01 < seen["vllm:inter_token_latency_seconds_sum"] < 5


async def test_tokens_keep_their_pace(raw: Raw) -> None:
    loop = asyncio.get_running_loop()
    began = loop.time()
    pace = {"X-Mock-First-Token-Delay": "0.02", "X-Mock-Token-Interval": "10ms", "Connection": "close"}
    raw.post(headers=pace, stream=True, max_tokens=4)
    await raw.rest()
    # uvloop's clock and timers count whole milliseconds.
    assert loop.time() - began > 0.04


async def test_a_dead_engines_connections_all_close(engine: MockEngine, server: RunningEngine, raw: Raw) -> None:
    raw.post(headers=HOLD, stream=True)
    await raw.head()
    await engine.until(lambda: engine.held == 1)
    assert server.connections == 1
    server.drop_connections()
    assert await raw.rest() == b""
    await engine.until(lambda: engine.requests[0].over)


async def test_an_engine_comes_back_on_its_port() -> None:
    engine = MockEngine()
    async with engine.running() as server:
        pass
    async with engine.running(port=server.port) as again, httpx.AsyncClient() as http:
        assert again.url == server.url
        assert (await http.get(f"{again.url}/health")).status_code == 200


async def test_an_engine_speaks_tls() -> None:
    authority = trustme.CA()
    theirs = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(theirs)
    ours = ssl.create_default_context()
    authority.configure_trust(ours)
    async with MockEngine().running(tls=theirs) as server, httpx.AsyncClient(verify=ours) as http:
        assert server.url.startswith("https://")
        answer = await http.post(f"{server.url}/v1/chat/completions", json={"messages": [{"role": "user"}]})
        assert answer.status_code == 200
