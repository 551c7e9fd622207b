"""From objects to a snapshot: which pods a server has, and what outlives a change."""

from __future__ import annotations

import dataclasses

import pytest

from kthena_fast.resources import core_v1
from kthena_fast.routing import build
from kthena_fast.routing.objects import Engine, Rejection
from kthena_fast.routing.snapshot import Pod, Server, Snapshot
from tests.routing import given
from tests.routing.given import to


def pods(snapshot: Snapshot, server: str = "default/s") -> list[str]:
    return [pod.name for pod in snapshot.servers[server].pods]


def only(server: Server) -> Pod:
    (pod,) = server.pods
    return pod


@pytest.mark.parametrize(
    "pod",
    [
        given.pod("p", app="s", ready="False"),
        given.pod("p", app="s", ready="Unknown"),
        given.pod("p", app="s", phase="Pending"),
        given.pod("p", app="s", deleted="2026-01-01T00:00:00Z"),
        given.pod("p", "", app="s"),
        given.pod("p", app="other"),
        given.pod("p", namespace="elsewhere", app="s"),
    ],
    ids=["not ready", "unknown", "pending", "being deleted", "no address", "another label", "another namespace"],
)
def test_a_server_has_the_ready_pods_of_its_namespace_that_carry_its_labels(pod: core_v1.Pod) -> None:
    snapshot = given.snapshot(given.server("s"), given.pod("good", app="s", other="x"), pod)
    assert pods(snapshot) == ["good"]


def test_all_labels_must_be_there() -> None:
    server = given.server("s", selector={"matchLabels": {"app": "s", "tier": "gold"}})
    snapshot = given.snapshot(
        server, given.pod("both", app="s", tier="gold"), given.pod("one", app="s"), given.pod("two", tier="gold")
    )
    assert pods(snapshot) == ["both"]


def test_empty_labels_select_nothing() -> None:
    """Upstream would send requests to every pod of the namespace."""
    snapshot = given.snapshot(given.server("s", selector={}), given.pod("p", app="s"))
    assert pods(snapshot) == []


def test_of_a_pd_group_only_the_pods_that_decode_serve() -> None:
    selector = {
        "matchLabels": {"app": "s"},
        "pdGroup": {"groupKey": "group", "prefillLabels": {"role": "p"}, "decodeLabels": {"role": "d"}},
    }
    snapshot = given.snapshot(
        given.server("s", selector=selector),
        given.pod("prefill", app="s", group="1", role="p"),
        given.pod("decode", app="s", group="1", role="d"),
        given.pod("without-group", app="s", role="d"),
    )
    assert pods(snapshot) == ["decode"]
    assert [entry.field for entry in snapshot.unsupported] == ["spec.workloadSelector.pdGroup"]


def test_a_pod_is_reached_at_its_first_address_and_the_servers_port() -> None:
    server = given.server("s", workloadPort={"port": 8443, "protocol": "https"})
    pod = only(given.snapshot(server, given.pod("p", "fd00::1", app="s")).servers["default/s"])
    assert (pod.host, pod.port, pod.tls, pod.prefix) == ("fd00::1", 8443, True, b"")
    assert (pod.authority, pod.server_name) == (b"[fd00::1]:8443", "fd00::1")


def test_endpoints_take_the_place_of_pods() -> None:
    server = given.server("s", "127.0.0.1:1, engine.local:2,[::1]:3")
    snapshot = given.snapshot(server, given.pod("p", app="s"))
    assert [(pod.name, pod.host, pod.port) for pod in snapshot.servers["default/s"].pods] == [
        ("127.0.0.1:1", "127.0.0.1", 1),
        ("[::1]:3", "::1", 3),
        ("engine.local:2", "engine.local", 2),
    ]


def test_engines_of_the_source_take_the_place_of_endpoints() -> None:
    engine = Engine("e", "10.0.0.1", 443, tls=True, prefix=b"/api", server_name="engine.example.com")
    objects = dataclasses.replace(given.objects(given.server("s", "127.0.0.1:1")), engines={"default/s": (engine,)})
    pod = only(build.build(objects).servers["default/s"])
    assert (pod.host, pod.port, pod.tls, pod.prefix) == ("10.0.0.1", 443, True, b"/api")
    assert (pod.authority, pod.server_name) == (b"engine.example.com:443", "engine.example.com")


def test_a_server_carries_what_its_object_says() -> None:
    policy = {"timeout": "1m30s", "retry": {"attempts": 3, "retryInterval": "50ms"}}
    server = given.server("s", "127.0.0.1:1", model="base", inferenceEngine="SGLang", trafficPolicy=policy)
    made = given.snapshot(server).servers["default/s"]
    assert (made.engine, made.model, made.timeout) == ("SGLang", "base", 90.0)
    assert (made.retry_attempts, made.retry_interval) == (3, 0.05)


def test_an_empty_model_leaves_the_request_its_own() -> None:
    """Upstream asks the engine for a model without a name."""
    assert given.snapshot(given.server("s", "127.0.0.1:1", model="")).servers["default/s"].model is None


def test_a_pod_stays_the_same_object_while_it_is_the_same_pod() -> None:
    server, pod = given.server("s"), given.pod("p", uid="1", app="s")
    before = given.snapshot(server, pod)
    kept = only(before.servers["default/s"])
    kept.in_flight = 7
    changed = given.server("s", model="other")
    after = given.snapshot(changed, given.pod("p", uid="1", app="s", new="label"), previous=before)
    assert only(after.servers["default/s"]) is kept
    assert after.servers["default/s"].model == "other"
    assert list(after.pods.values()) == [kept]


