"""What clients are told that wait, or may not: over sockets, and by the OpenAI SDK."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import openai
import pytest

from kthena_fast.gateway import app
from kthena_fast.routing.objects import Objects
from tests.fairness import crowd
from tests.gateway import running
from tests.gateway.running import MODEL


async def test_a_full_queue_answers_429_at_once() -> None:
    async with crowd.scene(fairness_max_concurrent=1, fairness_max_queue=5) as scene:
        held = await crowd.hold(scene, 1)
        asked = crowd.ask(scene, {f"u{number}": 1 for number in range(5)})
        await crowd.waiting(scene, 5)
        answer = await scene.ask(running.chat(user="late"))
        assert answer.status == 429
        assert answer.code == "queue_full"
        assert answer.error["type"] == "rate_limit_error"
        assert int(answer.headers["retry-after"]) >= 1
        with pytest.raises(openai.RateLimitError) as caught:
            await scene.openai().chat.completions.create(
                model=MODEL, messages=[{"role": "user", "content": "hi"}], user="sdk"
            )
        assert caught.value.code == "queue_full"
        assert not asked.done(), "nobody had left"
        scene.engine.release()
        await held
        assert {answer.status for answer in await asked} == {200}
        shown = await scene.metrics()
        assert 'kthena_fast_fairness_rejected_total{model="llama",reason="queue_full"} 2.0' in shown


async def test_a_user_who_filled_his_part_of_the_queue_is_refused_and_others_are_not() -> None:
    async with crowd.scene(fairness_max_concurrent=1, fairness_max_queue_per_user=3) as scene:
        held = await crowd.hold(scene, 1)
        greedy = crowd.ask(scene, {"greedy": 3})
        await crowd.waiting(scene, 3)
        assert (await scene.ask(running.chat(user="greedy"))).code == "user_queue_full"
        other = crowd.ask(scene, {"other": 1})
        await crowd.waiting(scene, 4)
        scene.engine.release()
        for asked in (held, greedy, other):
            assert {answer.status for answer in await asked} == {200}


async def test_a_wait_that_is_too_long_ends_with_504_and_the_time_it_took() -> None:
    async with crowd.scene(fairness_max_concurrent=1, fairness_queue_timeout=0.05) as scene:
        held = await crowd.hold(scene, 1)
        (answer,) = await crowd.ask(scene, {"u": 1})
        assert answer.status == 504
        assert (answer.code, answer.error["type"]) == ("queue_timeout", "timeout")
        assert answer.headers["x-should-retry"] == "false"
        assert float(answer.headers["x-kthena-queue-time"]) >= 0.05
        scene.engine.release()
        assert {answer.status for answer in await held} == {200}
        await crowd.is_as_new(scene)


async def test_the_sdk_does_not_repeat_a_wait_that_was_too_long() -> None:
    async with crowd.scene(fairness_max_concurrent=1, fairness_queue_timeout=0.05) as scene:
        held = await crowd.hold(scene, 1)
        with pytest.raises(openai.InternalServerError):
            await scene.openai(max_retries=3).chat.completions.create(
                model=MODEL, messages=[{"role": "user", "content": "hi"}]
            )
        assert 'kthena_fast_fairness_queue_timeouts_total{model="llama"} 1.0' in await scene.metrics()
        scene.engine.release()
        await held


async def test_who_waits_for_a_route_that_is_removed_is_answered_404() -> None:
    async with crowd.scene(fairness_max_concurrent=1) as scene:
        held = await crowd.hold(scene, 1)
        asked = crowd.ask(scene, {"u": 3})
        await crowd.waiting(scene, 3)
        scene.source.change(Objects())
        assert [answer.code for answer in await asked] == ["model_not_found"] * 3
        scene.engine.release()
        assert {answer.status for answer in await held} == {200}


async def test_at_the_end_of_a_drain_those_who_still_wait_are_answered_503() -> None:
    async with crowd.scene(fairness_max_concurrent=1, drain_timeout=0.05) as scene:
        held = await crowd.hold(scene, 1)
        asked = crowd.ask(scene, {"u": 3})
        await crowd.waiting(scene, 3)
        await scene.gateway.drain()
        answers = await asked
        assert [(answer.status, answer.code) for answer in answers] == [(503, "draining")] * 3
        await held
        assert not crowd.turns(scene).server_gates["default/server"].out


async def test_those_who_wait_when_a_drain_begins_get_their_turn() -> None:
    async with crowd.scene(fairness_max_concurrent=1) as scene:
        held = await crowd.hold(scene, 1)
        asked = crowd.ask(scene, {"u": 3})
        await crowd.waiting(scene, 3)
        draining = asyncio.create_task(scene.gateway.drain())
        scene.engine.release()
        assert {answer.status for answer in (*await held, *await asked)} == {200}
        await draining


async def test_every_answer_tells_how_long_it_waited() -> None:
    async with crowd.scene(fairness_max_concurrent=1) as scene:
        held = await crowd.hold(scene, 1)
        asked = crowd.ask(scene, {"u": 1}, stream=True)
        await crowd.waiting(scene, 1)
        scene.engine.release()
        (first,) = await held
        (second,) = await asked
        assert first.headers["x-kthena-queue-time"] == "0.000"
        assert float(second.headers["x-kthena-queue-time"]) > 0.0


async def test_the_access_log_tells_why_a_request_waited(tmp_path: Path) -> None:
    log, shares = tmp_path / "access.log", tmp_path / "shares.yaml"
    shares.write_text("users: {u: {share: 2}}")
    async with crowd.scene(
        fairness_max_concurrent=1,
        fairness_shares_file=str(shares),
        access_log_enabled=True,
        access_log_format="json",
        access_log_output=str(log),
    ) as scene:
        await crowd.ask(scene, {"u": 1})
        held = await crowd.hold(scene, 1)
        asked = crowd.ask(scene, {"u": 2})
        await crowd.waiting(scene, 2)
        scene.engine.release()
        await held
        await asked
        used = await crowd.service(scene, "u") / 3
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    first, *rest = [line for line in lines if line["user"] == "u"]
    assert (first["queue_time"], first["queue_position"], first["usage_at_admission"]) == (0, 0, 0)
    assert [line["queue_position"] for line in rest] == [1, 1], "his own requests wait behind each other, as one user"
    assert {(line["usage_at_admission"], line["share_at_admission"], line["policy"]) for line in rest} == {
        (used, 2, "window")
    }


async def test_shares_whose_weights_leave_no_order_are_no_start(tmp_path: Path) -> None:
    shares = tmp_path / "shares.yaml"
    shares.write_text("weights: {inputToken: 0, outputToken: 0}")
    with pytest.raises(app.CannotStart, match=r"a weight must be above 0.*FAIRNESS_PRIORITY_REQUEST_NUM_WEIGHT"):
        async with crowd.scene(fairness_shares_file=str(shares)):
            pass


async def test_new_shares_are_obeyed_without_a_restart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kthena_fast.serving.watched.LOOK_EVERY", 0.01)
    shares = tmp_path / "shares.yaml"
    shares.write_text("{}")
    async with crowd.scene(fairness_max_concurrent=1, fairness_shares_file=str(shares)) as scene:
        # One that cannot be obeyed changes nothing.
        shares.write_text("users: {a: {share: 0}}")
        held = await crowd.hold(scene, 1)
        asked = crowd.ask(scene, {"b": 1, "a": 1})
        await crowd.waiting(scene, 2)
        shares.write_text("users: {a: {class: 0}}\ndefault: {class: 1}\nweights: {inputToken: 0, outputToken: 5}\n")
        await crowd.until(lambda: crowd.turns(scene).shares.of("b").rank == 1)
        scene.engine.release()
        await held
        await asked
        assert crowd.served(scene.engine) == ["a", "b"]
        assert await crowd.service(scene, "a") == 5.0 * crowd.OUTPUT
