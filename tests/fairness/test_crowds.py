"""Many users, and one who is many."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.fairness import bulk, crowd
from tests.gateway import running
from tests.gateway.running import Scene

LONG = 50.0


@contextlib.asynccontextmanager
async def scene(**settings: Any) -> AsyncIterator[Scene]:
    """A gateway over a mock engine, which can be held, and a cheap one beside it on a server of its own."""
    async with (
        bulk.engine() as cheap,
        running.scene(
            given=lambda addresses: running.objects(addresses[:1]),
            before=[cheap],
            enable_fairness_scheduling=True,
            **settings,
        ) as made,
    ):
        yield made


@pytest.mark.slow
async def test_ten_thousand_users_with_one_request_each_all_finish() -> None:
    async with scene(fairness_max_concurrent=32) as gateway:
        clients = await bulk.connect(
            gateway.gateway.port, 2000, lambda one: [running.chat(user=f"u{one}-{n}") for n in range(5)]
        )
        async with asyncio.timeout(LONG):
            await asyncio.gather(*(client.over for client in clients))
        assert Counter(status for client in clients for status in client.statuses) == {200: 10_000}
        assert len(crowd.turns(gateway).ledger) == 10_000
        await crowd.is_as_new(gateway)
        shown = await gateway.metrics()
        assert 'kthena_fast_fairness_users{model="llama"} 10000.0' in shown
        assert 'kthena_fast_fairness_jain_index{model="llama"} 1.0' in shown


@pytest.mark.slow
async def test_a_user_who_opens_five_thousand_connections_and_leaves_costs_the_others_nothing() -> None:
    async with crowd.scene(fairness_max_concurrent=2, fairness_max_queue_per_user=3000) as gateway:
        held = await crowd.hold(gateway, 2)
        others = crowd.ask(gateway, {"a": 5})
        await crowd.waiting(gateway, 5)
        crowded = await bulk.connect(gateway.gateway.port, 5000, lambda _: [running.chat(user="crowd")])
        await crowd.waiting(gateway, 3005)
        more = crowd.ask(gateway, {"b": 5})
        await crowd.waiting(gateway, 3010)
        for client in crowded:
            client.leave()
        await crowd.waiting(gateway, 10)
        assert Counter(status for client in crowded for status in client.statuses) == {429: 2000}
        gateway.engine.release()
        for asked in (held, others, more):
            assert {answer.status for answer in await asked} == {200}
        assert crowd.served(gateway.engine).count("crowd") == 0
        assert await crowd.service(gateway, "crowd") == 0.0
        await crowd.is_as_new(gateway)


async def test_users_who_leave_in_the_middle_of_their_answers_leave_their_permits() -> None:
    async with crowd.scene(fairness_max_concurrent=4) as gateway:
        clients = [await gateway.connect() for _ in range(4)]
        for number, client in enumerate(clients):
            client.say(running.chat("X-Mock-Hold-After: 2", stream=True, user=f"u{number}"))
        await gateway.engine.until(lambda: gateway.engine.held == 4)
        asked = crowd.ask(gateway, {"a": 8})
        await crowd.waiting(gateway, 8)
        for client in clients:
            await client.leave()
        assert {answer.status for answer in await asked} == {200}
        await crowd.is_as_new(gateway)


async def test_names_that_are_invented_are_forgotten_with_their_requests() -> None:
    """Upstream keeps 5.7 kB for every name that was ever seen."""
    async with scene(fairness_max_concurrent=8, fairness_max_users=50) as gateway:
        clients = await bulk.connect(
            gateway.gateway.port, 10, lambda one: [running.chat(user=f"u{one}-{n}") for n in range(30)]
        )
        await asyncio.gather(*(client.over for client in clients))
        assert len(crowd.turns(gateway).ledger) == 50
        assert "kthena_fast_fairness_evictions_total 250.0" in await gateway.metrics()
