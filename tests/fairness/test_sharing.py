"""What users are promised, over sockets: engines that are shared by service, whatever each of them asks for.

Asserted is who was served in which order and how much, never how fast.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from kthena_fast.routing.objects import Objects
from tests.fairness import crowd
from tests.fairness.crowd import OUTPUT
from tests.gateway import running
from tests.routing import given


@pytest.mark.parametrize("policy", ["window", "vtc"])
async def test_two_users_at_one_to_ten_get_equal_service_within_the_bound(policy: str) -> None:
    permits = 4
    async with crowd.scene(fairness_max_concurrent=permits, fairness_policy=policy) as scene:
        held = await crowd.hold(scene, permits)
        asked = crowd.ask(scene, {"eager": 300, "modest": 30}, stream=True)
        await crowd.waiting(scene, 330)
        scene.engine.release()
        answers = await asked
        await held
        assert all(answer.status == 200 for answer in answers)
        order = crowd.served(scene.engine)
        assert len(order) == 330
        input_tokens = (await crowd.service(scene, "modest")) / 30 - 2 * OUTPUT
        bound = 2 * max(1.0 * input_tokens, 2.0 * permits * OUTPUT)
        gap = crowd.widest_gap(order, "eager", "modest") * (input_tokens + 2 * OUTPUT)
        assert gap <= bound
        # All of the modest user's requests are among the first that could be his at equal service.
        assert set(order[60 + 2 * permits :]) == {"eager"}
        await crowd.is_as_new(scene)


async def test_equal_service_is_in_tokens_and_not_in_requests() -> None:
    async with crowd.scene(fairness_max_concurrent=2) as scene:
        held = await crowd.hold(scene, 2)
        long = crowd.ask(scene, {"long": 40}, stream=True, max_tokens=40)
        short = crowd.ask(scene, {"short": 160}, stream=True, max_tokens=4)
        await crowd.waiting(scene, 200)
        scene.engine.release()
        for asked in (held, long, short):
            await asked
        order = crowd.served(scene.engine)
        last = len(order) - 1 - order[::-1].index("short")
        prompt = (await crowd.service(scene, "short")) / 160 - 2 * 4
        shorts, longs = 160 * (prompt + 8), order[:last].count("long") * (prompt + 80)
        assert longs == pytest.approx(shorts, abs=2 * 2 * 80)


async def test_shares_of_one_to_three_give_service_of_one_to_three_within_five_percent(tmp_path: Path) -> None:
    shares = tmp_path / "shares.yaml"
    shares.write_text("default: {share: 1}\nusers: {big: {share: 3}}\n")
    async with crowd.scene(fairness_max_concurrent=2, fairness_shares_file=str(shares)) as scene:
        held = await crowd.hold(scene, 2)
        asked = crowd.ask(scene, {"big": 180, "small": 120}, stream=True)
        await crowd.waiting(scene, 300)
        scene.engine.release()
        await asked
        await held
        order = crowd.served(scene.engine)
        while_both_waited = order[: len(order) - order[::-1].index("big")]
        ratio = while_both_waited.count("big") / while_both_waited.count("small")
        assert ratio == pytest.approx(3.0, rel=0.05)


async def test_the_lower_class_is_served_first_over_sockets_too(tmp_path: Path) -> None:
    shares = tmp_path / "shares.yaml"
    shares.write_text("default: {class: 1}\ngroups: {gold: {class: 0, users: [a, b]}}\n")
    async with crowd.scene(fairness_max_concurrent=1, fairness_shares_file=str(shares)) as scene:
        held = await crowd.hold(scene, 1)
        asked = crowd.ask(scene, {"anyone": 10, "a": 10, "b": 10})
        await crowd.waiting(scene, 30)
        scene.engine.release()
        await asked
        await held
        order = crowd.served(scene.engine)
        assert set(order[:20]) == {"a", "b"}
        assert set(order[20:]) == {"anyone"}


async def test_weights_of_the_shares_file_may_charge_where_those_of_the_environment_charge_nobody(
    tmp_path: Path,
) -> None:
    shares = tmp_path / "shares.yaml"
    shares.write_text("weights: {outputToken: 3}\n")
    async with crowd.scene(
        fairness_input_token_weight=0, fairness_output_token_weight=0, fairness_shares_file=str(shares)
    ) as scene:
        await crowd.ask(scene, {"u": 1})
        assert await crowd.service(scene, "u") == 3 * crowd.OUTPUT


async def test_a_user_back_from_idle_takes_no_more_than_half_under_vtc() -> None:
    async with crowd.scene(fairness_max_concurrent=1, fairness_policy="vtc") as scene:
        held = await crowd.hold(scene, 1)
        before = crowd.ask(scene, {"busy": 40})
        await crowd.waiting(scene, 40)
        scene.engine.release()
        await held
        await before
        # The busy user goes on, and another, who has had nothing yet, comes.
        held = await crowd.hold(scene, 1)
        both = crowd.ask(scene, {"busy": 40, "back": 40})
        await crowd.waiting(scene, 80)
        scene.engine.release()
        await held
        await both
        order = crowd.served(scene.engine)[40:]
        assert crowd.widest_gap(order, "busy", "back") <= 2


async def test_a_user_back_from_idle_catches_up_under_window() -> None:
    """Upstream's meaning, and the default: least used in the window goes first."""
    async with crowd.scene(fairness_max_concurrent=1) as scene:
        (_,) = await crowd.ask(scene, {"busy": 1}, max_tokens=200)
        held = await crowd.hold(scene, 1)
        both = crowd.ask(scene, {"busy": 10, "back": 10})
        await crowd.waiting(scene, 20)
        scene.engine.release()
        await held
        await both
        assert set(crowd.served(scene.engine)[1:11]) == {"back"}


