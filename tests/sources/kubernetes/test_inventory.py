"""What was read, without a server: which ModelServers wait for their pods, and which namespaces are watched."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from kthena_fast.kube import credentials
from kthena_fast.kube.client import Client
from kthena_fast.kube.configuration import Cluster
from kthena_fast.resources import decoding, size
from kthena_fast.sources.kubernetes.inventory import Inventory, ObjectStore, PodStore
from kthena_fast.sources.kubernetes.pod_watches import ALL, PodWatches
from tests.sources.kubernetes import watching


class Told:
    """Counts how often it was told of a change."""

    times = 0

    def __call__(self) -> None:
        self.times += 1


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def inventory(told: Told) -> Inventory:
    return Inventory(told)


def stored(obj: dict[str, Any], generation: int = 1, **meta: Any) -> dict[str, Any]:
    """As an item of a list: without its kind."""
    metadata = {**obj["metadata"], "uid": f"uid of {obj['metadata']['name']}", "generation": generation, **meta}
    return {"metadata": metadata, "spec": obj["spec"]}


def server(name: str, generation: int = 1, *, namespace: str = "ns", **labels: str) -> dict[str, Any]:
    selector = {"matchLabels": labels} if labels else None
    return stored(watching.model_server(namespace, name, selector=selector), generation)


def pod(name: str, *, namespace: str = "ns", ip: str = "10.0.0.1", **labels: str) -> dict[str, Any]:
    return {
        "metadata": {"namespace": namespace, "name": name, "uid": name, "labels": labels},
        "status": {"phase": "Running", "podIP": ip, "conditions": [{"type": "Ready", "status": "True"}]},
    }


def listed(store: ObjectStore | PodStore, *objects: dict[str, Any]) -> None:
    store.begin()
    for obj in objects:
        store.put(obj)
    store.settle()
    store.flush()


def test_an_object_whose_status_changed_is_not_read_anew(inventory: Inventory, told: Told) -> None:
    inventory.knows = lambda _, __: True
    store = ObjectStore(inventory, "ModelServer", "")
    listed(store, server("s"))
    kept, times = inventory.builder.servers["ns/s"], told.times
    store.put({**server("s"), "status": {"conditions": []}})
    store.flush()
    assert told.times == times
    listed(store, server("s"))
    assert inventory.builder.servers["ns/s"] is kept
    store.put(server("s", 2))
    assert inventory.builder.servers["ns/s"] is not kept


def test_what_a_list_no_longer_holds_is_gone_and_only_in_its_namespace(inventory: Inventory) -> None:
    mine, other = ObjectStore(inventory, "ModelServer", "ns"), ObjectStore(inventory, "ModelServer", "ns2")
    listed(mine, server("a"), server("b"))
    listed(other, server("a", namespace="ns2"))
    listed(mine, server("b"))
    assert sorted(inventory.builder.servers) == ["ns/b", "ns2/a"]


def test_a_poisoned_object_is_listed_until_it_is_gone(inventory: Inventory) -> None:
    store = ObjectStore(inventory, "ModelRoute", "")
    poison = stored(watching.model_route("ns", "bad", "m", "s"))
    poison["spec"] = {"rules": "none", "modelName": 7}
    listed(store, poison, stored(watching.model_route("ns", "good", "m", "s")))
    assert list(inventory.builder.routes) == ["ns/good"]
    (rejection,) = inventory.rejected
    assert (rejection.kind, rejection.name, rejection.kept) == ("ModelRoute", "bad", False)
    assert len(rejection.reasons) == 2
    listed(store, stored(watching.model_route("ns", "good", "m", "s")))
    assert inventory.rejected == ()


def test_what_is_no_object_at_all_harms_nobody(inventory: Inventory) -> None:
    store = ObjectStore(inventory, "ModelRoute", "")
    oddities: tuple[dict[str, Any], ...] = (
        {},
        {"metadata": 1},
        {"metadata": {}},
        {"metadata": {"name": 1, "namespace": []}, "spec": 0},
    )
    for odd in oddities:
        listed(store, odd, stored(watching.model_route("ns", "good", "m", "s")))
        assert list(inventory.builder.routes) == ["ns/good"]


def test_a_pod_that_nothing_can_select_is_not_kept(inventory: Inventory) -> None:
    store = PodStore(inventory, "", frozenset(("app",)))
    listed(store, pod("p", app="s"), pod("q", other="x"))
    assert list(inventory.builder.pods) == ["ns/p"]
    store.put(pod("p", other="x"))
    assert not inventory.builder.pods


def test_a_pod_that_changes_in_what_does_not_matter_is_no_change(inventory: Inventory, told: Told) -> None:
    store = PodStore(inventory, "", frozenset(("app",)))
    listed(store, pod("p", app="s"))
    times = told.times
    store.put(pod("p", app="s", other="x") | {"spec": {"nodeName": "n"}})
    store.flush()
    assert told.times == times


def test_a_poisoned_pod_keeps_its_last_good_version_until_it_is_gone(inventory: Inventory) -> None:
    store = PodStore(inventory, "", frozenset(("app",)))
    listed(store, pod("p", app="s"))
    store.put(pod("p", app="s", ip="nowhere"))
    (rejection,) = inventory.rejected
    assert (str(rejection.reasons[0].path), rejection.kept) == ("status.podIP", True)
    assert inventory.builder.pods["ns/p"].ip == "10.0.0.1"
    store.drop(pod("p", app="s", ip="nowhere"))
    assert inventory.rejected == ()
    assert not inventory.builder.pods


def in_service(inventory: Inventory) -> tuple[ObjectStore, set[str]]:
    """Where the server `s` came, which selects by `app`, and the labels by which pods are known: no other yet."""
    known = {"app"}
    inventory.knows = lambda _, keys: keys <= known
    servers = ObjectStore(inventory, "ModelServer", "")
    listed(servers, server("s", app="s"))
    return servers, known


def test_a_server_whose_pods_are_not_known_by_its_labels_serves_as_it_was(inventory: Inventory) -> None:
    servers, known = in_service(inventory)
    before = inventory.builder.servers["ns/s"]
    servers.put(server("s", 2, app="s", tier="gold"))
    assert inventory.builder.servers["ns/s"] is before
    assert inventory.selected() == {"ns": frozenset(("app", "tier"))}
    known.add("tier")
    inventory.on_pods()
    assert inventory.builder.servers["ns/s"].metadata.generation == 2


def test_a_server_that_waits_and_goes_leaves_nothing(inventory: Inventory) -> None:
    servers, known = in_service(inventory)
    servers.put(server("s", 2, tier="gold"))
    servers.drop(server("s", 2, tier="gold"))
    known.add("tier")
    inventory.on_pods()
    assert not inventory.builder.servers
    assert inventory.selected() == {}


# Another object of a name, where it was missed that the first one went


@pytest.mark.parametrize("spec", [{"rules": "none"}, {"rules": [0] * size.MAX_VALUES}], ids=["broken", "too large"])
@pytest.mark.parametrize("is_listed", [True, False])
def test_a_broken_object_does_not_keep_another_of_its_name_in_service(
    inventory: Inventory, spec: dict[str, Any], is_listed: bool
) -> None:
    store = ObjectStore(inventory, "ModelRoute", "")
    listed(store, stored(watching.model_route("ns", "r", "m", "s")))
    other = {**stored(watching.model_route("ns", "r", "m", "s"), uid="another"), "spec": spec}
    if is_listed:
        listed(store, other)
    else:
        store.put(other)
    assert not inventory.builder.routes
    (rejection,) = inventory.rejected
    assert (rejection.name, rejection.kept) == ("r", False)


def test_a_broken_server_that_was_made_anew_leaves_nothing_that_waits(inventory: Inventory) -> None:
    servers, known = in_service(inventory)
    servers.put(server("s", 2, tier="gold"))
    listed(servers, {**stored(server("s"), uid="another"), "spec": {}})
    known.add("tier")
    inventory.on_pods()
    assert not inventory.builder.servers
    assert inventory.selected() == {}


def test_a_server_that_was_made_anew_does_not_wait_for_its_pods_as_the_one_before(inventory: Inventory) -> None:
    """Whose pods are not those that it selects."""
    servers, _ = in_service(inventory)
    listed(servers, stored(server("s", tier="gold"), uid="another"))
    assert inventory.builder.servers["ns/s"].metadata.uid == "another"


def test_an_object_that_was_made_anew_is_read_though_its_generation_is_the_same(inventory: Inventory) -> None:
    store = ObjectStore(inventory, "ModelRoute", "")
    listed(store, stored(watching.model_route("ns", "r", "m", "s")))
    listed(store, stored(watching.model_route("ns", "r", "another", "s"), uid="another"))
    assert inventory.builder.routes["ns/r"].spec.model_name == "another"


def test_an_object_that_was_gone_in_a_list_is_read_when_it_is_there_again(inventory: Inventory) -> None:
    """An API server that is behind the others may list what was before it came."""
    store = ObjectStore(inventory, "ModelRoute", "")
    route = stored(watching.model_route("ns", "r", "m", "s"))
    listed(store, route)
    listed(store)
    listed(store, route)
    assert list(inventory.builder.routes) == ["ns/r"]


def test_a_pod_at_no_address_does_not_keep_another_of_its_name_in_service(inventory: Inventory) -> None:
    """As the pods of a StatefulSet have."""
    store = PodStore(inventory, "", frozenset(("app",)))
    listed(store, pod("p", app="s"))
    other = pod("p", app="s", ip="fe80::1%eth0")
    other["metadata"]["uid"] = "another"
    listed(store, other)
    assert not inventory.builder.pods
    (rejection,) = inventory.rejected
    assert (rejection.name, rejection.kept) == ("p", False)


# Which pods are watched


class Watches:
    """Pod watches over a client that is never asked."""

    def __init__(self, inventory: Inventory, kube: Client, *, may_watch_all: bool = True) -> None:
        self.inventory = inventory
        self.servers = ObjectStore(inventory, "ModelServer", "")
        self.tasks: list[asyncio.Task[None]] = []
        self.watches = PodWatches(kube, inventory, self._start, may_watch_all=may_watch_all, most=5)

    def _start(self, running: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        running.close()
        self.tasks.append(asyncio.get_running_loop().create_task(asyncio.sleep(3600)))
        return self.tasks[-1]

    def select_in(self, *namespaces: str) -> list[str]:
        """What is watched once there is a ModelServer in these, and in no others."""
        listed(self.servers, *(server("s", namespace=namespace) for namespace in namespaces))
        self.watches.plan()
        return sorted(self.watches.reflectors)

    def settle(self, *pods: dict[str, Any]) -> None:
        for scope, watch in list(self.watches._running.items()):
            listed(watch.store, *(pod for pod in pods if scope in (ALL, pod["metadata"]["namespace"])))


@pytest.fixture
def names() -> list[str]:
    return [f"n{number}" for number in range(10)]


async def test_many_namespaces_are_watched_at_once_and_few_one_by_one(inventory: Inventory, names: list[str]) -> None:
    async with Client(Cluster("http://127.0.0.1:9", credentials.Anonymous())) as kube:
        seen = Watches(inventory, kube)
        assert seen.select_in(*names[:5]) == names[:5]
        pods = [pod("p", namespace=name, app="s") for name in names]
        seen.settle(*pods)
        # Those of each are given up once all are read, and not before.
        assert seen.select_in(*names[:6]) == [ALL, *names[:5]]
        assert not any(task.cancelling() for task in seen.tasks)
        seen.settle(*pods)
        seen.watches.plan()
        assert list(seen.watches.reflectors) == [ALL]
        assert [bool(task.cancelling()) for task in seen.tasks] == [True] * 5 + [False]
        assert len(inventory.builder.pods) == 10
        # One less, and one less again, changes nothing yet; at four fifths it does.
        assert seen.select_in(*names[:5]) == [ALL]
        assert seen.select_in(*names[:4]) == [ALL, *names[:4]]
        seen.settle(*pods)
        assert seen.select_in(*names[:4]) == names[:4]
        assert sorted(inventory.builder.pods) == [f"{name}/p" for name in names[:4]]
        for task in seen.tasks:
            task.cancel()


async def test_without_the_right_to_all_each_namespace_is_watched(inventory: Inventory, names: list[str]) -> None:
    async with Client(Cluster("http://127.0.0.1:9", credentials.Anonymous())) as kube:
        seen = Watches(inventory, kube, may_watch_all=False)
        assert seen.select_in(*names) == names
        for task in seen.tasks:
            task.cancel()


async def test_the_pods_of_a_namespace_go_with_its_last_server(inventory: Inventory, names: list[str]) -> None:
    async with Client(Cluster("http://127.0.0.1:9", credentials.Anonymous())) as kube:
        seen = Watches(inventory, kube)
        seen.select_in("a", "b")
        seen.settle(pod("p", namespace="a", app="s"), pod("p", namespace="b", app="s"))
        assert seen.select_in("a") == ["a"]
        assert list(inventory.builder.pods) == ["a/p"]
        assert [bool(task.cancelling()) for task in seen.tasks] == [False, True]
        seen.tasks[0].cancel()


async def test_a_new_label_key_has_the_pods_read_anew(inventory: Inventory) -> None:
    async with Client(Cluster("http://127.0.0.1:9", credentials.Anonymous())) as kube:
        seen = Watches(inventory, kube)
        seen.select_in("ns")
        seen.settle(pod("p", app="s", tier="gold"))
        listed(seen.servers, server("s", app="s"), server("t", tier="gold"))
        seen.watches.plan()
        assert [bool(task.cancelling()) for task in seen.tasks] == [True, False]
        was_synced = seen.watches.is_synced
        seen.settle(pod("p", app="s", tier="gold"))
        assert (was_synced, seen.watches.is_synced) == (False, True)
        assert {key: len(found.pods) for key, found in inventory.builder.snapshot().servers.items()} == {
            "ns/s": 1,
            "ns/t": 1,
        }
        # One key less is no reason.
        listed(seen.servers, server("s", app="s"))
        seen.watches.plan()
        assert len(seen.tasks) == 2
        seen.tasks[1].cancel()


def test_an_object_that_takes_long_to_read_is_set_aside_unread(
    inventory: Inventory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A map of 40,000 headers is one that CRD and API server take."""
    store = ObjectStore(inventory, "ModelRoute", "")
    headers = {f"x-{number}": {"exact": "v"} for number in range(40_000)}

    def route(generation: int, headers: dict[str, Any]) -> dict[str, Any]:
        obj = watching.model_route("ns", "r", "m", "s")
        obj["spec"]["rules"][0]["modelMatch"] = {"headers": headers}
        return stored(obj, generation)

    listed(store, route(1, {"x": {"exact": "v"}}))
    with monkeypatch.context() as changed:
        changed.setattr(decoding, "decode", None)
        listed(store, route(2, headers))
    (rejection,) = inventory.rejected
    assert (rejection.name, rejection.kept) == ("r", True)
    assert str(rejection.reasons[0]) == f"spec: {size.TOO_LARGE}"
    assert inventory.builder.routes["ns/r"].metadata.generation == 1
    listed(store, route(3, {}))
    assert not inventory.rejected
    assert inventory.builder.routes["ns/r"].metadata.generation == 3
