"""A watch that keeps a list current, at a real API server and at one that breaks as no real one can be made to."""

from __future__ import annotations

import asyncio
import logging
import re

import orjson
import pytest

from kthena_fast.kube import client, configuration, failures, reflector
from kthena_fast.kube.client import Client
from tests.gateway import processes
from tests.kube import breaking
from tests.kube.apiserver import KubeApiServer
from tests.kube.breaking import event
from tests.kube.kept import PATIENCE, Kept, reflecting


async def _has(stood: list[str], entries: int) -> bool:
    return len(stood) >= entries


async def test_a_server_that_died_is_watched_on_where_it_was(own_kube_apiserver: KubeApiServer) -> None:
    server, store, do = own_kube_apiserver, Kept(), asyncio.to_thread
    namespace = await do(server.create_namespace)
    path = f"/api/v1/namespaces/{namespace}/secrets"
    async with (
        Client(configuration.from_files([server.kubeconfig])) as kube,
        reflecting(kube, store, path) as (made, stood),
    ):
        await kube.create(path, {"metadata": {"name": "a"}})
        await store.until("a")
        await do(server.stop_apiserver)
        await processes.until(lambda: _has(stood, 2))
        await do(server.start)
        await kube.create(path, {"metadata": {"name": "b"}})
        await kube.delete(f"{path}/a")
        await store.until("b")
        # Twice: the server came up with what it wrote itself after `a`, and answered 410.
        assert made.lists in {1, 2}
        assert made.fault is None
    assert store.calls == ["put a", "put b", "drop a"]


async def test_a_watch_goes_on_from_the_last_bookmark() -> None:
    async with (
        breaking.server(
            breaking.listing("a", version="1"),
            breaking.watching(event("ADDED", "b", "5"), event("BOOKMARK", "", "9")),
            breaking.watching(event("DELETED", "a", "12"), stays=True),
        ) as api,
        Client(api.cluster) as kube,
    ):
        store = Kept()
        async with reflecting(kube, store):
            await store.until("b")
    assert [query.get("resourceVersion") for query in api.asked] == [None, "1", "9"]
    assert all(query["allowWatchBookmarks"] == "true" for query in api.asked[1:])
    assert all(300 <= int(query["timeoutSeconds"]) <= 600 for query in api.asked[1:])


async def test_an_event_that_comes_in_pieces_is_one_event() -> None:
    said = event("ADDED", "b", "2") + event("ADDED", "c", "3")
    pieces = [said[at : at + 7] for at in range(0, len(said), 7)]
    async with (
        breaking.server(breaking.listing(version="1"), breaking.watching(*pieces, stays=True)) as api,
        Client(api.cluster) as kube,
    ):
        store = Kept()
        async with reflecting(kube, store):
            await store.until("b", "c")
    assert store.calls == ["put b", "put c"]


BROKEN: dict[str, tuple[breaking.Answer, str, bool]] = {
    "half an event": (breaking.watching(event("ADDED", "b", "2") + b'{"type":'), "ended within an event", False),
    "a reset": (breaking.watching(event("ADDED", "b", "2"), resets=True), "watch|GET|Connection|payload", False),
    "no JSON": (breaking.watching(event("ADDED", "b", "2"), b"{]\n"), "cannot be understood", True),
    "no event": (breaking.watching(event("ADDED", "b", "2"), b'{"kind": 1}\n'), "cannot be understood", True),
    "no object": (breaking.watching(event("ADDED", "b", "2"), b'{"type": "ADDED", "object": 1}\n'), "is none", True),
    "an error": (breaking.watching(event("ADDED", "b", "2"), breaking.error(500, "InternalError")), "500", False),
    "an event without an end": (
        breaking.watching(event("ADDED", "b", "2"), *[b"x" * (1 << 20)] * 9),
        "larger than",
        True,
    ),
}


@pytest.mark.parametrize("how", BROKEN)
async def test_a_watch_that_breaks_is_told_and_what_it_had_said_is_kept(how: str) -> None:
    """It goes on where it was; where something came that cannot be understood, it would come again: list anew."""
    answer, words, lists_anew = BROKEN[how]
    then = [breaking.listing("a", "b", version="3")] if lists_anew else []
    async with (
        breaking.server(
            breaking.listing("a", version="1"),
            answer,
            *then,
            breaking.watching(event("ADDED", "c", "4"), stays=True),
        ) as api,
        Client(api.cluster) as kube,
    ):
        store = Kept()
        async with reflecting(kube, store) as (made, stood):
            await store.until("a", "b", "c")
            assert made.fault is None
            assert made.lists == (2 if lists_anew else 1)
    assert store.calls == ["put a", "put b", "put c"] if not lists_anew else store.calls[0] == "put a"
    assert re.search(words, stood[1]), stood
    assert stood[2] == "current"