async def test_requests_of_a_user_reach_the_engine_in_the_order_in_which_they_came() -> None:
    async with crowd.scene(fairness_max_concurrent=1) as scene:
        held = await crowd.hold(scene, 1)
        asked = []
        for number in range(20):
            asked.append(crowd.ask(scene, {"u": 1}, seed=number))
            await crowd.waiting(scene, number + 1)
        scene.engine.release()
        for one in (held, *asked):
            await one
        assert [record.json().get("seed") for record in scene.engine.requests] == [None, *range(20)]


async def test_header_rules_that_lead_to_different_servers_do_not_block_each_other() -> None:
    when = {"headers": {"x-tier": {"exact": "vip"}}}
    route = given.route("r", given.to("fast", when=when), given.to("slow"), model=running.MODEL)

    def objects(addresses: list[str]) -> Objects:
        return given.objects(route, given.server("fast", addresses[0]), given.server("slow", addresses[1]))

    async with running.scene(
        crowd.engine(), crowd.engine(), given=objects, enable_fairness_scheduling=True, fairness_max_concurrent=1
    ) as scene:
        held = await crowd.hold(scene, 1)
        stuck = crowd.ask(scene, {"a": 5})
        await crowd.waiting(scene, 5)
        for _ in range(5):
            (answer,) = await crowd.ask(scene, {"a": 1}, "X-Tier: vip")
            assert answer.status == 200
            assert answer.headers["x-kthena-queue-time"] == "0.000"
        assert not stuck.done()
        scene.engines[1].release()
        await held
        assert [answer.status for answer in await stuck] == [200] * 5
        await crowd.is_as_new(scene)


async def test_two_names_on_one_server_share_its_permits() -> None:
    def objects(addresses: list[str]) -> Objects:
        return given.objects(
            given.route("r", given.to("s"), model=running.MODEL),
            given.route("q", given.to("s"), model="other"),
            given.server("s", addresses[0]),
        )

    async with running.scene(
        crowd.engine(models=(running.MODEL, "other")),
        given=objects,
        enable_fairness_scheduling=True,
        fairness_max_concurrent=1,
    ) as scene:
        held = await crowd.hold(scene, 1)
        first = crowd.ask(scene, {"a": 10})
        await crowd.waiting(scene, 10)
        second = crowd.ask(scene, {"b": 10}, model="other")
        await crowd.waiting(scene, 20)
        scene.engine.release()
        for asked in (held, first, second):
            await asked
        assert crowd.widest_gap(crowd.served(scene.engine), "a", "b") <= 2


async def test_auto_follows_what_the_engine_says_is_waiting() -> None:
    """An engine that runs four at once: the limit comes down from 32 until nothing waits inside it."""
    async with crowd.scene(
        crowd.engine(max_running=4, token_interval=0.002, output_tokens=20), metrics_scrape_interval=0.01
    ) as scene:
        asked = crowd.ask(scene, {"u": 150})
        loop, gates = asyncio.get_running_loop(), crowd.turns(scene).server_gates
        await crowd.until(lambda: "default/server" in gates and gates["default/server"].limit(loop.time()) <= 8)
        assert [answer.status for answer in await asked] == [200] * 150
        await crowd.is_as_new(scene)
