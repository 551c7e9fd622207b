"""Every fault as bytes on a socket."""

import asyncio
import random

import httpx
import openai
import orjson
import pytest

from kthena_fast.mock_engine import EngineConfig, Fault, FaultName, MockEngine, RunningEngine, faults

from .conftest import Raw

BODY = {"model": "mock", "messages": [{"role": "user", "content": "hi"}]}


def token_events(stream: bytes) -> int:
    return stream.count(b'"delta":{"content":" ')


async def test_dies_before_the_head_without_a_byte(raw: Raw, engine: MockEngine) -> None:
    raw.post(headers={"X-Mock-Fault": "die-before-head"})
    assert await raw.rest() == b""
    record = engine.requests[0]
    assert record.json()["model"] == "mock"
    assert (record.fault, record.finished, record.aborted, record.over) == ("die-before-head", False, False, True)


async def test_a_reset_is_a_reset(raw: Raw) -> None:
    raw.post(headers={"X-Mock-Fault": "reset"})
    with pytest.raises(ConnectionResetError):
        await raw.rest()


async def test_dies_inside_the_header_fields(raw: Raw) -> None:
    raw.post(headers={"X-Mock-Fault": "die-in-head"})
    answer = await raw.rest()
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"\r\n\r\n" not in answer


async def test_dies_in_the_middle_of_a_body_of_known_length(raw: Raw) -> None:
    raw.post(headers={"X-Mock-Fault": "die-mid-body"})
    head, _, body = (await raw.rest()).partition(b"\r\n\r\n")
    length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
    assert 0 < len(body) < length


async def test_dies_in_the_middle_of_a_streams_event(raw: Raw) -> None:
    raw.post(headers={"X-Mock-Fault": "die-mid-body"}, stream=True)
    answer = await raw.rest()
    assert answer.count(b"\n\n") == 1  # the role's event; the token's has no end
    assert answer.endswith(b"\r\n")


@pytest.mark.parametrize(("tokens", "seen"), [(0, 0), (3, 3), (99, 5)])
async def test_dies_in_a_stream_after_so_many_tokens(raw: Raw, tokens: int, seen: int) -> None:
    raw.post(headers={"X-Mock-Fault": f"die-mid-stream:{tokens}"}, stream=True)
    answer = await raw.rest()
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert token_events(answer) == seen
    assert b"[DONE]" not in answer
    assert not answer.endswith(b"0\r\n\r\n")


async def test_an_answer_that_is_no_stream_survives_die_mid_stream(raw: Raw) -> None:
    raw.post(headers={"X-Mock-Fault": "die-mid-stream", "Connection": "close"})
    assert b"chat.completion" in await raw.rest()


async def test_hangs_until_the_client_leaves(raw: Raw, engine: MockEngine) -> None:
    raw.post(headers={"X-Mock-Fault": "hang"})
    await engine.until(lambda: bool(engine.requests) and engine.requests[0].fault == "hang")
    raw.close()
    await engine.until(lambda: engine.requests[0].over)
    assert engine.requests[0].aborted


async def test_a_slow_head_comes_at_last(raw: Raw) -> None:
    loop = asyncio.get_running_loop()
    began = loop.time()
    raw.post(headers={"X-Mock-Fault": "slow-head:0.05"})
    assert (await raw.head()).startswith(b"HTTP/1.1 200")
    # uvloop's clock and timers count whole milliseconds.
    assert loop.time() - began > 0.04


async def test_a_status_raises_the_sdks_own_errors(sdk: openai.AsyncOpenAI) -> None:
    async def ask(status: int) -> None:
        await sdk.models.list(extra_headers={"X-Mock-Fault": f"status:{status}"})

    with pytest.raises(openai.RateLimitError) as caught:
        await ask(429)
    assert caught.value.response.headers["retry-after"] == "1"
    with pytest.raises(openai.InternalServerError, match="503"):
        await ask(503)
    with pytest.raises(openai.BadRequestError):
        await ask(400)


async def test_garbage_is_not_http(raw: Raw) -> None:
    raw.post(headers={"X-Mock-Fault": "garbage"})
    assert not (await raw.rest()).startswith(b"HTTP")


@pytest.mark.parametrize("stream", [False, True])
async def test_close_after_says_so_and_closes(raw: Raw, stream: bool) -> None:
    raw.post(headers={"X-Mock-Fault": "close-after"}, stream=stream)
    answer = await raw.rest()
    assert b"connection: close" in answer.lower()