async def test_an_object_that_is_nested_too_deep_is_no_reason_to_lose_the_others() -> None:
    """As one may be under a CRD that keeps unknown fields."""
    deep = b'{"a":' * 5000 + b"1" + b"}" * 5000
    items = [breaking.thing("a", "1"), breaking.thing("deep", "1", spec="HERE"), breaking.thing("b", "1")]
    page = orjson.dumps({"metadata": {"resourceVersion": "1"}, "items": items})
    more = event("ADDED", "c", "2") + event("MODIFIED", "deep", "3", spec="HERE") + event("ADDED", "d", "4")
    async with (
        breaking.server(
            breaking.raw(page.replace(b'"HERE"', deep)),
            breaking.watching(more.replace(b'"HERE"', deep), stays=True),
        ) as api,
        Client(api.cluster) as kube,
    ):
        store = Kept()
        async with reflecting(kube, store) as (_, stood):
            await store.until("a", "b", "c", "d", "deep")
    assert store.things["deep"] == "3"
    assert stood == ["current"]


async def test_a_fault_of_the_store_is_logged_and_everything_read_anew(caplog: pytest.LogCaptureFixture) -> None:
    async with (
        breaking.server(
            breaking.listing("a", version="1"),
            breaking.watching(event("ADDED", "b", "2")),
            breaking.listing("a", "b", version="3"),
            breaking.watching(stays=True),
        ) as api,
        Client(api.cluster) as kube,
    ):
        store = Kept()
        store.fails_on = "b"
        with caplog.at_level(logging.ERROR):
            async with reflecting(kube, store) as (made, stood):
                await store.until("a", "b")
                await api.until_asked(4)
                assert made.lists == 2
    assert stood == ["current", "what was read could not be taken in: see the log", "current"]
    assert "could not be taken in" in caplog.text


async def test_the_loop_is_free_while_much_is_taken_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reflector, "PIECE", 0.0)
    names = [f"n{number}" for number in range(30)]
    events = b"".join(event("ADDED", f"m{number}", "2") for number in range(30))
    async with (
        breaking.server(breaking.listing(*names, version="1"), breaking.watching(events, stays=True)) as api,
        Client(api.cluster) as kube,
    ):
        store = Kept()
        async with reflecting(kube, store):
            held: set[int] = set()
            async with asyncio.timeout(PATIENCE):
                while len(store.things) < 60:
                    await asyncio.sleep(0)
                    held.add(len(store.things))
    # It was seen with each number of them, as a turn of the loop lies between any two.
    assert len(held) >= 58


CANCELLED_AT = {
    "the head of a list": (breaking.watching(stays=True),),
    "a page": (breaking.watching(b'{"items"', stays=True),),
    "the second page": (breaking.listing("a", version="1", token="t"), breaking.watching(stays=True)),
    "a watch": (breaking.listing("a", version="1"), breaking.watching(stays=True)),
    "half an event": (breaking.listing("a", version="1"), breaking.watching(b'{"type"', stays=True)),
    "a pause": (breaking.refusal(503, "Unavailable", Retry_After="60"),),
}


@pytest.mark.parametrize("where", CANCELLED_AT)
async def test_it_may_be_cancelled_anywhere_and_leaves_no_connection(where: str) -> None:
    answers = CANCELLED_AT[where]
    async with breaking.server(*answers) as api, Client(api.cluster) as kube:
        async with reflecting(kube, Kept()):
            await api.until_asked(len(answers))
            # Wherever it gets to from there.
            for _ in range(20):
                await asyncio.sleep(0)
        assert kube.taking._value == client.PAGES_AT_ONCE
        connector = kube._session.connector
        assert connector is not None
        assert not connector._acquired


def test_an_error_tells_what_it_is() -> None:
    gone = failures.from_status({"code": 410, "reason": "Expired", "message": "too old"}, 200)
    assert (gone.is_gone, gone.is_conflict, gone.is_not_found, gone.is_forbidden) == (True, False, False, False)
    waits = failures.from_status({"details": {"retryAfterSeconds": 3, "causes": [{"field": "a"}]}}, 429)
    assert (waits.status, waits.retry_after, waits.causes) == (429, 3.0, ({"field": "a"},))
    assert client.SILENCE > 120, "bookmarks come every minute"
