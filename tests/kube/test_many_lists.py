"""Many lists at once: what they hold at a time, and what becomes of them where some hang."""

from __future__ import annotations

import asyncio
import contextlib
import gc
from typing import Any

import pytest
from aiohttp import web

from kthena_fast.kube import client, reflector
from kthena_fast.kube.client import Client
from tests.kube import breaking
from tests.kube.breaking import PATH
from tests.kube.kept import Kept, reflecting

MANY = 3 * client.PAGES_AT_ONCE


def watched(listed: breaking.Answer) -> breaking.Answer:
    """A list, and a watch that says nothing."""
    watch = breaking.watching(stays=True)

    async def answer(request: web.Request) -> web.StreamResponse:
        return await (watch if "watch" in request.query else listed)(request)

    return answer


@pytest.mark.parametrize("where", ["the first page", "the second page", "half a page"])
async def test_lists_that_hang_hold_up_no_other(where: str) -> None:
    fine = watched(breaking.listing("a", version="1"))
    first = breaking.listing("a", version="1", token="t")
    hanging = asyncio.Semaphore(0)

    async def answer(request: web.Request) -> web.StreamResponse:
        if not request.path.startswith("/hanging"):
            return await fine(request)
        if where == "the second page" and "continue" not in request.query:
            return await first(request)
        hanging.release()
        pieces = [b'{"items": ['] if where == "half a page" else []
        return await breaking.watching(*pieces, stays=True)(request)

    async with contextlib.AsyncExitStack() as stack:
        api = await stack.enter_async_context(breaking.server(answer))
        kube = await stack.enter_async_context(Client(api.cluster))
        for number in range(MANY):
            await stack.enter_async_context(reflecting(kube, Kept(), f"/hanging/{number}"))
        for _ in range(MANY):
            await hanging.acquire()
        store = Kept()
        await stack.enter_async_context(reflecting(kube, store))
        await store.until("a")


class Counted(Kept):
    """Notes how many are in the middle of a page."""

    busy: set[Counted]
    most: int

    def put(self, obj: Any) -> None:
        super().put(obj)
        Counted.busy.add(self)
        Counted.most = max(Counted.most, len(Counted.busy))

    def flush(self) -> None:
        Counted.busy.discard(self)
        super().flush()


async def test_of_many_lists_a_few_pages_are_decoded_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    # Each object is a piece, so that all would be in the middle of their pages.
    monkeypatch.setattr(reflector, "PIECE", 0.0)
    Counted.busy, Counted.most = set(), 0
    names = [f"n{number}" for number in range(50)]
    async with contextlib.AsyncExitStack() as stack:
        api = await stack.enter_async_context(breaking.server(watched(breaking.listing(*names, version="1"))))
        kube = await stack.enter_async_context(Client(api.cluster))
        stores = [Counted() for _ in range(MANY)]
        for number, store in enumerate(stores):
            await stack.enter_async_context(reflecting(kube, store, f"/{number}"))
        for store in stores:
            await store.until(*names)
    assert Counted.most == client.PAGES_AT_ONCE


async def test_a_page_is_not_held_while_the_next_one_is_waited_for() -> None:
    held: list[int] = []
    first, second = breaking.listing("only-here", version="1", token="t"), breaking.listing("b", version="1")

    async def answer(request: web.Request) -> web.StreamResponse:
        if "continue" not in request.query:
            return await first(request)
        held.append(sum(_is_page_of("only-here", found) for found in gc.get_objects()))
        return await second(request)

    async with (
        breaking.server(answer, answer, breaking.watching(stays=True)) as api,
        Client(api.cluster) as kube,
        reflecting(kube, store := Kept(), PATH),
    ):
        await store.until("only-here", "b")
    assert held == [0]


def _is_page_of(name: str, found: Any) -> bool:
    return type(found) is list and bool(found) and type(found[0]) is dict and name in str(found[0].get("metadata"))
