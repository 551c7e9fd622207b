"""What the client gets when the engine fails: DESIGN 5's retries, timeouts and broken streams."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from kthena_fast.mock_engine import EngineConfig
from kthena_fast.routing.objects import Objects
from tests.gateway import running
from tests.gateway.running import faulty

NOWHERE = "127.0.0.1:9"
"""The discard port: nobody listens."""


def policy(**rules: Any) -> Any:
    """Objects with this trafficPolicy; retries come at once."""
    retry = {"retryInterval": "0s"} | rules.pop("retry", {})

    def given(addresses: list[str]) -> Objects:
        return running.objects(addresses, policy={"retry": retry, **rules})

    return given


BEFORE_THE_ANSWER = ["die-before-head", "reset", "die-in-head"]


@pytest.mark.parametrize("fault", BEFORE_THE_ANSWER)
async def test_an_engine_that_dies_before_its_answer_is_502_where_no_retry_is_left(fault: str) -> None:
    async with running.scene(faulty(fault), given=policy()) as scene:
        raw = await scene.connect()
        raw.say(running.chat())
        answer = await raw.answer()
        assert (answer.status, answer.code) == (502, "connection_failed")
        assert answer.error["type"] == "upstream_error"
        raw.say(running.get("/healthz"))
        assert (await raw.answer()).status == 200
        assert scene.in_flight == 0


@pytest.mark.parametrize("fault", [*BEFORE_THE_ANSWER, "status:429", "status:502", "status:503"])
async def test_another_pod_makes_up_for_it(fault: str) -> None:
    async with running.scene(faulty(fault), faulty(), given=policy()) as scene:
        for _ in range(2):
            assert (await scene.ask(running.chat())).status == 200
        bad, good = scene.engines
        assert good.arrivals == 2
        assert 1 <= bad.arrivals <= 2


@pytest.mark.parametrize("fault", [*BEFORE_THE_ANSWER, "status:503"])
async def test_no_attempts_means_no_retry(fault: str) -> None:
    async with running.scene(faulty(fault), faulty(fault), given=policy(retry={"attempts": 0})) as scene:
        assert (await scene.ask(running.chat())).status in {502, 503}
        assert sum(engine.arrivals for engine in scene.engines) == 1


async def test_attempts_bound_the_retries_and_the_last_answer_is_the_engines_own() -> None:
    configs = [faulty("status:503")] * 4
    async with running.scene(*configs, given=policy(retry={"attempts": 2})) as scene:
        answer = await scene.ask(running.chat())
        assert answer.status == 503
        assert answer.json()["error"]["message"] == "The mock engine was told to answer 503."
        assert answer.headers["retry-after"] == "1"
        assert [engine.arrivals for engine in scene.engines].count(1) == 3


@pytest.mark.parametrize("status", [400, 401, 404, 409, 422, 429, 500, 501, 502, 503, 504])
async def test_the_engines_own_refusals_pass_unchanged(status: int) -> None:
    async with running.scene(faulty(f"status:{status}"), given=policy()) as scene:
        answer = await scene.ask(running.chat())
        assert answer.status == status
        assert answer.json()["error"]["message"] == f"The mock engine was told to answer {status}."
        assert answer.headers["x-request-id"]
        assert scene.engine.arrivals == 1


@pytest.mark.parametrize("status", [400, 404, 422, 500, 501, 504])
async def test_other_refusals_than_429_502_and_503_are_not_tried_again(status: int) -> None:
    async with running.scene(*[faulty(f"status:{status}")] * 2, given=policy()) as scene:
        assert (await scene.ask(running.chat())).status == status
        assert sum(engine.arrivals for engine in scene.engines) == 1


async def test_connections_that_are_refused_move_on_without_counting_as_retries() -> None:
    before = [f"127.0.0.1:{port}" for port in (11, 12, 13, 14)]
    async with running.scene(before=before, given=policy(retry={"attempts": 0})) as scene:
        for _ in range(2):
            assert (await scene.ask(running.chat())).status == 200


async def test_at_most_five_pods_are_tried_for_a_connection() -> None:
    before = [f"127.0.0.1:{port}" for port in (11, 12, 13, 14, 15)]
    async with running.scene(before=before, given=policy()) as scene:
        answer = await scene.ask(running.chat())
        assert (answer.status, answer.code) == (502, "connection_failed")
        assert scene.engine.arrivals == 0


async def test_no_engine_to_connect_to_is_502() -> None:
    async with running.scene(given=lambda _: running.objects([NOWHERE])) as scene:
        answer = await scene.ask(running.chat())
        assert (answer.status, answer.code) == (502, "connection_failed")
        assert answer.error["type"] == "upstream_error"
        # Where the engine is, the log says.
        assert answer.error["message"] == "The engine could not be reached: connection refused."


async def test_an_engine_that_hangs_is_504_told_not_to_retry_and_let_go() -> None:
    async with running.scene(*[faulty("hang")] * 2, given=policy(timeout="100ms")) as scene:
        answer = await scene.ask(running.chat())
        assert (answer.status, answer.code) == (504, "upstream_timeout")
        assert answer.error["type"] == "timeout"
        assert answer.headers["x-should-retry"] == "false"
        (asked,) = [engine for engine in scene.engines if engine.arrivals]
        await running.within(1.0, asked.until(lambda: asked.requests[0].aborted))
        assert asked.arrivals == 1
        assert scene.in_flight == 0


async def test_the_timeout_is_for_the_head_and_not_for_the_stream() -> None:
    async with running.scene(given=policy(timeout="100ms")) as scene:
        answer = await scene.ask(running.chat("X-Mock-Token-Interval: 30ms", max_tokens=8, stream=True))
        assert answer.status == 200
        assert answer.body.endswith(b"data: [DONE]\n\n")


async def test_what_is_not_http_is_502_protocol_error_and_not_tried_again() -> None:
    async with running.scene(*[faulty("garbage")] * 2, given=policy()) as scene:
        answer = await scene.ask(running.chat())
        assert (answer.status, answer.code) == (502, "protocol_error")
        assert answer.error["type"] == "upstream_error"
        assert sum(engine.arrivals for engine in scene.engines) == 1


async def test_a_body_that_breaks_off_is_visibly_broken_and_not_repeated() -> None:
    async with running.scene(*[faulty("die-mid-body")] * 2, given=policy()) as scene:
        raw = await scene.connect()
        raw.say(running.chat())
        _, status, headers = await raw.head()
        assert status == 200
        assert 0 < len(await raw.rest()) < int(headers["content-length"])
        assert sum(engine.arrivals for engine in scene.engines) == 1


def last_event(wire: bytes) -> Any:
    """The last event of a stream that was broken off; between two chunks and without the last one."""
    assert wire.endswith(b"\n\n\r\n")
    return orjson.loads(wire.rstrip().rpartition(b"data: ")[2])


@pytest.mark.parametrize("fault", ["die-mid-stream:3", "die-mid-body", "bad-chunk"])
async def test_a_stream_that_breaks_off_ends_with_an_error_event_and_no_end(fault: str) -> None:
    async with running.scene(faulty(fault), given=policy()) as scene:
        raw = await scene.connect()
        raw.say(running.chat("X-Mock-Hold-After: 0", stream=True))
        _, status, headers = await raw.head()
        assert (status, headers["transfer-encoding"]) == (200, "chunked")
        scene.engine.release()
        wire = await raw.rest()
        error = last_event(wire)["error"]
        assert (error["type"], error["code"]) == ("upstream_error", "protocol_error")
        assert b"[DONE]" not in wire
        assert not wire.endswith(b"0\r\n\r\n")
        assert scene.engine.arrivals == 1
        assert scene.in_flight == 0


async def test_an_interim_answer_of_the_engine_stays_between_gateway_and_engine() -> None:
    async with running.scene(faulty("informational:103")) as scene:
        raw = await scene.connect()
        raw.say(running.chat())
        answer = await raw.answer()
        assert answer.status == 200
        assert "link" not in answer.headers


@pytest.mark.parametrize("stream", [False, True])
async def test_an_engine_that_speaks_http_1_0_is_framed_for_the_client(stream: bool) -> None:
    async with running.scene(faulty("http10")) as scene:
        raw = await scene.connect()
        for _ in range(2):
            raw.say(running.chat(stream=stream))
            answer = await raw.answer()
            assert (answer.status, answer.headers["transfer-encoding"]) == (200, "chunked")
            assert answer.version == "HTTP/1.1"
            assert answer.body.endswith(b"data: [DONE]\n\n" if stream else b"}")


async def test_an_engine_that_closes_after_each_answer_is_served_by_new_connections() -> None:
    async with running.scene(faulty("close-after")) as scene:
        raw = await scene.connect()
        for _ in range(3):
            raw.say(running.chat())
            answer = await raw.answer()
            assert answer.status == 200
            assert "connection" not in answer.headers
        assert len({record.connection for record in scene.engine.requests}) == 3


async def test_an_engine_that_leaves_while_others_are_served_harms_only_its_own() -> None:
    config = EngineConfig(models=(running.MODEL,))
    async with running.scene(config, config, given=policy()) as scene:
        streams = {}
        for _ in scene.engines:
            raw = await scene.connect()
            raw.say(running.chat("X-Mock-Hold-After: 1", stream=True))
            await raw.until(b'"content":" the"')
            (which,) = (engine for engine in scene.engines if engine.held and engine not in streams)
            streams[which] = raw
        left, stayed = scene.engines
        scene.servers[0].drop_connections()
        stayed.release()
        assert b'data: {"error":' in await streams[left].rest()
        assert b"[DONE]" in await streams[stayed].until(b"\r\n0\r\n\r\n")