@pytest.mark.parametrize(
    ("server", "pod"),
    [
        (given.server("s"), given.pod("p", uid="2", app="s")),
        (given.server("s"), given.pod("p", "10.0.0.2", uid="1", app="s")),
        (given.server("s", workloadPort={"port": 8001}), given.pod("p", uid="1", app="s")),
        (given.server("s", workloadPort={"port": 8000, "protocol": "https"}), given.pod("p", uid="1", app="s")),
    ],
    ids=["recreated", "another address", "another port", "another scheme"],
)
def test_a_pod_that_is_reached_differently_is_another(server: given.Resource, pod: core_v1.Pod) -> None:
    before = given.snapshot(given.server("s"), given.pod("p", uid="1", app="s"))
    after = given.snapshot(server, pod, previous=before)
    assert only(after.servers["default/s"]) is not only(before.servers["default/s"])
    assert set(after.pods) & set(before.pods) == set()


def test_a_pod_of_two_servers_is_counted_by_each() -> None:
    label = {"matchLabels": {"app": "s"}}
    snapshot = given.snapshot(
        given.server("a", selector=label), given.server("b", selector=label), given.pod("p", app="s")
    )
    assert only(snapshot.servers["default/a"]) is not only(snapshot.servers["default/b"])
    assert len(snapshot.pods) == 2


def test_a_pod_that_is_no_longer_selected_is_gone() -> None:
    """Upstream keeps it in service."""
    before = given.snapshot(given.server("s"), given.pod("p", app="s"))
    after = given.snapshot(given.server("s"), given.pod("p", app="other"), previous=before)
    assert after.servers["default/s"].pods == ()
    assert after.pods == {}


def test_ties_between_pods_go_on_where_they_were_when_a_pod_comes() -> None:
    server = given.server("s")
    before = given.snapshot(server, given.pod("p", app="s"))
    before.servers["default/s"].turn = 5
    after = given.snapshot(server, given.pod("p", app="s"), given.pod("q", "10.0.0.2", app="s"), previous=before)
    assert pods(after) == ["p", "q"]
    assert after.servers["default/s"].turn == 5


def test_what_did_not_change_is_taken_over() -> None:
    route, server, pod = given.route("r", to("s")), given.server("s"), given.pod("p", app="s")
    before = given.snapshot(route, server, pod)
    after = given.snapshot(route, server, pod, given.server("new"), previous=before)
    assert after.table is before.table
    assert after.servers["default/s"] is before.servers["default/s"]
    assert after.match("m", "/", []) is before.match("m", "/", [])


def test_a_route_that_changed_is_compiled_again_and_the_others_are_not() -> None:
    kept, server = given.route("kept", to("s"), model="k"), given.server("s", "127.0.0.1:1")
    before = given.snapshot(kept, given.route("r", to("other")), server)
    after = given.snapshot(kept, given.route("r", to("s")), server, previous=before)
    assert after.match("k", "/", []) is before.match("k", "/", [])
    found = after.match("m", "/", [])
    assert found is not None
    assert [target.name for target in found.targets] == ["default/s"]
    gone = given.snapshot(kept, server, previous=after)
    assert gone.models() == ("k",)


def test_what_is_not_obeyed_is_announced_again_with_every_snapshot() -> None:
    limited = given.route("r", to("s"), rateLimit={"inputTokensPerUnit": 1})
    before = given.snapshot(limited)
    after = given.snapshot(limited, given.provider("p"), previous=before)
    assert [(entry.kind, entry.name, entry.field) for entry in before.unsupported] == [
        ("ModelRoute", "r", "spec.rateLimit")
    ]
    assert [(entry.kind, entry.name, entry.field) for entry in after.unsupported] == [
        ("ModelRoute", "r", "spec.rateLimit"),
        ("ExternalModelProvider", "p", "spec"),
    ]
    mended = given.snapshot(given.route("r", to("s")), previous=after)
    assert mended.unsupported == ()


def test_what_the_source_set_aside_is_kept_for_those_who_ask() -> None:
    rejection = Rejection("ModelRoute", "default", "r", (), "a.yaml", 3, kept=True)
    assert build.build(given.objects(), rejected=(rejection,)).rejected == (rejection,)
    assert str(rejection).startswith("ModelRoute default/r (a.yaml:3) is set aside")


def test_pods_are_not_held_against_servers_that_share_no_label_with_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """A hundred servers and a hundred pods are a hundred comparisons, not ten thousand."""
    from kthena_fast.resources.model_server import WorkloadSelector

    asked = 0
    selects = WorkloadSelector.selects

    def counted(self: WorkloadSelector, labels: dict[str, str]) -> bool:
        nonlocal asked
        asked += 1
        return selects(self, labels)

    monkeypatch.setattr(WorkloadSelector, "selects", counted)
    many = [given.server(f"s{n}", selector={"matchLabels": {"all": "x", "app": f"s{n}"}}) for n in range(100)]
    snapshot = given.snapshot(*many, *(given.pod(f"p{n}", f"10.0.0.{n}", all="x", app=f"s{n}") for n in range(100)))
    assert len(snapshot.pods) == 100
    assert asked == 100
