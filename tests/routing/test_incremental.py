"""The snapshot that is kept up object by object, held against one that is built of the whole."""

from __future__ import annotations

from typing import Any

import hypothesis.strategies as st
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from kthena_fast.routing import build
from kthena_fast.routing.incremental import Builder
from kthena_fast.routing.shards import Shards
from kthena_fast.routing.snapshot import Snapshot
from tests.routing import given

NAMESPACES = st.sampled_from(("one", "two"))
NAMES = st.sampled_from(("a", "b", "c"))
LABELS = st.dictionaries(st.sampled_from(("app", "tier", "role", "group")), st.sampled_from(("x", "y")), max_size=4)
PD_GROUP = {"groupKey": "group", "prefillLabels": {"role": "x"}, "decodeLabels": {"role": "y"}}


def shape(snapshot: Snapshot) -> dict[str, Any]:
    """What a snapshot says, without regard to which objects say it."""
    return {
        "servers": {
            key: (server.engine, server.model, server.timeout, [pod.key for pod in server.pods])
            for key, server in snapshot.servers.items()
        },
        "pods": {key: (pod.host, pod.port, pod.tls, pod.name) for key, pod in snapshot.pods.items()},
        "models": snapshot.models(),
        "matches": {
            name: [repr(candidate.match) for candidate in (*candidates.base, *candidates.adapters)]
            for name, candidates in snapshot.table.by_name.items()
        },
        "objects": snapshot.objects,
        "unsupported": sorted(snapshot.unsupported),
    }


class Changes(RuleBasedStateMachine):
    """Any order of changes, with snapshots taken whenever."""

    @initialize()
    def begin(self) -> None:
        self.builder = Builder()
        self.objects: dict[tuple[str, str], Any] = {}
        self.taken = build.EMPTY
        self.remembered = shape(self.taken)

    def _put(self, kind: str, resource: Any) -> None:
        self.objects[kind, resource.metadata.key] = resource
        getattr(self.builder, f"put_{kind}")(resource)

    @rule(
        namespace=NAMESPACES,
        name=NAMES,
        labels=LABELS,
        is_pd=st.booleans(),
        endpoints=st.sampled_from(("", "", "10.1.0.1:80")),
    )
    def put_server(self, namespace: str, name: str, labels: dict[str, str], is_pd: bool, endpoints: str) -> None:
        selector = {"matchLabels": labels, **({"pdGroup": PD_GROUP} if is_pd else {})}
        self._put("server", given.server(name, endpoints, namespace=namespace, selector=selector))

    @rule(
        namespace=NAMESPACES,
        name=NAMES,
        labels=LABELS,
        ready=st.sampled_from(("True", "True", "False")),
        ip=st.sampled_from(("10.0.0.1", "10.0.0.2", "")),
        uid=st.sampled_from(("u1", "u2")),
    )
    def put_pod(self, namespace: str, name: str, labels: dict[str, str], ready: str, ip: str, uid: str) -> None:
        self._put("pod", given.pod(name, ip, namespace=namespace, ready=ready, uid=uid, **labels))

    @rule(namespace=NAMESPACES, name=NAMES, model=NAMES, adapters=st.lists(NAMES, max_size=2), created=st.booleans())
    def put_route(self, namespace: str, name: str, model: str, adapters: list[str], created: bool) -> None:
        stamp = "2026-01-01T00:00:00Z" if created else None
        self._put(
            "route",
            given.route(name, given.to("a"), model=model, adapters=adapters, namespace=namespace, created=stamp),
        )

    @rule(name=NAMES)
    def put_provider(self, name: str) -> None:
        self._put("provider", given.provider(name))

    @rule(kind=st.sampled_from(("server", "pod", "route", "provider")), namespace=NAMESPACES, name=NAMES)
    def drop(self, kind: str, namespace: str, name: str) -> None:
        namespace = "default" if kind == "provider" else namespace
        self.objects.pop((kind, f"{namespace}/{name}"), None)
        getattr(self.builder, f"drop_{kind}")(f"{namespace}/{name}")

    @rule(servers=st.integers(0, 3))
    def work(self, servers: int) -> None:
        self.builder.work(servers)

    @rule()
    def take(self) -> None:
        whole = build.build(given.objects(*self.objects.values()), self.taken)
        taken = self.builder.snapshot()
        assert shape(taken) == shape(whole)
        for key, pod in taken.pods.items():
            assert self.taken.pods.get(key, pod) is pod
        for key, server in taken.servers.items():
            # The same server object is the same pods of the same resource.
            if self.taken.servers.get(key) is server:
                assert self.taken.objects.servers[key] is taken.objects.servers[key]
            assert all(pod is taken.pods[pod.key] for pod in server.pods)
        self.taken = taken
        self.remembered = shape(taken)

    @invariant()
    def what_was_given_out_stays(self) -> None:
        assert shape(self.taken) == self.remembered


TestChanges = Changes.TestCase
TestChanges.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


def builder_of(*resources: Any) -> Builder:
    builder = Builder()
    kinds = {"ModelServer": "server", "ModelRoute": "route", "Pod": "pod"}
    for resource in resources:
        getattr(builder, f"put_{kinds[resource.KIND]}")(resource)
    return builder


def test_a_pod_that_is_ready_again_keeps_what_is_in_flight() -> None:
    builder = builder_of(given.server("s"), given.pod("p", app="s"))
    (pod,) = builder.snapshot().pods.values()
    pod.in_flight = 3
    builder.put_pod(given.pod("p", app="s", ready="False"))
    builder.put_pod(given.pod("p", app="s"))
    assert builder.snapshot().servers["default/s"].pods == (pod,)


def test_what_did_not_change_is_shared() -> None:
    builder = builder_of(given.route("r", given.to("s")), given.server("s"), given.server("t"), given.pod("p", app="s"))
    before = builder.snapshot()
    builder.put_pod(given.pod("q", app="s"))
    after = builder.snapshot()
    assert after.table is before.table
    assert after.objects.servers is before.objects.servers
    assert after.servers["default/t"] is before.servers["default/t"]
    assert after.servers["default/s"] is not before.servers["default/s"]
    assert after.pods.keys() > before.pods.keys()


def test_of_many_pods_only_the_part_is_new_in_which_one_changed() -> None:
    builder = builder_of(given.server("s"), *[given.pod(f"p{number}", app="s") for number in range(200)])
    before = builder.snapshot().pods
    builder.put_pod(given.pod("p7", app="s", ready="False"))
    after = builder.snapshot().pods
    assert isinstance(before, Shards)
    assert isinstance(after, Shards)
    parts = zip(before._parts, after._parts, strict=True)
    assert [old.keys() - new.keys() for old, new in parts if old is not new] == [before.keys() - after.keys()]


def test_ties_go_on_where_they_were_broken() -> None:
    builder = builder_of(given.server("s"), given.pod("p", app="s"))
    builder.snapshot().servers["default/s"].turn = 7
    builder.put_pod(given.pod("q", app="s"))
    assert builder.snapshot().servers["default/s"].turn == 7


def test_work_is_done_in_pieces() -> None:
    servers = [given.server(f"s{number}") for number in range(5)]
    builder = builder_of(*servers)
    assert [builder.work(3), builder.work(3)] == [False, True]
    assert len(builder.snapshot().servers) == 5
