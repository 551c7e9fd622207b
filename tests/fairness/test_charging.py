"""What each kind of end costs, over sockets; a prompt of `hello` is estimated at one token."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
import pytest

from tests.fairness import crowd
from tests.gateway import running
from tests.gateway.running import MODEL, Scene

# Output counts twice.


async def prompt(scene: Scene) -> int:
    """What the engine counts as the input of a chat."""
    answer = await scene.ask(running.chat(user="prompt"))
    count: int = answer.json()["usage"]["prompt_tokens"]
    return count


async def asked(scene: Scene, *lines: str, status: int = 200, **members: Any) -> float:
    """What one request cost its user."""
    answer = await scene.ask(running.chat(*lines, user="u", **members))
    assert answer.status == status
    return await crowd.service(scene, "u")


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("include_usage", [False, True])
async def test_a_normal_end(stream: bool, include_usage: bool) -> None:
    async with crowd.scene() as scene:
        read = await prompt(scene)
        options: dict[str, Any] = {"stream_options": {"include_usage": True}} if stream and include_usage else {}
        assert await asked(scene, stream=stream, max_tokens=5, **options) == read + 2 * 5


async def test_usage_in_each_chunk() -> None:
    async with crowd.scene() as scene:
        read = await prompt(scene)
        options = {"include_usage": True, "continuous_usage_stats": True}
        assert await asked(scene, stream=True, max_tokens=9, stream_options=options) == read + 2 * 9


async def test_several_choices_at_once() -> None:
    async with crowd.scene() as scene:
        read = await prompt(scene)
        assert await asked(scene, stream=True, max_tokens=5, n=3) == read + 2 * 15


async def test_embeddings() -> None:
    async with crowd.scene() as scene:
        body = orjson.dumps({"model": MODEL, "input": "hello " * 40, "user": "u"})
        answer = await scene.ask(running.request(body, "Content-Type: application/json", path="/v1/embeddings"))
        assert await crowd.service(scene, "u") == answer.json()["usage"]["prompt_tokens"]


async def test_a_lost_client_pays_for_what_was_produced() -> None:
    """Upstream charges nothing to whoever leaves before the usage event."""
    async with crowd.scene() as scene:
        raw = await scene.connect()
        raw.say(running.chat("X-Mock-Hold-After: 6", stream=True, user="u"))
        await scene.engine.until(lambda: scene.engine.held == 1)
        for _ in range(6):
            await raw.until(b"}\n\n")
        await raw.leave()
        assert await crowd.service(scene, "u") >= 2 * 5
        assert await crowd.service(scene, "u") <= 1 + 2 * 7
        await crowd.is_as_new(scene)


async def test_a_lost_client_of_an_answer_that_is_not_streamed_pays_for_the_time() -> None:
    async with crowd.scene(crowd.engine(token_interval=0.001)) as scene:
        await scene.ask(running.chat(user="teacher", max_tokens=50))
        raw = await scene.connect()
        raw.say(running.chat("X-Mock-Token-Interval: 10s", user="u", max_tokens=20))
        await scene.engine.until(lambda: scene.engine.pool.running == 1)
        began = asyncio.get_running_loop().time()
        # Long enough for some tokens at the pace that was learned.
        await crowd.until(lambda: asyncio.get_running_loop().time() > began + 0.05)
        await raw.leave()
        cost = await crowd.service(scene, "u")
        assert 1 < cost <= 1 + 2 * 20
        await crowd.is_as_new(scene)


async def test_a_stream_that_the_engine_breaks_costs_what_came() -> None:
    async with crowd.scene(running.faulty("die-mid-stream:3")) as scene:
        raw = await scene.connect()
        raw.say(running.chat(stream=True, user="u"))
        _, status, _ = await raw.head()
        await raw.rest()
        assert status == 200
        assert await crowd.service(scene, "u") >= 2 * 3
        assert await crowd.service(scene, "u") <= 1 + 2 * 4
        await crowd.is_as_new(scene)


@pytest.mark.parametrize("fault", ["status:400", "status:404", "status:422"])
async def test_what_the_engine_refuses_costs_nothing(fault: str) -> None:
    async with crowd.scene(running.faulty(fault)) as scene:
        assert await asked(scene, status=int(fault[-3:])) == 0.0
        await crowd.is_as_new(scene)


async def test_a_prompt_that_is_too_long_for_the_engine_costs_nothing() -> None:
    async with crowd.scene(crowd.engine(max_model_len=10)) as scene:
        assert await asked(scene, status=400, messages=[{"role": "user", "content": "word " * 500}]) == 0.0


async def test_an_engines_failure_costs_the_prompt_and_not_its_error_page() -> None:
    async with crowd.scene(running.faulty("status:500")) as scene:
        assert await asked(scene, status=500) == 1.0


async def test_an_engine_that_dies_without_an_answer_costs_the_prompt() -> None:
    async with crowd.scene(running.faulty("die-before-head")) as scene:
        assert await asked(scene, status=502) == 1.0
        await crowd.is_as_new(scene)


@pytest.mark.parametrize("fault", ["status:503:first-1", "reset:first-1", "die-in-head:first-1"])
async def test_a_retry_on_a_second_pod_is_charged_once(fault: str) -> None:
    async with crowd.scene(running.faulty(fault), crowd.engine()) as scene:
        read = await prompt(scene)
        # One of two goes to either pod first.
        await asked(scene, max_tokens=5)
        assert await asked(scene, max_tokens=5) == 2 * (read + 2 * 5)
        posts = [record for engine in scene.engines for record in engine.requests if record.method == "POST"]
        assert len(posts) == 4, "three requests and one retry"
        await crowd.is_as_new(scene)


async def test_what_no_engine_got_costs_nothing() -> None:
    async with running.scene(
        given=lambda _: running.objects(["127.0.0.1:1"]),
        enable_fairness_scheduling=True,
        fairness_priority_request_num_weight=10.0,
    ) as scene:
        assert await asked(scene, status=502) == 0.0
        await crowd.is_as_new(scene)


async def test_requests_cost_their_weight_refused_ones_too() -> None:
    async with crowd.scene(running.faulty("status:400:first-1"), fairness_priority_request_num_weight=10.0) as scene:
        assert await asked(scene, status=400) == 10.0
        read = await prompt(scene)
        assert await asked(scene, max_tokens=3) == 10.0 + 10.0 + read + 2 * 3


async def test_the_mean_answer_is_reserved_while_it_is_under_way_and_settled_at_its_end() -> None:
    async with crowd.scene(fairness_reserve_output=True) as scene:
        first = await asked(scene, max_tokens=20)
        held = asyncio.ensure_future(scene.ask(running.chat("X-Mock-Hold-After: 0", user="u", max_tokens=4)))
        await scene.engine.until(lambda: scene.engine.held == 1)
        page = (await scene.get("/debug/fairness?user=u", scene.gateway.debug_port)).json()
        assert page["service"][0]["usage"] == first + 1 + 2 * 4
        assert page["service"][0]["inFlight"] == 1
        scene.engine.release()
        await held
        assert await crowd.service(scene, "u") == first + await prompt(scene) + 2 * 4
