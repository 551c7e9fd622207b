"""A list that stays current: against a real API server, and against one that breaks as no real one can be made to."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import logging
import random
import re
import urllib.request
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, cast

import orjson
import pytest

from kthena_fast.kube import client, configuration, failures, reflector
from kthena_fast.kube.backoff import Backoff
from kthena_fast.kube.client import Client
from kthena_fast.kube.reflector import Reflector
from tests.gateway import processes
from tests.kube import breaking
from tests.kube.apiserver import KubeApiServer
from tests.kube.breaking import PATH

PATIENCE = 30.0


class Kept:
    """A store that keeps names and versions, and wakes who waits for some."""

    def __init__(self) -> None:
        self.things: dict[str, str] = {}
        self.calls: list[str] = []
        self.fails_on = ""
        self._seen: set[str] = set()
        self._flushed = asyncio.Condition()

    def begin(self) -> None:
        self._seen = set()

    def put(self, obj: Any) -> None:
        name = obj["metadata"]["name"]
        if name == self.fails_on:
            self.fails_on = ""
            raise RuntimeError("a fault of the store")
        self._seen.add(name)
        if self.things.get(name) != obj["metadata"]["resourceVersion"]:
            self.calls.append(f"put {name}")
        self.things[name] = obj["metadata"]["resourceVersion"]

    def drop(self, obj: Any) -> None:
        self.calls.append(f"drop {obj['metadata']['name']}")
        self.things.pop(obj["metadata"]["name"], None)

    def settle(self) -> None:
        for name in self.things.keys() - self._seen:
            self.calls.append(f"gone {name}")
            del self.things[name]

    def flush(self) -> None:
        asyncio.get_running_loop().create_task(self._tell())

    async def _tell(self) -> None:
        async with self._flushed:
            self._flushed.notify_all()

    async def until(self, *names: str) -> None:
        """Return once it holds just these."""
        async with asyncio.timeout(PATIENCE), self._flushed:
            await self._flushed.wait_for(lambda: self.things.keys() == set(names))


@contextlib.asynccontextmanager
async def reflecting(
    kube: Client, store: Kept, path: str = PATH, query: Mapping[str, str] | None = None, **options: Any
) -> AsyncIterator[tuple[Reflector, list[str]]]:
    """A reflector that runs, and what became known of how it stands."""
    stood: list[str] = []

    def note(changed: Reflector) -> None:
        stood.append(str(changed.fault or "current"))

    made = Reflector(kube, path, store, query, on_change=note, **{"backoff": Backoff(0.001, 0.1), **options})
    task = asyncio.create_task(made.run())
    try:
        yield made, stood
    finally:
        task.cancel()
        await asyncio.wait((task,))
        assert task.cancelled()


async def _has(stood: list[str], entries: int) -> bool:
    return len(stood) >= entries


def event(kind: str, name: str, version: str) -> bytes:
    return breaking.event(kind, name, version)


# A real server


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


async def test_what_the_server_no_longer_knows_is_listed_anew_and_only_differences_are_told(
    own_kube_apiserver: KubeApiServer,
) -> None:
    """A server that was started anew knows nothing of what was before: 410."""
    server, store, do = own_kube_apiserver, Kept(), asyncio.to_thread
    namespace = await do(server.create_namespace)
    path = f"/api/v1/namespaces/{namespace}/secrets"
    async with (
        Client(configuration.from_files([server.kubeconfig])) as kube,
        reflecting(kube, store, path) as (made, stood),
    ):
        for name in "abc":
            await kube.create(path, {"metadata": {"name": name}})
        await store.until("a", "b", "c")
        await do(server.stop_apiserver)
        # Behind its back: what was deleted, and that time went on.
        await do(etcd, server, "deleterange", key=f"/registry/secrets/{namespace}/b")
        await do(etcd, server, "put", key="/elsewhere", value="x")
        await do(server.start)
        await store.until("a", "c")
        assert made.lists == 2
    assert store.calls == ["put a", "put b", "put c", "gone b"]
    assert "current" in stood[-1]


def etcd(server: KubeApiServer, method: str, **fields: str) -> None:
    body = json.dumps({name: base64.b64encode(value.encode()).decode() for name, value in fields.items()})
    url = f"http://127.0.0.1:{server.port + 10}/v3/kv/{method}"
    with urllib.request.urlopen(urllib.request.Request(url, body.encode(), method="POST"), timeout=PATIENCE):
        pass


# One that breaks


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


async def test_a_watch_that_says_it_is_too_old_is_no_fault() -> None:
    async with (
        breaking.server(
            breaking.listing("a", "b", version="1"),
            breaking.watching(breaking.error(410, "Expired")),
            breaking.listing("a", "c", version="7"),
            breaking.watching(stays=True),
        ) as api,
        Client(api.cluster) as kube,
    ):
        store = Kept()
        async with reflecting(kube, store) as (made, stood):
            await store.until("a", "c")
            await api.until_asked(4)
            assert made.lists == 2
        assert stood == ["current"]


async def test_a_list_that_the_server_forgets_between_two_pages_begins_anew() -> None:
    async with (
        breaking.server(
            breaking.listing("a", version="1", token="t"),
            breaking.refusal(410, "Expired"),
            breaking.listing("a", version="5", token="u"),
            breaking.listing("b", version="5"),
            breaking.watching(stays=True),
        ) as api,
        Client(api.cluster) as kube,
    ):
        store = Kept()
        async with reflecting(kube, store):
            await store.until("a", "b")
            await api.until_asked(5)
    assert [query.get("continue") for query in api.asked] == [None, "t", None, "u", None]


async def test_a_watch_that_goes_silent_is_given_up_and_everything_listed_anew() -> None:
    """etcd was restored from a backup, say: versions are smaller now, and no later one comes for a long time."""
    async with (
        breaking.server(
            breaking.listing("a", version="100"),
            breaking.watching(event("ADDED", "b", "101"), stays=True),
            breaking.listing("a", version="7"),
            breaking.watching(event("ADDED", "c", "8"), stays=True),
        ) as api,
        Client(api.cluster) as kube,
    ):
        store = Kept()
        async with reflecting(kube, store, silence=0.2) as (_, stood):
            await store.until("a", "c")
    assert [query.get("resourceVersion") for query in api.asked[:4]] == [None, "100", None, "7"]
    assert stood[:3] == ["current", f"GET {PATH}: nothing came for 0.2 s", "current"]


@pytest.mark.parametrize(
    "said",
    [
        breaking.refusal(400, "BadRequest"),
        breaking.watching(
            breaking.error(504, "Timeout", details={"causes": [{"reason": "ResourceVersionTooLarge"}]}),
        ),
    ],
)
async def test_a_version_of_another_history_is_not_asked_for_again(said: breaking.Answer) -> None:
    async with (
        breaking.server(
            breaking.listing("a", version="100"),
            said,
            breaking.listing("b", version="7"),
            breaking.watching(stays=True),
        ) as api,
        Client(api.cluster) as kube,
    ):
        store = Kept()
        async with reflecting(kube, store):
            await store.until("b")
            await api.until_asked(4)
    assert [query.get("resourceVersion") for query in api.asked] == [None, "100", None, "7"]


async def test_a_watch_that_is_too_old_may_say_so_by_its_reason_alone() -> None:
    async with (
        breaking.server(
            breaking.listing("a", version="1"),
            breaking.watching(breaking.error(0, "Expired")),
            breaking.listing("b", version="7"),
            breaking.watching(stays=True),
        ) as api,
        Client(api.cluster) as kube,
    ):
        store = Kept()
        async with reflecting(kube, store) as (_, stood):
            await store.until("b")
            await api.until_asked(4)
        assert stood == ["current"]


async def test_a_list_that_is_forgotten_again_and_again_is_told() -> None:
    answers = (breaking.listing("a", version="1", token="t"), breaking.refusal(410, "Expired"))
    async with (
        breaking.server(*answers * 3, breaking.refusal(410, "Expired")) as api,
        Client(api.cluster) as kube,
        reflecting(kube, Kept()) as (made, stood),
    ):
        await api.until_asked(5)
        assert stood == ["410 Expired: it is Expired"]
        assert not made.synced


async def test_an_object_that_is_nested_too_deep_is_no_reason_to_lose_the_others() -> None:
    """As one may be under a CRD that keeps unknown fields."""
    deep = b'{"a":' * 5000 + b"1" + b"}" * 5000
    items = [breaking.thing("a", "1"), breaking.thing("deep", "1", spec="HERE"), breaking.thing("b", "1")]
    page = orjson.dumps({"metadata": {"resourceVersion": "1"}, "items": items})
    more = event("ADDED", "c", "2") + breaking.event("MODIFIED", "deep", "3", spec="HERE") + event("ADDED", "d", "4")
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


async def test_a_list_that_does_not_end_is_given_up() -> None:
    async with (
        breaking.server(
            breaking.listing("a", version="1", token="t"),
            breaking.listing("b", version="1", token="t"),
            breaking.listing("a", version="1"),
            breaking.watching(stays=True),
        ) as api,
        Client(api.cluster) as kube,
    ):
        store = Kept()
        async with reflecting(kube, store) as (_, stood):
            await store.until("a")
            await api.until_asked(4)
    assert stood == [f"GET {PATH}: the list does not end, for a page names itself as the next one", "current"]


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


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (breaking.raw(b"<html>"), "is no JSON"),
        (breaking.raw(b"[]"), "is no object"),
        (breaking.raw(b'{"items": 1, "metadata": {}}'), "is no list"),
        (breaking.raw(b"Bad Gateway", 502), "502: Bad Gateway"),
        (breaking.refusal(403, "Forbidden"), "403 Forbidden: it is Forbidden"),
        (breaking.raw(b'{"message": 7, "details": 1, "code": "x"}', 500), "500: 7"),
    ],
    ids=["a page", "a list of JSON", "no list", "a proxy", "a right", "an odd status"],
)
async def test_a_list_that_cannot_be_had_is_told_and_tried_again(answer: breaking.Answer, words: str) -> None:
    async with (
        breaking.server(answer, breaking.listing("a", version="1"), breaking.watching(stays=True)) as api,
        Client(api.cluster) as kube,
    ):
        store = Kept()
        async with reflecting(kube, store) as (_, stood):
            await store.until("a")
    assert words in stood[0]
    assert stood[1:] == ["current"]


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
