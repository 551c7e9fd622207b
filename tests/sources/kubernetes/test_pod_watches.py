"""Which pods are watched when, and what becomes of those that two watches tell of at once.

Nothing is asked here: each watch is told what it would have read.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, cast

import pytest

from kthena_fast.kube.client import Client
from kthena_fast.resources import decoding
from kthena_fast.resources.model_server import ModelServer
from kthena_fast.sources.kubernetes.inventory import Inventory, PodStore
from kthena_fast.sources.kubernetes.pod_watches import ALL, PodWatches
from tests.kube import apiserver
from tests.kube.apiserver import Object
from tests.sources.kubernetes import watching


class Started:
    """Stands for the task of a watch."""

    def __init__(self, running: Coroutine[Any, Any, None]) -> None:
        running.close()
        self.is_stopped = False

    def cancel(self) -> None:
        self.is_stopped = True


class Scene:
    """Watches of a cluster: one of all namespaces where more than two are asked for, left again at one."""

    def __init__(self) -> None:
        self.started: list[Started] = []
        self.inventory = Inventory(lambda: None)
        self.watches = PodWatches(cast("Client", None), self.inventory, self._start, may_watch_all=True, most=2)

    def _start(self, running: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        self.started.append(Started(running))
        return cast("asyncio.Task[None]", self.started[-1])

    @property
    def running(self) -> set[str]:
        assert len(self.watches.reflectors) == sum(not task.is_stopped for task in self.started)
        return set(self.watches.reflectors)

    def store(self, scope: str) -> PodStore:
        return self.watches._running[scope].store

    def ask(self, *namespaces: str, labels: dict[str, str] | None = None) -> None:
        """Have a ModelServer in just these namespaces."""
        for key in [*self.inventory.builder.servers, *self.inventory._waiting]:
            self.inventory.drop(ModelServer.KIND, key)
        for namespace in namespaces:
            selector = {"matchLabels": labels or {"app": "s"}}
            self.inventory.put(decoding.decode(watching.model_server(namespace, "s", selector=selector)))
        self.watches.plan()

    def pods(self) -> dict[str, dict[str, str]]:
        """What is known, with its labels."""
        return {key: dict(pod.labels) for key, pod in sorted(self.inventory.builder.pods.items())}


@pytest.fixture
def scene() -> Scene:
    return Scene()


def pod(namespace: str, name: str = "p", ip: str = "10.0.0.1", **labels: str) -> Object:
    return apiserver.pod(namespace, name, ip, labels or {"app": "s"})


def read(store: PodStore, *pods: Object) -> None:
    """A whole list."""
    store.begin()
    for obj in pods:
        store.put(obj)
    store.settle()


def test_between_one_watch_and_many_pods_stay_known(scene: Scene) -> None:
    scene.ask("a", "b")
    read(scene.store("a"), pod("a"))
    read(scene.store("b"), pod("b"))
    assert scene.running == {"a", "b"}
    scene.ask("a", "b", "c")
    assert scene.running == {"a", "b", ALL}
    assert set(scene.pods()) == {"a/p", "b/p"}
    # As soon as it was read, and not when somebody looks.
    read(scene.store(ALL), pod("a"), pod("b"), pod("c"))
    assert scene.running == {ALL}
    # It comes and goes at different numbers.
    scene.ask("a", "b")
    assert scene.running == {ALL}
    scene.ask("a")
    assert scene.running == {ALL, "a"}
    assert set(scene.pods()) == {"a/p", "b/p", "c/p"}
    read(scene.store("a"), pod("a"))
    assert scene.running == {"a"}
    assert set(scene.pods()) == {"a/p"}


def test_a_namespace_that_cannot_be_read_holds_up_the_end_of_no_other_watch(scene: Scene) -> None:
    scene.ask("forbidden", "b")
    read(scene.store("b"), pod("b"))
    scene.ask("forbidden")
    assert scene.running == {"forbidden"}
    assert scene.pods() == {}


def test_the_slower_of_two_watches_brings_nothing_back(scene: Scene) -> None:
    scene.ask("a", "b", "c")
    everything = scene.store(ALL)
    read(everything, pod("a"), pod("a", "gone"), pod("b"))
    scene.inventory.drop(ModelServer.KIND, "c/s")
    scene.ask("a")
    scene.watches._most = 5
    scene.ask("a", "b")
    one = scene.store("a")
    read(one, pod("a", ip="10.0.0.2"))
    assert scene.running == {ALL, "a", "b"}
    # What it had still to tell of before it is ended.
    everything.put(pod("a", "gone", ip="10.0.0.9"))
    everything.drop(pod("a"))
    read(everything, pod("b", "other"))
    assert set(scene.pods()) == {"a/p", "b/other"}
    assert scene.inventory.builder.pods["a/p"].ip == "10.0.0.2"


def test_a_watch_that_has_left_pods_to_others_does_not_take_them_back_unread(scene: Scene) -> None:
    scene.ask("a", "b", "c")
    read(scene.store(ALL), pod("a"), pod("b"), pod("c"))
    scene.watches._most = 5
    scene.ask("a", "b")
    read(scene.store("a"), pod("a", "new"))
    former = scene.store(ALL)
    scene.watches._most = 1
    scene.ask("a", "b", "c")
    assert scene.running == {ALL, "a", "b"}
    assert scene.store(ALL) is not former
    read(scene.store(ALL), pod("a", "newer"), pod("b"), pod("c"))
    assert scene.running == {ALL}
    assert set(scene.pods()) == {"a/newer", "b/p", "c/p"}


def test_labels_that_only_the_new_watch_keeps_stay_known(scene: Scene) -> None:
    tiered = {"app": "s", "tier": "gold"}
    scene.ask("a", "b", "c")
    everything = scene.store(ALL)
    read(everything, pod("a", **tiered), pod("b"))
    scene.watches._most = 5
    scene.ask("a", "b", labels=tiered)
    read(scene.store("a"), pod("a", **tiered))
    everything.put(pod("a", **tiered))
    assert scene.pods()["a/p"] == tiered


def test_a_pod_that_was_set_aside_is_forgotten_with_its_namespace(scene: Scene) -> None:
    scene.ask("a", "b")
    bad = pod("a")
    bad["status"]["podIP"] = "nowhere"
    read(scene.store("a"), bad)
    assert [rejection.name for rejection in scene.inventory.rejected] == ["p"]
    scene.ask("b")
    assert not scene.inventory.rejected
