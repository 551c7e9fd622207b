"""Clients that leave, before, during and after their answer, and clients that read slowly."""

from __future__ import annotations

import asyncio

import pytest

from kthena_fast.gateway import answer as answers
from kthena_fast.mock_engine import EngineConfig
from tests.gateway import running
from tests.gateway.running import faulty

AT_ONCE = 0.1
"""Seconds within which the engine must know."""


async def test_a_client_that_leaves_before_its_answer_aborts_the_engines_request() -> None:
    async with running.scene(faulty("hang")) as scene:
        raw = await scene.connect()
        raw.say(running.chat())
        await scene.engine.until(lambda: scene.engine.arrivals == 1)
        (record,) = scene.engine.requests
        await raw.leave()
        await running.within(AT_ONCE, scene.engine.until(lambda: record.aborted))
        await scene.settled()
        assert scene.in_flight == 0


@pytest.mark.parametrize("politely", [True, False])
async def test_a_client_that_leaves_a_stream_aborts_the_engines_request(politely: bool) -> None:
    async with running.scene() as scene:
        raw = await scene.connect()
        raw.say(running.chat("X-Mock-Hold-After: 3", stream=True))
        await scene.engine.until(lambda: scene.engine.held == 1)
        await raw.until(b"data: ")
        (record,) = scene.engine.requests
        if politely:
            raw.writer.close()
        else:
            await raw.leave()
        await running.within(AT_ONCE, scene.engine.until(lambda: record.aborted))
        await scene.settled()
        assert scene.in_flight == 0


async def test_a_client_that_leaves_while_it_uploads_costs_the_engine_nothing() -> None:
    async with running.scene() as scene:
        raw = await scene.connect()
        raw.say(running.request(running.body(), "Expect: 100-continue").removesuffix(running.body()))
        assert (await raw.head())[1] == 100
        await raw.leave()
        await scene.settled()
        assert scene.engine.arrivals == 0


async def test_a_client_that_leaves_after_its_answer_aborts_nothing() -> None:
    async with running.scene() as scene:
        raw = await scene.connect()
        raw.say(running.chat())
        assert (await raw.answer()).status == 200
        await raw.leave()
        await scene.settled()
        assert scene.engine.requests[0].finished
        assert not scene.engine.requests[0].aborted


async def test_a_client_that_leaves_is_not_retried_for() -> None:
    async with running.scene(faulty("hang"), faulty("hang")) as scene:
        raw = await scene.connect()
        raw.say(running.chat())
        await asyncio.wait(
            [
                asyncio.ensure_future(engine.until(lambda engine=engine: engine.arrivals == 1))  # type: ignore[misc]
                for engine in scene.engines
            ],
            return_when=asyncio.FIRST_COMPLETED,
        )
        await raw.leave()
        await scene.settled()
        assert sum(engine.arrivals for engine in scene.engines) == 1


async def test_others_go_on_when_one_client_leaves() -> None:
    async with running.scene() as scene:
        leaving, staying = await scene.connect(), await scene.connect()
        for raw in (leaving, staying):
            raw.say(running.chat("X-Mock-Hold-After: 2", stream=True))
        await scene.engine.until(lambda: scene.engine.held == 2)
        await leaving.leave()
        await running.within(1.0, scene.engine.until(lambda: any(record.aborted for record in scene.engine.requests)))
        scene.engine.release()
        assert (await staying.answer()).body.endswith(b"data: [DONE]\n\n")


class Watched:
    """How much waits in the gateway for a client that does not read, seen behind every write."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.most = 0
        self.paused = asyncio.Event()
        write, pause = answers.Answer.write, answers.Pressure.pause

        def note_write(answer: answers.Answer, data: bytes) -> None:
            write(answer, data)
            self.most = max(self.most, answer._transport.get_write_buffer_size())

        def note_pause(pressure: answers.Pressure) -> None:
            pause(pressure)
            self.paused.set()

        monkeypatch.setattr(answers.Answer, "write", note_write)
        monkeypatch.setattr(answers.Pressure, "pause", note_pause)


WATCHED = {"express": False}
"""The express lane is its own answer, which a compiled class lets nobody watch: tests/lane looks at it."""

SIZE = 16 * 2**20


@pytest.mark.parametrize("stream", [False, True])
async def test_a_client_that_reads_slowly_holds_back_the_engine_and_not_the_gateways_memory(
    stream: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    watched = Watched(monkeypatch)
    async with running.scene(faulty(f"big-body:{SIZE}"), options=WATCHED) as scene:
        raw = await scene.connect(receive_buffer=65536)
        raw.reader._limit = 65536  # type: ignore[attr-defined]  # what the client itself holds
        raw.say(running.chat(stream=stream))
        async with asyncio.timeout(running.PATIENCE):
            await watched.paused.wait()
        (record,) = scene.engine.requests
        assert not record.finished
        # Others are served meanwhile.
        assert (await scene.get("/healthz")).status == 200
        answer = await raw.answer()
        assert len(answer.body) > SIZE
        assert 0 < watched.most <= 256 * 1024
        await scene.engine.until(lambda: record.finished)


async def test_a_client_that_stops_reading_and_leaves_aborts_the_engines_request(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    watched = Watched(monkeypatch)
    config = EngineConfig(models=(running.MODEL,), output_tokens=1_000_000)
    async with running.scene(config, options=WATCHED) as scene:
        raw = await scene.connect(receive_buffer=65536)
        raw.say(running.chat(stream=True))
        async with asyncio.timeout(running.PATIENCE):
            await watched.paused.wait()
        (record,) = scene.engine.requests
        await raw.leave()
        await running.within(1.0, scene.engine.until(lambda: record.aborted))
        await scene.settled()
        assert scene.in_flight == 0
