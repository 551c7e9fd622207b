from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from kthena_fast import scheduling
from kthena_fast.routing.snapshot import Pod, Server


def a_server(*in_flight: int) -> Server:
    pods = []
    for number, count in enumerate(in_flight):
        pod = Pod(f"pod-{number}", "default", f"pod-{number}", "192.0.2.1", 8000)
        pod.in_flight = count
        pods.append(pod)
    return Server(
        "default/server",
        engine="vLLM",
        model=None,
        pods=tuple(pods),
        timeout=None,
        retry_attempts=1,
        retry_interval=0.0,
    )


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
