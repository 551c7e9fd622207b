"""Engines and models as the command line gives them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from kthena_fast.routing import build
from kthena_fast.routing.objects import Engine
from kthena_fast.sources import backend
from kthena_fast.sources.backend import BackendSource
from tests.sources.manifest import PATIENCE, Observed, running


class Names:
    """Answers what a test tells it to, one answer per look at a name; the last one stays."""

    def __init__(self, **answers: list[Sequence[str] | OSError]) -> None:
        self._answers = {name.replace("_", "."): answer for name, answer in answers.items()}

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        answers = self._answers[host]
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(answer, OSError):
            raise answer
        return answer


class Pauses:
    """Stands still at every pause until the test lets it go."""

    def __init__(self) -> None:
        self._asked: asyncio.Queue[float] = asyncio.Queue()
        self._go = asyncio.Event()

    async def __call__(self, seconds: float) -> None:
        self._asked.put_nowait(seconds)
        await self._go.wait()
        self._go.clear()

    async def reached(self) -> float:
        """Wait for the next pause: how long it would be."""
        async with asyncio.timeout(PATIENCE):
            return await self._asked.get()

    def go(self) -> None:
        self._go.set()


def engines(observed: Sequence[Engine]) -> list[tuple[str, int]]:
    return [(engine.host, engine.port) for engine in observed]


async def first(source: BackendSource) -> tuple[Engine, ...]:
    async with running(source) as observed:
        return (await observed.next()).objects.engines["default/backend"]


async def test_every_backend_serves_every_model() -> None:
    source = BackendSource(["http://127.0.0.1:8001", "http://[::1]:8002"], ["m", "org/model", "m"])
    async with running(source) as observed:
        observation = await observed.next()
    assert observation.synced
    snapshot = build.build(observation.objects)
    assert snapshot.models() == ("m", "org/model")
    for model in snapshot.models():
        match = snapshot.match(model, "/v1/chat/completions", [])
        assert match is not None
        server = snapshot.draw(match, lambda: 0.0)
        assert server is not None
        assert sorted((pod.host, pod.port) for pod in server.pods) == [("127.0.0.1", 8001), ("::1", 8002)]
        assert server.model is None
    assert snapshot.unsupported == ()


async def test_a_path_is_a_prefix_and_https_is_spoken_where_it_is_asked_for() -> None:
    (engine,) = await first(BackendSource(["https://127.0.0.1/api/v2/"], ["m"]))
    assert engine == Engine("127.0.0.1:443/api/v2", "127.0.0.1", 443, tls=True, prefix=b"/api/v2")


async def test_each_address_of_a_name_is_a_pod_that_is_asked_by_the_name() -> None:
    source = BackendSource(["https://engine.local:8443"], ["m"], resolve=Names(engine_local=[["10.0.0.1", "fd00::1"]]))
    one, two = await first(source)
    assert (one.name, two.name) == ("10.0.0.1:8443", "[fd00::1]:8443")
    assert one.server_name == two.server_name == "engine.local"


async def test_names_are_resolved_again_every_30_seconds_and_pods_that_stay_are_the_same() -> None:
    names = Names(engine_local=[["10.0.0.1", "10.0.0.2"], ["10.0.0.2", "10.0.0.3"]])
    pauses = Pauses()
    async with running(BackendSource(["http://engine.local"], ["m"], resolve=names, pause=pauses)) as observed:
        before = await observed.next()
        assert await pauses.reached() == 30
        pauses.go()
        after = await observed.next()
    assert engines(after.objects.engines["default/backend"]) == [("10.0.0.2", 80), ("10.0.0.3", 80)]
    old = build.build(before.objects)
    new = build.build(after.objects, old)
    kept = {pod.host for pod in new.pods.values()} & {pod.host for pod in old.pods.values()}
    assert kept == {"10.0.0.2"}
    assert [pod for pod in old.pods.values() if pod.host == "10.0.0.2"] == [
        pod for pod in new.pods.values() if pod.host == "10.0.0.2"
    ]


async def test_an_answer_that_is_the_same_is_not_published_again() -> None:
    pauses = Pauses()
    names = Names(engine_local=[["10.0.0.1"]])
    async with running(BackendSource(["http://engine.local"], ["m"], resolve=names, pause=pauses)) as observed:
        await observed.next()
        await pauses.reached()
        pauses.go()
        await pauses.reached()
        assert observed.is_empty()


async def test_a_name_that_cannot_be_resolved_keeps_its_last_addresses(caplog: pytest.LogCaptureFixture) -> None:
    pauses = Pauses()
    names = Names(engine_local=[["10.0.0.1"], OSError("no such name")])
    async with running(BackendSource(["http://engine.local"], ["m"], resolve=names, pause=pauses)) as observed:
        await observed.next()
        await pauses.reached()
        pauses.go()
        assert await pauses.reached() == 30
        assert observed.is_empty()
    assert "engine.local cannot be resolved (no such name): 10.0.0.1 stays in service" in caplog.text


async def test_a_name_that_never_had_an_address_is_tried_again_soon_and_holds_no_other_backend_up() -> None:
    pauses = Pauses()
    names = Names(engine_local=[OSError("not yet"), ["10.0.0.1"]])
    source = BackendSource(["http://engine.local", "http://127.0.0.1:1"], ["m"], resolve=names, pause=pauses)
    async with running(source) as observed:
        assert engines((await observed.next()).objects.engines["default/backend"]) == [("127.0.0.1", 1)]
        assert await pauses.reached() == 1
        pauses.go()
        found = (await observed.next()).objects.engines["default/backend"]
        assert engines(found) == [("10.0.0.1", 80), ("127.0.0.1", 1)]


async def test_the_systems_resolver_knows_this_machine() -> None:
    assert set(await backend.resolve("localhost", 80)) <= {"127.0.0.1", "::1"}


@pytest.mark.parametrize(
    "url",
    [
        "engine:8000",
        "ftp://engine",
        "http://",
        "http://:8000",
        "http://engine:0",
        "http://engine:70000",
        "http://[fe80::1%25eth0]:80",
        "http://[zz]:80",
        "http://a b",
        "http://engine\r\nx: y",
        "http://engine/a b",
        "http://engine/%zz",
        "http://engine/\u00e9",
        "http://user:password@engine",
        "http://engine?query",
        "http://engine#fragment",
    ],
)
def test_what_is_no_backend_is_refused_by_its_name(url: str) -> None:
    with pytest.raises(ValueError, match="--backend") as refusal:
        BackendSource([url], ["m"])
    assert repr(url) in str(refusal.value)


def test_a_model_without_a_name_is_refused() -> None:
    with pytest.raises(ValueError, match="--model ' ' must be a name"):
        BackendSource(["http://engine"], [" "])


async def test_a_source_that_is_stopped_while_it_resolves_stops() -> None:
    begun = asyncio.Event()

    async def never(host: str, port: int) -> Sequence[str]:
        begun.set()
        await asyncio.Event().wait()
        return ()

    observed = Observed()
    task = asyncio.create_task(BackendSource(["http://engine"], ["m"], resolve=never).run(observed.publish))
    await begun.wait()
    task.cancel()
    await asyncio.wait((task,))
    assert task.cancelled()
    assert observed.is_empty()
    assert asyncio.all_tasks() == {asyncio.current_task()}
