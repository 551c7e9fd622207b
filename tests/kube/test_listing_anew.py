"""When a reflector lists anew, for its watch cannot go on, and what it does about a list that cannot be had."""

from __future__ import annotations

import asyncio
import base64
import json
import urllib.request

import pytest

from kthena_fast.kube import configuration
from kthena_fast.kube.client import Client
from tests.kube import breaking
from tests.kube.apiserver import KubeApiServer
from tests.kube.breaking import PATH, event
from tests.kube.kept import PATIENCE, Kept, reflecting


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
