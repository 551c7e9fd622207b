"""Each limit of DESIGN 4, exceeded: what is answered, and that the gateway holds nothing afterwards."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from kthena_fast.mock_engine import EngineConfig
from tests.gateway import running

HEAD = b"POST /v1/chat/completions HTTP/1.1\r\nHost: gateway.test\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"


def sized(size: int) -> bytes:
    """A chat of exactly so many bytes."""
    without = len(running.body(user=""))
    return running.body(user="u" * (size - without))


async def test_a_body_of_exactly_the_limit_passes_and_one_byte_more_is_413() -> None:
    async with running.scene(max_body_bytes=5_000) as scene:
        assert (await scene.ask(running.request(sized(5_000)))).status == 200
        answer = await scene.ask(running.request(sized(5_001)))
        assert (answer.status, answer.code) == (413, "body_too_large")
        assert answer.error["type"] == "invalid_request_error"
        assert answer.headers["connection"] == "close"
        assert scene.engine.arrivals == 1


async def test_a_length_beyond_the_limit_is_413_before_a_byte_of_the_body() -> None:
    async with running.scene() as scene:
        answer = await scene.ask(HEAD + b"Content-Length: 33554433\r\n\r\n")
        assert (answer.status, answer.code) == (413, "body_too_large")


async def test_chunks_beyond_the_limit_are_413_as_soon_as_they_are() -> None:
    async with running.scene(max_body_bytes=5_000) as scene:
        raw = await scene.connect()
        raw.say(CHUNKED + b"1000\r\n" + b"x" * 0x1000 + b"\r\n1000\r\n" + b"x" * 0x1000 + b"\r\n")
        answer = await raw.answer()
        assert (answer.status, answer.code) == (413, "body_too_large")
        assert answer.headers["connection"] == "close"


async def test_chunks_within_the_limit_pass() -> None:
    async with running.scene(max_body_bytes=5_000) as scene:
        content = sized(5_000)
        raw = await scene.connect()
        raw.say(CHUNKED)
        for at in range(0, 5_000, 1_000):
            raw.say(b"3e8\r\n" + content[at : at + 1_000] + b"\r\n")
            await raw.writer.drain()
        raw.say(b"0\r\n\r\n")
        assert (await raw.answer()).status == 200
        assert scene.engine.requests[0].body == content


async def test_ten_megabytes_pass_unchanged() -> None:
    async with running.scene() as scene:
        content = sized(10_000_000)
        assert (await scene.ask(running.request(content))).status == 200
        assert scene.engine.requests[0].body == content


async def test_all_bodies_together_are_bounded_and_what_was_held_is_given_back() -> None:
    config = EngineConfig(models=(running.MODEL,))
    async with running.scene(config, max_body_bytes=40_000, max_buffered_bytes=50_000) as scene:
        first = await scene.connect()
        first.say(running.request(sized(30_000), "X-Mock-Hold-After: 0"))
        await scene.engine.until(lambda: scene.engine.held == 1)
        answer = await scene.ask(running.request(sized(30_000)))
        assert (answer.status, answer.code) == (503, "overloaded")
        assert answer.error["type"] == "unavailable"
        assert int(answer.headers["retry-after"]) >= 1
        chunked = await scene.connect()
        chunked.say(CHUNKED + b"7530\r\n" + b"x" * 30_000 + b"\r\n")
        assert (await chunked.answer()).code == "overloaded"
        assert (await scene.ask(running.request(sized(10_000)))).status == 200
        scene.engine.release()
        assert (await first.answer()).status == 200
        assert (await scene.ask(running.request(sized(40_000)))).status == 200


async def test_headers_beyond_their_bytes_are_431() -> None:
    async with running.scene(max_header_bytes=2_000) as scene:
        one = f"X-One: {'1' * 2_100}"
        many = tuple(f"X-{number}: {'1' * 90}" for number in range(25))
        for lines in ((one,), many):
            answer = await scene.ask(running.chat(*lines))
            assert (answer.status, answer.code) == (431, "headers_too_large")
            assert answer.error["type"] == "invalid_request_error"
            assert answer.headers["connection"] == "close"
        assert (await scene.ask(running.chat(f"X-One: {'1' * 1_800}"))).status == 200
        assert scene.engine.arrivals == 1


async def test_a_head_without_an_end_is_431_when_it_passes_its_limit() -> None:
    async with running.scene(max_header_bytes=2_000) as scene:
        raw = await scene.connect()
        raw.say(HEAD)
        with contextlib.suppress(ConnectionError):
            for number in range(100):
                raw.say(b"X-%d: %b\r\n" % (number, b"1" * 1_000))
                await raw.writer.drain()
        answer = await raw.answer()
        assert (answer.status, answer.code) == (431, "headers_too_large")


async def test_too_many_headers_are_431() -> None:
    async with running.scene(max_headers=20) as scene:
        # Content-Type, Content-Length and Host are three of them.
        assert (await scene.ask(running.chat(*(f"X-{number}: 1" for number in range(17))))).status == 200
        answer = await scene.ask(running.chat(*(f"X-{number}: 1" for number in range(18))))
        assert (answer.status, answer.code) == (431, "headers_too_large")
        assert answer.headers["connection"] == "close"


async def test_a_target_beyond_what_is_sensible_is_refused() -> None:
    async with running.scene() as scene:
        answer = await scene.get("/v1/models/" + "m" * 10_000)
        assert 400 <= answer.status < 500
        assert answer.error["type"] == "invalid_request_error"


@pytest.mark.parametrize("begun", [b"P", HEAD, running.chat()[:20]])
async def test_a_head_that_does_not_end_in_time_is_408(begun: bytes) -> None:
    async with running.scene(header_timeout=0.05) as scene:
        raw = await scene.connect()
        raw.say(begun)
        answer = await raw.answer()
        assert (answer.status, answer.code) == (408, "request_timeout")
        assert answer.error["type"] == "invalid_request_error"
        assert answer.headers["connection"] == "close"
        assert await raw.rest() == b""


async def test_the_second_head_of_a_connection_has_a_timeout_too() -> None:
    async with running.scene(header_timeout=0.05) as scene:
        raw = await scene.connect()
        raw.say(running.chat())
        assert (await raw.answer()).status == 200
        raw.say(HEAD)
        assert (await raw.answer()).status == 408


async def test_to_aiohttp_a_head_that_began_behind_another_request_is_an_idle_connection() -> None:
    # The express lane reads it when its turn comes, and then answers 408 (tests/lane).
    async with running.scene(keepalive_timeout=0.05, options={"express": False}) as scene:
        raw = await scene.connect()
        raw.say(running.chat("X-Mock-Hold-After: 0"))
        await scene.engine.until(lambda: scene.engine.held == 1)
        raw.say(HEAD)
        # Those bytes came before these, so the gateway has read them too.
        assert (await scene.get("/healthz")).status == 200
        scene.engine.release()
        assert (await raw.answer()).status == 200
        assert await raw.rest() == b""


async def test_line_ends_before_a_request_are_not_its_head() -> None:
    async with running.scene(header_timeout=0.05) as scene:
        raw = await scene.connect()
        raw.say(b"\r\n\r\n")
        assert (await scene.get("/healthz")).status == 200
        raw.say(HEAD)
        assert (await raw.answer()).status == 408
        raw = await scene.connect()
        raw.say(b"\r\n" + running.chat())
        assert (await raw.answer()).status == 200


async def test_a_request_may_take_longer_than_a_head() -> None:
    async with running.scene(header_timeout=0.05) as scene:
        raw = await scene.connect()
        raw.say(running.chat("X-Mock-First-Token-Delay: 300ms"))
        assert (await raw.answer()).status == 200


async def test_a_body_without_progress_is_408_and_reaches_no_engine() -> None:
    async with running.scene(body_timeout=0.05) as scene:
        for begun in (running.chat()[:-1], CHUNKED, CHUNKED + b"5\r\nhel"):
            raw = await scene.connect()
            raw.say(begun)
            answer = await raw.answer()
            assert (answer.status, answer.code) == (408, "request_timeout")
            assert answer.headers["connection"] == "close"
        assert scene.engine.arrivals == 0


async def test_what_follows_a_late_body_is_no_request() -> None:
    async with running.scene(body_timeout=0.05, header_timeout=0.05) as scene:
        raw = await scene.connect()
        raw.say(running.chat()[:-1])
        assert (await raw.answer()).status == 408
        # The missing byte, and then a whole request.
        raw.say(b"}" + running.chat())
        assert await raw.rest() == b""
        assert scene.engine.arrivals == 0


async def test_a_connection_that_stays_idle_is_closed() -> None:
    async with running.scene(keepalive_timeout=0.05) as scene:
        used = await scene.connect()
        used.say(running.chat())
        assert (await used.answer()).status == 200
        assert await used.rest() == b""
        unused = await scene.connect()
        assert await unused.rest() == b""


async def test_connections_beyond_their_number_are_refused_and_health_still_answers() -> None:
    async with running.scene(max_connections=2) as scene:
        first, second = await scene.connect(), await scene.connect()
        for raw in (first, second):
            raw.say(running.get("/healthz"))
            assert (await raw.answer()).status == 200
        third = await scene.connect()
        third.say(running.chat())
        assert await third.rest() == b""
        assert (await scene.get("/healthz", scene.gateway.metrics_port)).status == 200
        await first.leave()
        second.say(running.chat())
        assert (await second.answer()).status == 200
        async with asyncio.timeout(running.PATIENCE):
            while True:
                # The gateway hears of the end of the first in its own time.
                fourth = await scene.connect()
                fourth.say(running.get("/healthz"))
                with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
                    assert (await fourth.answer()).status == 200
                    break
