"""Crowds of clients before a gateway with fairness on, and what tells who was served when.

async with crowd.scene(fairness_max_concurrent=2) as scene:
    await crowd.hold(scene, 2)                        # every permit is taken
    asked = crowd.ask(scene, {"alice": 30, "bob": 300})
    await crowd.waiting(scene, 330)
    scene.engine.release()
    await asked
    crowd.served(scene.engine)                        # ["alice", "bob", ...]
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

import orjson

from kthena_fast.mock_engine import EngineConfig, MockEngine
from kthena_fast.queueing.turns import Turns
from tests.gateway import running
from tests.gateway.running import MODEL, PATIENCE, Answer, Scene

HOLDER = "holder"

OUTPUT = 8
"""Tokens of an answer."""


def engine(**config: Any) -> EngineConfig:
    knobs: dict[str, Any] = {"models": (MODEL,), "output_tokens": OUTPUT, "keep_requests": 100_000}
    return EngineConfig(**(knobs | config))


@contextlib.asynccontextmanager
async def scene(*configs: EngineConfig, **settings: Any) -> AsyncIterator[Scene]:
    """As `running.scene`, with fairness on."""
    options = {"enable_fairness_scheduling": True} | settings
    async with running.scene(*(configs or (engine(),)), **options) as made:
        yield made


def turns(scene: Scene) -> Turns:
    fairness = scene.gateway._fairness
    assert fairness is not None
    return fairness.turns


async def until(holds: Callable[[], bool]) -> None:
    """Return once it is so. Nothing in the gateway tells of what it is asked for here, so it is looked at."""
    async with asyncio.timeout(PATIENCE):
        while not holds():  # noqa: ASYNC110 - there is no event to wait for
            await asyncio.sleep(0.005)


async def waiting(scene: Scene, count: int) -> None:
    """Return once so many requests wait."""
    await until(lambda: sum(len(queue.heap) for queue in turns(scene).queues.values()) == count)


async def hold(scene: Scene, count: int, *lines: str) -> asyncio.Future[list[Answer]]:
    """So many requests are at the engines and stay there until they release them."""
    before = sum(engine.held for engine in scene.engines)
    asked = asyncio.gather(
        *(scene.ask(running.chat("X-Mock-Hold-After: 0", *lines, user=HOLDER)) for _ in range(count))
    )
    await until(lambda: sum(engine.held for engine in scene.engines) == before + count)
    return asked


def ask(scene: Scene, counts: Mapping[str, int], *lines: str, **members: Any) -> asyncio.Future[list[Answer]]:
    """So many requests of each user, each on a connection of its own."""
    return asyncio.gather(
        *(scene.ask(running.chat(*lines, user=user, **members)) for user, count in counts.items() for _ in range(count))
    )


def served(engine: MockEngine) -> list[str]:
    """The users in the order in which their requests came to the engine."""
    users = [orjson.loads(record.body).get("user") for record in engine.requests if record.method == "POST"]
    return [user for user in users if user != HOLDER]


def widest_gap(order: list[str], first: str, second: str) -> int:
    """The most requests by which one of two was ahead while both still had some to come."""
    last = min(_last(order, first), _last(order, second))
    ahead = widest = 0
    for user in order[: last + 1]:
        ahead += (user == first) - (user == second)
        widest = max(widest, abs(ahead))
    return widest


def _last(order: list[str], user: str) -> int:
    return len(order) - 1 - order[::-1].index(user)


async def service(scene: Scene, user: str) -> float:
    """Weighted tokens that the window holds of a user, as `/debug/fairness` tells."""
    await scene.settled()
    answer = await scene.get(f"/debug/fairness?model={MODEL}&user={user}", scene.gateway.debug_port)
    found = answer.json()["service"]
    return float(found[0]["usage"]) if found else 0.0


async def is_as_new(scene: Scene) -> None:
    """Nobody waits and no permit is out."""
    await scene.settled()
    page = (await scene.get("/debug/fairness", scene.gateway.debug_port)).json()
    assert all(queue["waiting"] == 0 for queue in page["queues"]), page
    assert all(gate["out"] == 0 for gate in page["permits"]), page
