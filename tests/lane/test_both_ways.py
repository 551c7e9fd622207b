"""Whichever way a request came in, the answer is the same, and so is what reaches the engine."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from kthena_fast.gateway import _lane_py
from tests.lane import ways

CORPUS = {path.stem: path.read_bytes() for path in sorted((Path(__file__).parent / "corpus").glob("*.http"))}

TWINS = {"pure": _lane_py, "in use": ways.IN_USE}

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gateways() -> AsyncIterator[list[ways.Way]]:
    # What never comes is not waited for longer than this.
    async with ways.gateways(TWINS, header_timeout=0.2, body_timeout=0.2) as found:
        yield found


async def test_there_is_a_corpus() -> None:
    assert {name.partition("-")[0] for name in CORPUS} == {"good", "hostile", "unusual"}


@pytest.mark.parametrize("name", CORPUS)
async def test_all_ways_give_the_same_answers(gateways: list[ways.Way], name: str) -> None:
    data = CORPUS[name]
    first, *others = gateways
    expected = await first.converse(data)
    for way in others:
        assert await way.converse(data) == expected, way.name


@pytest.mark.parametrize("name", CORPUS)
async def test_a_conversation_cut_anywhere_is_the_same_conversation(gateways: list[ways.Way], name: str) -> None:
    data = CORPUS[name]
    whole = await gateways[0].converse(data)
    draw = random.Random(name)
    cuts = tuple(sorted(draw.randrange(len(data) + 1) for _ in range(8)))
    for way in gateways[1:]:
        assert await way.converse(data, cuts) == whole, way.name
