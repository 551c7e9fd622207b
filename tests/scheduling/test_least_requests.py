from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from types import ModuleType
from typing import Any, Literal

from hypothesis import given, settings
from hypothesis import strategies as st

from kthena_fast import scheduling
from kthena_fast.routing import snapshot
from kthena_fast.routing.snapshot import Pod, Server

Twin = Callable[[str, str], ModuleType]


def a_server(*in_flight: int) -> Server:
    pods = []
    for number, count in enumerate(in_flight):
        pod = Pod(f"pod-{number}", "default", f"pod-{number}", "192.0.2.1", 8000)
        pod.in_flight = count
        pods.append(pod)
    server: Server = serving(snapshot, pods)
    return server


picker = scheduling.PICKERS["least-requests"]()


def test_the_pod_with_the_fewest_in_flight_is_picked() -> None:
    server = a_server(3, 1, 2)
    assert [picker.pick(server, ()) for _ in range(3)] == [server.pods[1]] * 3


def test_ties_go_round() -> None:
    server = a_server(1, 1, 1, 5)
    picked = [picker.pick(server, ()) for _ in range(300)]
    assert Counter(picked) == dict.fromkeys(server.pods[:3], 100)
    assert picked[:6] == [*server.pods[:3], *server.pods[:3]]


def test_idle_pods_take_turns() -> None:
    server = a_server(0, 0, 0)
    assert [picker.pick(server, ()) for _ in range(6)] == [*server.pods, *server.pods]


def test_what_was_tried_is_left_out() -> None:
    server = a_server(0, 1, 2)
    tried: list[Pod] = []
    while (pod := picker.pick(server, tried)) is not None:
        tried.append(pod)
    assert tried == list(server.pods)


def test_a_server_without_pods_has_none_to_pick() -> None:
    assert picker.pick(a_server(), ()) is None


@given(in_flight=st.lists(st.integers(0, 3), min_size=1, max_size=8), turn=st.integers(0, 100), data=st.data())
def test_nothing_better_is_ever_left_out(in_flight: list[int], turn: int, data: st.DataObject) -> None:
    server = a_server(*in_flight)
    server.turn = turn
    tried = data.draw(st.lists(st.sampled_from(server.pods), unique=True))
    picked = picker.pick(server, tried)
    left = [pod for pod in server.pods if pod not in tried]
    if not left:
        assert picked is None
    else:
        assert picked in left
        assert picked.in_flight == min(pod.in_flight for pod in left)


def plainly(server: Server, tried: Collection[Pod]) -> Pod | None:
    """The pod that a look at each of them finds."""
    count = len(server.pods)
    order = [(server.turn + step) % count for step in range(count)]
    left = [at for at in order if server.pods[at] not in tried]
    if not left:
        return None
    at = min(left, key=lambda at: server.pods[at].in_flight)
    server.turn = (at + 1) % count
    return server.pods[at]


Ways = Literal["pick", "pick and fail", "end", "change"]
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["pick", "pick", "pick", "pick and fail", "end", "end", "change"]), st.integers(0, 2**16)
    ),
    max_size=150,
)


@settings(deadline=None)
@given(count=st.sampled_from([1, 31, 32, 63, 64, 65, 128, 130, 200]), most=st.integers(0, 3), steps=STEPS)
def test_among_many_pods_the_same_is_found_as_by_a_look_at_each(
    twin: Twin, count: int, most: int, steps: list[tuple[Ways, int]]
) -> None:
    snapshots = twin("routing", "snapshot")
    picks = twin("scheduling", "least_requests").LeastRequests()
    pods = [snapshots.Pod(f"pod-{number}", "default", f"pod-{number}", "192.0.2.1", 8000) for number in range(count)]
    for number, pod in enumerate(pods):
        pod.in_flight = number * 7 % (most + 1)
    server, before = serving(snapshots, pods), serving(snapshots, pods)
    asked: list[Any] = []
    for step, number in steps:
        if step == "end" and asked:
            asked.pop(number % len(asked)).ended()
        elif step == "change":
            # Requests that began before may still ask for a pod of the server as it was.
            server, before = serving(snapshots, pods[number % count :] or pods, server.turn), server
        else:
            asking = before if number % 5 == 0 else server
            tried: list[Any] = []
            picked = None
            for _ in range(2 if step == "pick and fail" else 1):
                expected_of = serving(snapshots, asking.pods, asking.turn)
                expected = plainly(expected_of, tried)
                picked = picks.pick(asking, tried)
                assert picked is expected
                assert asking.turn == expected_of.turn
                if picked is not None:
                    tried.append(picked)
            if picked is not None:
                picked.began()
                asked.append(picked)


def serving(snapshots: ModuleType, pods: Sequence[Any], turn: int = 0) -> Any:
    server = snapshots.Server(
        "default/server",
        engine="vLLM",
        model=None,
        pods=tuple(pods),
        timeout=None,
        retry_attempts=1,
        retry_interval=0.0,
    )
    server.turn = turn
    return server


def test_a_pod_may_have_any_number_in_flight(twin: Twin) -> None:
    snapshots = twin("routing", "snapshot")
    picks = twin("scheduling", "least_requests").LeastRequests()
    pods = [snapshots.Pod(f"pod-{number}", "default", "p", "192.0.2.1", 8000) for number in range(40)]
    server = serving(snapshots, pods)
    for _ in range(40 * 100):
        picks.pick(server, ()).began()
    for _ in range(1000):
        pods[3].began()
    assert {pod.in_flight for pod in pods} == {100, 1100}
    for _ in range(1001):
        pods[3].ended()
    assert picks.pick(server, ()) is pods[3]
