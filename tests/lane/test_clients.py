"""Clients of the lane on real sockets: half-closed, slow, gone, over TLS, and while the process drains."""

from __future__ import annotations

import asyncio
from types import ModuleType

import pytest

from kthena_fast.gateway import _lane_py
from tests.gateway import running
from tests.gateway.running import faulty
from tests.lane.conftest import scene

AT_ONCE = 0.1
"""Seconds within which an engine must know that its client has left."""


@pytest.mark.parametrize("stream", [False, True])
async def test_a_client_that_closes_its_direction_is_still_answered(module: ModuleType, stream: bool) -> None:
    async with scene(module) as made:
        raw = await made.connect()
        raw.say(running.chat("X-Mock-Hold-After: 0", stream=stream))
        raw.writer.write_eof()
        await made.engine.until(lambda: made.engine.held == 1)
        if not stream:
            # It is asked whether it is still there; a stream has begun, and its events ask.
            assert (await raw.head())[1] == 100
        made.engine.release()
        while (answer := await raw.answer()).status == 100:
            pass
        assert answer.status == 200
        assert await raw.rest() == b""
        assert made.engine.requests[0].finished


async def test_a_client_that_leaves_before_its_answer_is_found_out(module: ModuleType) -> None:
    async with scene(module, faulty("hang")) as made:
        raw = await made.connect()
        raw.say(running.chat())
        await made.engine.until(lambda: made.engine.arrivals == 1)
        (record,) = made.engine.requests
        raw.writer.close()
        await running.within(AT_ONCE, made.engine.until(lambda: record.aborted))
        await made.settled()


async def test_a_body_that_is_not_whole_when_its_client_closes_is_given_up(module: ModuleType) -> None:
    async with scene(module) as made:
        raw = await made.connect()
        raw.say(running.chat()[:-1])
        raw.writer.write_eof()
        assert await raw.rest() == b""
        await made.settled()
        assert made.engine.arrivals == 0


async def test_a_head_that_began_behind_another_request_has_its_time(module: ModuleType) -> None:
    async with scene(module, header_timeout=0.05) as made:
        raw = await made.connect()
        raw.say(running.chat() + b"POST /v1/chat")
        assert (await raw.answer()).status == 200
        assert (await raw.answer()).status == 408
        assert await raw.rest() == b""


async def test_what_stands_behind_a_malformed_request_is_never_read(module: ModuleType) -> None:
    async with scene(module) as made:
        raw = await made.connect()
        raw.say(running.chat() + b"GARBAGE\r\n\r\n" + running.chat())
        assert [(await raw.answer()).status for _ in range(2)] == [200, 400]
        assert await raw.rest() == b""
        assert made.engine.arrivals == 1


async def test_a_body_beyond_the_limit_is_refused_before_it_comes(module: ModuleType) -> None:
    async with scene(module, max_body_bytes=1000) as made:
        raw = await made.connect()
        raw.say(running.request(b"x" * 5000)[:-4000])
        answer = await raw.answer()
        assert (answer.status, answer.headers["connection"]) == (413, "close")
        assert await raw.rest() == b""


SIZE = 16 * 2**20


@pytest.mark.parametrize("stream", [False, True])
async def test_a_client_that_reads_slowly_holds_back_the_engine(stream: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    most = 0
    paused = asyncio.Event()
    write, pause = _lane_py.Lane.write, _lane_py.Lane.pause_writing

    def note_write(lane: _lane_py.Lane, data: bytes) -> None:
        nonlocal most
        write(lane, data)
        most = max(most, lane._transport.get_write_buffer_size())

    def note_pause(lane: _lane_py.Lane) -> None:
        pause(lane)
        paused.set()

    # Only the pure twin lets itself be watched.
    monkeypatch.setattr(_lane_py.Lane, "write", note_write)
    monkeypatch.setattr(_lane_py.Lane, "pause_writing", note_pause)
    async with scene(_lane_py, faulty(f"big-body:{SIZE}")) as made:
        raw = await made.connect(receive_buffer=65536)
        raw.reader._limit = 65536  # type: ignore[attr-defined]  # what the client itself holds
        raw.say(running.chat(stream=stream))
        await running.within(running.PATIENCE, _set(paused))
        (record,) = made.engine.requests
        assert not record.finished
        assert len((await raw.answer()).body) > SIZE
        assert most <= 256 * 1024
        await made.engine.until(lambda: record.finished)


async def _set(event: asyncio.Event) -> None:
    await event.wait()


async def test_connections_of_both_ways_count_together(module: ModuleType) -> None:
    async with scene(module, max_connections=2) as made:
        lane, aiohttp = await made.connect(), await made.connect()
        lane.say(running.chat())
        aiohttp.say(running.get("/healthz"))
        assert (await lane.answer()).status == (await aiohttp.answer()).status == 200
        refused = await made.connect()
        refused.say(running.chat())
        assert await refused.rest() == b""
        # At the limit, too, a connection may go from one way to the other.
        lane.say(running.get("/healthz"))
        assert (await lane.answer()).status == 200
        aiohttp.say(running.chat())
        assert (await aiohttp.answer()).status == 200
        await aiohttp.leave()
        await lane.leave()
        await running.within(running.PATIENCE, made.gateway._way.emptied())  # type: ignore[union-attr]


async def test_a_drain_waits_for_requests_in_the_lane_and_closes_what_is_idle(module: ModuleType) -> None:
    async with scene(module) as made:
        idle, busy = await made.connect(), await made.connect()
        idle.say(running.chat())
        assert (await idle.answer()).status == 200
        busy.say(running.chat("X-Mock-Hold-After: 0"))
        await made.engine.until(lambda: made.engine.held == 1)
        draining = asyncio.create_task(made.gateway.drain())
        assert await idle.rest() == b""
        assert not draining.done()
        made.engine.release()
        answer = await busy.answer()
        assert (answer.status, answer.headers["connection"]) == (200, "close")
        await running.within(running.PATIENCE, draining)
