"""A watch that cannot be kept up: one that ends is no news, and one that never lasts is."""

from __future__ import annotations

import pytest
from aiohttp import web

from kthena_fast.kube import reflector
from kthena_fast.kube.client import Client
from tests.kube import breaking
from tests.kube.breaking import PATH, event
from tests.kube.kept import PATIENCE, Kept, reflecting

GONE = f"watching {PATH}: what was listed is too old to be watched (410), again and again"
ENDS = f"watching {PATH}: it ends at once, again and again"

LISTED = breaking.listing("a", version="1")
EXPIRED = breaking.refusal(410, "Expired")
RESET = breaking.watching(resets=True)


@pytest.fixture
def stays(monkeypatch: pytest.MonkeyPatch) -> breaking.Answer:
    """A watch that works; none before it does, however slow the machine is."""
    monkeypatch.setattr(reflector, "HEALTHY_AFTER", PATIENCE)

    async def answer(request: web.Request) -> web.StreamResponse:
        monkeypatch.setattr(reflector, "HEALTHY_AFTER", 0.0)
        return await breaking.watching(event("ADDED", "b", "2"), stays=True)(request)

    return answer


async def stood(*answers: breaking.Answer) -> list[str]:
    """What was told, where these are the API server's answers and the last is a watch that brings `b`."""
    async with breaking.server(*answers) as api, Client(api.cluster) as kube:
        store = Kept()
        async with reflecting(kube, store) as (_, told):
            await store.until("a", "b")
    return told


@pytest.mark.parametrize(
    ("answers", "told"),
    [
        ([LISTED, *[breaking.watching()] * 3], ENDS),
        ([LISTED, *[breaking.watching()] * 7], ENDS),
        ([*[LISTED, EXPIRED] * 3, LISTED], GONE),
        ([*[LISTED, EXPIRED] * 5, LISTED], GONE),
        ([LISTED, EXPIRED, LISTED, *[breaking.watching()] * 2], ENDS),
    ],
    ids=["three ends", "seven ends", "three times too old", "five times too old", "some of both"],
)
async def test_a_watch_that_never_lasts_is_told_once_and_until_one_does(
    answers: list[breaking.Answer], told: str, stays: breaking.Answer
) -> None:
    async with breaking.server(*answers, stays) as api, Client(api.cluster) as kube:
        store = Kept()
        async with reflecting(kube, store) as (made, said):
            await store.until("a", "b")
            await api.until_asked(len(answers) + 1)
            assert made.synced
            assert made.fault is None
    assert said == ["current", told, "current"]


@pytest.mark.parametrize("answers", [[LISTED, *[breaking.watching()] * 2], [LISTED, EXPIRED] * 2 + [LISTED]])
async def test_two_watches_that_end_are_no_news(answers: list[breaking.Answer], stays: breaking.Answer) -> None:
    assert await stood(*answers, stays) == ["current"]


async def test_after_a_watch_that_worked_the_next_that_ends_is_the_first(
    stays: breaking.Answer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ends(healthy_after: float) -> breaking.Answer:
        async def answer(request: web.Request) -> web.StreamResponse:
            monkeypatch.setattr(reflector, "HEALTHY_AFTER", healthy_after)
            return await breaking.watching()(request)

        return answer

    short, works = ends(PATIENCE), ends(0.0)
    assert await stood(LISTED, short, short, works, short, short, works, short, stays) == ["current"]


async def test_watches_that_work_may_end_as_often_as_they_like(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reflector, "HEALTHY_AFTER", 0.0)
    watches = [breaking.watching(), EXPIRED, LISTED] * 4
    assert await stood(LISTED, *watches, breaking.watching(event("ADDED", "b", "2"), stays=True)) == ["current"]


async def test_a_watch_that_breaks_each_time_at_once_is_not_called_current_between(stays: breaking.Answer) -> None:
    told = await stood(LISTED, *[RESET] * 8, stays)
    # Before the third it may be that all is well again.
    assert len(told) == 7
    assert [told[at] for at in (0, 2, 4, 6)] == ["current"] * 4


async def test_a_server_that_was_away_for_long_is_current_as_soon_as_it_answers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """There was no watch that could have lasted."""
    monkeypatch.setattr(reflector, "HEALTHY_AFTER", PATIENCE)
    away = [breaking.refusal(503, "Unavailable")] * 6
    async with (
        breaking.server(*away, LISTED, breaking.watching(event("ADDED", "b", "2"), stays=True)) as api,
        Client(api.cluster) as kube,
    ):
        store = Kept()
        async with reflecting(kube, store) as (made, _):
            await store.until("a", "b")
            assert made.fault is None
