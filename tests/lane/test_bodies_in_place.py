"""The rest of a body is received where it belongs; on real sockets."""

from __future__ import annotations

import asyncio
import functools
import random
from types import ModuleType

import pytest

from kthena_fast.gateway import _incoming_py
from kthena_fast.gateway.bodies import Budget
from tests.gateway import running
from tests.lane.conftest import scene as any_scene
from tests.transport.ends import turns, until

scene = functools.partial(any_scene, options={"own_sockets": True})


def told(size: int, seed: int) -> bytes:
    """A chat of about so many bytes, none of which says where it stands."""
    return running.body(user=random.Random(seed).randbytes(size // 2).hex())


def first_of(body: bytes, size: int) -> bytes:
    """A request with so many bytes of its body."""
    whole = running.request(body)
    return whole[: len(whole) - len(body) + size]


def budget_of(made: running.Scene) -> Budget:
    way = made.gateway._way
    assert way is not None
    return way.budget


@pytest.mark.parametrize("size", [70_000, 1_000_000, 2 * _incoming_py.MOST_AT_ONCE + 17])
async def test_large_bodies_reach_the_engine_as_they_are(module: ModuleType, size: int) -> None:
    async with scene(module, max_body_bytes=4 * size, max_buffered_bytes=8 * size) as made:
        raw = await made.connect()
        bodies = [told(size, seed) for seed in range(3)]
        # Each with the next one's head and beginning behind it.
        raw.say(b"".join(running.request(body) for body in bodies))
        for _ in bodies:
            assert (await raw.answer()).status == 200
        assert [record.body for record in made.engine.requests] == bodies


async def test_pieces_of_two_bodies_stay_apart(module: ModuleType) -> None:
    async with scene(module) as made:
        bodies = [told(400_000, seed) for seed in range(2)]
        raws = [await made.connect() for _ in bodies]
        requests = [running.request(body) for body in bodies]
        for at in range(0, len(requests[0]), 50_000):
            for raw, request in zip(raws, requests, strict=True):
                raw.say(request[at : at + 50_000])
                await raw.writer.drain()
        for raw in raws:
            assert (await raw.answer()).status == 200
        assert sorted(record.body for record in made.engine.requests) == sorted(bodies)


async def test_what_comes_of_a_body_that_was_refused_in_its_midst_is_thrown_away(
    module: ModuleType, caplog: pytest.LogCaptureFixture
) -> None:
    async with scene(module, max_body_bytes=1_000_000, max_buffered_bytes=1_100_000) as made:
        first, second = await made.connect(), await made.connect()
        body, other = told(900_000, 1), told(900_000, 2)
        first.say(first_of(body, 500_000))
        budget = budget_of(made)
        await until(lambda: budget.held == 500_000)
        second.say(first_of(other, 700_000))
        refusal = await second.answer()
        assert (refusal.status, refusal.code) == (503, "overloaded")
        second.say(other[700_000:] + b"x" * 100_000)
        first.say(body[500_000:])
        assert (await first.answer()).status == 200
        assert [record.body for record in made.engine.requests] == [body]
        await second.leave()
        await made.settled()
        assert budget.held == 0
        assert not caplog.records, "nothing failed over what was thrown away"


async def test_an_answer_to_the_last_piece_arrives_though_more_stands_behind_it(module: ModuleType) -> None:
    async with scene(module, max_body_bytes=1_000_000, max_buffered_bytes=200_000) as made:
        first, second = await made.connect(), await made.connect()
        budget = budget_of(made)
        first.say(first_of(b"{" * 150_000, 100_000))
        await until(lambda: budget.held == 100_000)
        body = told(110_000, 1)
        second.say(first_of(body, 50_000))
        await until(lambda: budget.held == 150_000)
        # In one piece, of which the gateway reads what is the body's.
        second.say(body[50_000:] + running.chat())
        # By then it is closed, if it is closed at once: a reset takes what was not read.
        await until(lambda: budget.held == 100_000)
        await turns(20)
        assert (await second.answer()).status == 503
        # Nor is it a reset that ends it.
        async with asyncio.timeout(running.PATIENCE):
            assert await second.reader.read() == b""
        await first.leave()


async def test_a_client_that_leaves_in_the_midst_of_its_body_leaves_nothing(module: ModuleType) -> None:
    async with scene(module) as made:
        raw = await made.connect()
        raw.say(first_of(b"{" * 900_000, 500_000))
        budget = budget_of(made)
        await until(lambda: budget.held == 500_000)
        await raw.leave()
        await made.settled()
        assert budget.held == 0
        assert (await made.ask(running.chat())).status == 200
