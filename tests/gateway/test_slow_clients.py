"""Clients that promise, dawdle or never read, on both ways in: they cost what they sent, and have their time."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

import pytest

from kthena_fast.gateway import _lane_py, answer, client_connection
from tests.gateway import running
from tests.gateway.running import Scene, faulty

HEAD = b"POST /v1/chat/completions HTTP/1.1\r\nHost: gateway.test\r\n"
LENGTH = 32 * 2**20

ways = pytest.mark.parametrize("express", [True, False], ids=["lane", "aiohttp"])


def way(express: bool) -> dict[str, bool]:
    return {"express": express}


async def refused(scene: Scene) -> dict[str, float]:
    """What was refused before it became a request: how often, by status and type."""
    name = "kthena_fast_refused_requests_total"
    lines = [line for line in (await scene.metrics()).splitlines() if line.startswith(name + "{")]
    return {labels: float(value) for labels, _, value in (line[len(name) :].partition(" ") for line in lines)}


@ways
async def test_clients_that_promise_much_and_send_nothing_keep_nobody_out(express: bool) -> None:
    async with running.scene(options=way(express)) as scene:
        silent = [await scene.connect() for _ in range(8)]
        for raw in silent:
            raw.say(HEAD + b"Content-Length: %d\r\n\r\n" % LENGTH)
        await _until(lambda: len(scene.gateway.state.serving) == len(silent))
        assert (await scene.ask(running.chat())).status == 200
        assert (await scene.ask(running.request(running.body(user="u" * 1_000_000)))).status == 200


@ways
async def test_bytes_that_came_count_before_the_rest_does(express: bool) -> None:
    async with running.scene(options=way(express), max_body_bytes=40_000, max_buffered_bytes=50_000) as scene:
        way_in = scene.gateway._way
        assert way_in is not None
        slow = await scene.connect()
        slow.say(HEAD + b"Content-Length: 30000\r\n\r\n")
        await _until(lambda: len(scene.gateway.state.serving) == 1)
        slow.say(b"x" * 29_000)
        await _until(lambda: way_in.budget.held == 29_000)
        other = await scene.connect()
        other.say(HEAD + b"Content-Length: 30000\r\n\r\n")
        await _until(lambda: len(scene.gateway.state.serving) == 2)
        other.say(b"x" * 29_000)
        refusal = await other.answer()
        assert (refusal.status, refusal.code, refusal.headers["connection"]) == (503, "overloaded", "close")
        await slow.leave()
        await scene.settled()
        assert way_in.budget.held == 0


@ways
async def test_a_body_may_take_longer_than_its_timeout_as_long_as_it_goes_on(express: bool) -> None:
    async with running.scene(options=way(express), body_timeout=0.3) as scene:
        loop = asyncio.get_running_loop()
        raw = await scene.connect()
        content = running.body(user="u" * 8)
        raw.say(HEAD + b"Content-Length: %d\r\n\r\n" % len(content))
        began = loop.time()
        for at in range(len(content)):
            raw.say(content[at : at + 1])
            await asyncio.wait_for(_passed(0.015), running.PATIENCE)
        assert loop.time() - began > 0.3 + 2 * 0.1, "it took longer than the timeout, however coarse that is"
        assert (await raw.answer()).status == 200
        assert scene.engine.requests[0].body == content


@ways
@pytest.mark.parametrize(
    "begun",
    [
        HEAD + b"Content-Length: 100\r\n\r\n{",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhel",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello",
    ],
)
async def test_a_body_that_never_becomes_whole_is_answered_and_nothing_is_logged(
    express: bool, begun: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    async with running.scene(options=way(express), body_timeout=0.05) as scene:
        caplog.clear()
        caplog.set_level(logging.WARNING)
        raw = await scene.connect()
        raw.say(begun)
        refusal = await raw.answer()
        assert (refusal.status, refusal.headers["connection"]) in {(408, "close"), (400, "close")}
        assert await raw.rest() == b""
        await raw.leave()
        assert scene.gateway._way is not None
        await running.within(running.PATIENCE, scene.gateway._way.emptied())
        assert not caplog.records


@ways
@pytest.mark.parametrize("expect", [b"", b"Expect: 100-continue\r\n"])
async def test_a_refusal_before_the_body_ends_the_connection_though_no_body_comes(express: bool, expect: bytes) -> None:
    async with running.scene(options=way(express), max_body_bytes=1_000) as scene:
        for head in (HEAD + b"Content-Length: 5000\r\n", HEAD.replace(b"/v1/", b"/v1/../") + b"Content-Length: 5\r\n"):
            raw = await scene.connect()
            raw.say(head + expect + b"\r\n")
            refusal = await raw.answer()
            assert refusal.status in {413, 400}
            assert refusal.headers["connection"] == "close"
            # At once, and not when the client has given up sending.
            async with asyncio.timeout(1.0):
                assert await raw.rest() == b""


@ways
async def test_what_is_refused_before_it_is_a_request_is_counted(express: bool) -> None:
    async with running.scene(options=way(express), header_timeout=0.05, max_header_bytes=2_000) as scene:
        for request, status in (
            (HEAD + b"Nonsense\r\n\r\n", 400),
            (HEAD + b"X: " + b"x" * 2_100 + b"\r\nContent-Length: 0\r\n\r\n", 431),
            (HEAD + b"X: " + b"x" * 20_000, 431),
            (HEAD.replace(b"Host: gateway", b"Host: gate way") + b"Content-Length: 0\r\n\r\n", 400),
            (HEAD.replace(b"1.1", b"2.0") + b"Content-Length: 0\r\n\r\n", 400),
            (HEAD, 408),
        ):
            assert (await scene.ask(request)).status == status, request[:80]
        assert await refused(scene) == {
            '{error_type="headers_too_large",status_code="431"}': 2.0,
            '{error_type="request_parsing",status_code="400"}': 3.0,
            '{error_type="request_timeout",status_code="408"}': 1.0,
        }


@ways
async def test_a_client_that_never_reads_does_not_keep_a_connection_that_was_closed(
    express: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (answer, client_connection, _lane_py):
        monkeypatch.setattr(module, "CLOSE_PATIENCE", 0.2)
    async with running.scene(faulty(f"big-body:{16 * 2**20}"), options=way(express)) as scene:
        way_in = scene.gateway._way
        assert way_in is not None
        if express:
            # Only the pure twin lets its patience be shortened.
            way_in.lane = _lane_py.Lane
        raw = await scene.connect(receive_buffer=4096)
        raw.reader._limit = 1  # type: ignore[attr-defined]  # what the client itself takes
        raw.say(running.chat())
        await scene.engine.until(lambda: scene.engine.arrivals == 1)
        (record,) = scene.engine.requests
        (exchange,) = scene.gateway.state.serving
        await _until(lambda: exchange.first_byte is not None)
        assert not record.finished
        scene.gateway.state.abort_all()
        await running.within(running.PATIENCE, way_in.emptied())


async def _passed(seconds: float) -> None:
    done = asyncio.Event()
    asyncio.get_running_loop().call_later(seconds, done.set)
    await done.wait()


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(running.PATIENCE):
        while not condition():  # noqa: ASYNC110 - nothing in the gateway tells a test
            await asyncio.sleep(0)


@ways
async def test_a_connection_that_ended_leaves_no_deadline_behind(express: bool) -> None:
    async with running.scene(options=way(express)) as scene:
        way_in = scene.gateway._way
        assert way_in is not None
        for say in (HEAD + b"Content-Length: 30000\r\n\r\n", HEAD, b"nonsense\r\n\r\n", b""):
            raw = await scene.connect()
            raw.say(say)
            await raw.leave()
        raw = await scene.connect()
        raw.say(running.chat())
        assert (await raw.answer()).status == 200
        await raw.leave()
        await _until(lambda: way_in.open_connections == 0)
        assert len(way_in.deadlines) == 0
