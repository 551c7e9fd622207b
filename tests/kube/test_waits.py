"""How long a reflector waits before it asks again."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Callable
from typing import cast

import pytest

from kthena_fast.kube import reflector
from kthena_fast.kube.backoff import Backoff
from kthena_fast.kube.client import Client
from kthena_fast.kube.reflector import Reflector
from tests.kube import breaking
from tests.kube.breaking import PATH
from tests.kube.kept import PATIENCE, Kept, reflecting


async def test_what_the_server_asks_to_wait_is_waited() -> None:
    async with (
        breaking.server(
            breaking.refusal(429, "TooManyRequests", Retry_After="0.3"),
            breaking.listing("a", version="1"),
            breaking.watching(stays=True),
        ) as api,
        Client(api.cluster) as kube,
    ):
        store, loop = Kept(), asyncio.get_running_loop()
        began = loop.time()
        async with reflecting(kube, store) as (_, stood):
            await store.until("a")
    assert loop.time() - began >= 0.3
    assert stood == ["429 TooManyRequests: it is TooManyRequests", "current"]


class Noted(Backoff):
    """What is waited, in thousandths of what a reflector would by itself; so its bound is a hundredth of a second."""

    def __init__(self, draw: Callable[[], float] = lambda: 1.0) -> None:
        super().__init__(reflector.FIRST_DELAY / 1000, reflector.MAX_DELAY / 1000, draw)
        self.waited: list[float] = []

    def fail(self) -> float:
        delay = super().fail()
        self.waited.append(round(delay * 1000, 6))
        return delay


GROWING = [0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10.0, 10.0]


async def test_a_server_that_is_away_is_asked_less_and_less_often_up_to_a_bound() -> None:
    async with breaking.server(breaking.refusal(503, "Unavailable")) as api, Client(api.cluster) as kube:
        backoff = Noted()
        async with reflecting(kube, Kept(), backoff=backoff):
            await api.until_asked(len(GROWING) + 1)
    assert backoff.waited[: len(GROWING)] == GROWING


async def test_no_two_that_lost_the_same_server_come_back_in_step() -> None:
    async with breaking.server(breaking.refusal(503, "Unavailable")) as api, Client(api.cluster) as kube:
        several = [Noted(random.Random(seed).random) for seed in range(3)]
        async with contextlib.AsyncExitStack() as stack:
            for backoff in several:
                await stack.enter_async_context(reflecting(kube, Kept(), backoff=backoff))
            async with asyncio.timeout(PATIENCE):
                while any(len(backoff.waited) < len(GROWING) for backoff in several):
                    await api.until_asked(len(api.asked) + 1)
    for whole, *waited in zip(GROWING, *(backoff.waited for backoff in several), strict=False):
        assert len(set(waited)) == len(several)
        assert all(whole / 2 <= one <= whole for one in waited)


async def test_by_itself_a_reflector_has_jitter_and_the_bound() -> None:
    """With its own `random`, seeded, and no wait at all: this is what every source has."""
    made = Reflector(cast("Client", None), PATH, Kept())
    random.seed(6)
    waited = [made._delay() for _ in range(200)]
    assert all(whole / 2 <= one <= whole for whole, one in zip(GROWING, waited, strict=False))
    bounded = waited[len(GROWING) :]
    assert all(reflector.MAX_DELAY / 2 <= one <= reflector.MAX_DELAY for one in bounded)
    assert len(set(bounded)) == len(bounded)
    assert max(bounded) - min(bounded) > reflector.MAX_DELAY / 4


async def test_a_watch_that_ends_at_once_again_and_again_counts_as_failing(monkeypatch: pytest.MonkeyPatch) -> None:
    # However busy the machine is, it is at once.
    monkeypatch.setattr(reflector, "HEALTHY_AFTER", PATIENCE)
    async with (
        breaking.server(breaking.listing("a", version="1"), breaking.watching()) as api,
        Client(api.cluster) as kube,
    ):
        backoff = Noted()
        async with reflecting(kube, Kept(), backoff=backoff):
            await api.until_asked(len(GROWING) + 2)
    assert backoff.waited[: len(GROWING)] == GROWING


async def test_after_a_watch_that_worked_the_next_failure_is_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    # So long need a watch last here to count as one that works.
    monkeypatch.setattr(reflector, "HEALTHY_AFTER", 0.0)
    failing = [breaking.refusal(503, "Unavailable")] * 3
    async with (
        breaking.server(
            *failing, breaking.listing("a", version="1"), breaking.watching(), *failing, breaking.watching(stays=True)
        ) as api,
        Client(api.cluster) as kube,
    ):
        backoff = Noted()
        async with reflecting(kube, Kept(), backoff=backoff):
            await api.until_asked(9)
    assert backoff.waited == [0.2, 0.4, 0.8, 0.2, 0.4, 0.8, 1.6]