async def test_close_silently_does_not_say_so(raw: Raw, engine: MockEngine) -> None:
    raw.post(headers={"X-Mock-Fault": "close-silently"}, stream=True)
    answer = await raw.rest()
    assert answer.endswith(b"0\r\n\r\n")
    assert b"connection: close" not in answer.lower()
    assert engine.requests[0].finished


@pytest.mark.parametrize("stream", [False, True])
async def test_http10_ends_with_the_connection(raw: Raw, engine: MockEngine, stream: bool) -> None:
    raw.post(headers={"X-Mock-Fault": "http10"}, stream=stream)
    head, _, body = (await raw.rest()).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.0 200 OK")
    assert b"content-length" not in head.lower()
    assert b"chunked" not in head.lower()
    if stream:
        assert body.endswith(b"data: [DONE]\n\n")
    else:
        assert orjson.loads(body)["object"] == "chat.completion"
    assert engine.requests[0].finished


@pytest.mark.parametrize("stream", [False, True])
async def test_a_bad_chunk_comes_after_good_ones(raw: Raw, stream: bool) -> None:
    raw.post(headers={"X-Mock-Fault": "bad-chunk"}, stream=stream)
    answer = await raw.rest()
    assert b"transfer-encoding: chunked" in answer.lower()
    assert answer.endswith(b"\r\nthis is no chunk size\r\n")


@pytest.mark.parametrize("status", [100, 102, 103])
async def test_an_informational_answer_comes_first(raw: Raw, status: int) -> None:
    raw.post(headers={"X-Mock-Fault": f"informational:{status}"})
    assert (await raw.head()).startswith(f"HTTP/1.1 {status} ".encode())
    assert (await raw.head()).startswith(b"HTTP/1.1 200 OK")


async def test_a_big_body_is_big_and_still_json(server: RunningEngine) -> None:
    async with httpx.AsyncClient(base_url=server.url, headers={"X-Mock-Fault": "big-body:300000"}) as http:
        whole = await http.post("/v1/chat/completions", json=BODY)
        stream = await http.post("/v1/chat/completions", json={**BODY, "stream": True})
    assert len(whole.content) > 300_000
    assert whole.json()["usage"]["completion_tokens"] == 5
    sizes = [len(event) for event in stream.content.split(b"\n\n")]
    assert sizes[1] > 300_000 > sizes[2]
    assert token_events(stream.content) == 5


async def test_configured_faults_befall_posts_in_their_turn() -> None:
    engine = MockEngine(EngineConfig(faults=(faults.parse("status:503:every-2"), faults.parse("status:500:first-1"))))
    async with engine.running() as server, httpx.AsyncClient(base_url=server.url) as http:
        seen = []
        for _ in range(5):
            assert (await http.get("/health")).status_code == 200
            seen.append((await http.post("/v1/chat/completions", json=BODY)).status_code)
    assert seen == [500, 503, 200, 503, 200]


async def test_an_asked_fault_may_strike_the_first_time_only(server: RunningEngine) -> None:
    async with httpx.AsyncClient(base_url=server.url, headers={"X-Mock-Fault": "status:503:first-1"}) as http:
        assert [(await http.get("/health")).status_code for _ in range(3)] == [503, 200, 200]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("hang", Fault(FaultName.HANG)),
        ("status:429", Fault(FaultName.STATUS, 429)),
        ("die-mid-stream:first-3", Fault(FaultName.DIE_MID_STREAM, 1, first=3)),
        ("slow-head:0.5:every-4", Fault(FaultName.SLOW_HEAD, 0.5, every=4)),
        ("garbage:2.5%", Fault(FaultName.GARBAGE, probability=0.025)),
    ],
)
def test_a_fault_is_read_with_its_value_and_its_schedule(text: str, fault: Fault) -> None:
    assert faults.parse(text) == fault


@pytest.mark.parametrize(
    "text", ["", "explode", "hang:3", "status:200", "status:4.5", "informational:101", "hang:often", "hang:5%:5%"]
)
def test_what_is_no_fault_is_refused_with_what_is_allowed(text: str) -> None:
    with pytest.raises(ValueError, match=r"allowed|takes|every-N|NAME"):
        faults.parse(text)


def test_the_same_seed_deals_the_same_faults() -> None:
    plans = [faults.FaultPlan([faults.parse("hang:30%")], seed=7) for _ in range(2)]
    first, second = ([plan.next() is not None for _ in range(200)] for plan in plans)
    assert first == second
    assert 30 < sum(first) < 90


def test_a_fault_without_a_schedule_always_strikes() -> None:
    assert all(faults.parse("hang").befalls(number, random.Random(0)) for number in range(1, 5))
