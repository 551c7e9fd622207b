"""What queues tell: metrics, and the page of `/debug/fairness`."""

import orjson
import pytest

from kthena_fast.queueing import report, shares
from kthena_fast.telemetry import metrics
from tests.queueing.given import WALL, Desk, one_server, pause
from tests.routing import given


async def test_a_wait_is_seen_from_its_beginning_to_its_end() -> None:
    desk = Desk(one_server())
    holder, waiting = await desk.come("a"), await desk.come("b")
    assert desk.metric("kthena_router_fairness_queue_size", model="m", user_id="_all") == 1
    assert desk.metric("kthena_router_fairness_queue_inflight", model="m") == 1
    desk.advance(0.7)
    holder.turn.end()
    await pause()
    assert desk.metric("kthena_router_fairness_queue_size") == 0
    assert desk.metric("kthena_router_fairness_queue_dequeue_total", model="m", user_id="_all") == 2
    assert desk.metric("kthena_router_fairness_queue_duration_seconds_count", model="m", user_id="_all") == 2
    assert desk.metric("kthena_router_fairness_queue_duration_seconds_sum") == pytest.approx(0.7)
    waiting.turn.end()
    assert desk.metric("kthena_router_fairness_queue_inflight") == 0


async def test_charges_that_move_who_waits_are_counted() -> None:
    desk = Desk(one_server(), permits=2)
    streaming, holder = await desk.come("a"), await desk.come("holder")
    assert desk.metric("kthena_router_fairness_queue_priority_refresh_total") == 0
    streaming.turn.on_events(1)
    assert desk.metric("kthena_router_fairness_queue_priority_refresh_total") == 0, "nobody waits"
    waiting = await desk.come("a")
    for _ in range(3):
        streaming.turn.on_events(1)
    assert desk.metric("kthena_router_fairness_queue_priority_refresh_total", model="m") == 3
    holder.turn.on_events(5)
    assert desk.metric("kthena_router_fairness_queue_priority_refresh_total") == 3, "who is charged does not wait"
    # The count survives the queue.
    waiting.wait.cancel()
    await pause()
    assert desk.metric("kthena_router_fairness_queue_priority_refresh_total") == 3


async def test_turns_of_the_ring_are_counted() -> None:
    desk = Desk(one_server(), timeout=1000.0)
    desk.turns.start()
    (await desk.come("a")).end(output=1)
    width = desk.turns.ledger.width
    desk.advance(10 * width)
    assert desk.metric("kthena_router_fairness_queue_heap_rebuild_total", model="m") == 10
    desk.turns.stop()
    desk.advance(10 * width)
    assert desk.metric("kthena_router_fairness_queue_heap_rebuild_total", model="m") == 10


async def test_what_a_queue_counted_is_told_when_another_takes_its_place() -> None:
    desk = Desk(one_server(), permits=2, timeout=1000.0)
    desk.turns.start()
    streaming, _ = await desk.come("a"), await desk.come("holder")
    await desk.come("a")
    streaming.turn.on_events(3)
    desk.advance(10 * desk.turns.ledger.width)
    desk.turns.stop()
    servers = given.server("s", "10.0.0.1:8000"), given.server("t", "10.0.0.2:8000")
    desk.change(given.snapshot(given.route("r", given.to(s=1, t=1)), *servers))
    assert desk.metric("kthena_router_fairness_queue_heap_rebuild_total", model="m") == 10
    assert desk.metric("kthena_router_fairness_queue_priority_refresh_total", model="m") == 1


async def test_sweeping_forgets_users_one_window_after_their_last_charge() -> None:
    desk = Desk(one_server())
    desk.turns.start()
    for number in range(50):
        (await desk.come(f"u{number}")).end(output=1)
    desk.advance(299.0)
    assert len(desk.turns.ledger) == 50
    desk.advance(11.0)
    await pause()
    assert len(desk.turns.ledger) == 0
    desk.turns.stop()


async def test_how_service_is_spread() -> None:
    desk = Desk(one_server())
    for user, output in (("a", 100), ("b", 50), ("c", 50)):
        (await desk.come(user)).end(output=output)
    assert desk.metric("kthena_fast_fairness_users", model="m") == 3
    assert desk.metric("kthena_fast_fairness_jain_index", model="m") == pytest.approx(400**2 / (3 * 60_000))
    assert desk.metric("kthena_fast_fairness_top_user_tokens", model="m", rank="1", user="a") == 200.0
    assert desk.metric("kthena_fast_fairness_top_user_tokens", model="m", rank="2") == 100.0
    assert desk.metric("kthena_fast_fairness_max_gap_tokens", model="m") == 0.0
    await desk.come("holder")
    for user in ("a", "b", "d"):
        await desk.come(user)
    assert desk.metric("kthena_fast_fairness_max_gap_tokens", model="m") == 200.0


async def test_users_forgotten_for_others_are_counted() -> None:
    desk = Desk(one_server(), users=3)
    for number in range(5):
        (await desk.come(f"u{number}")).end(output=number + 1)
    assert desk.metric("kthena_fast_fairness_evictions_total") == 2
    assert desk.service("u4") == 10.0


async def test_the_metrics_of_a_model_that_is_gone_are_gone() -> None:
    desk = Desk(one_server())
    (await desk.come("a")).end(output=1)
    assert desk.metric("kthena_fast_fairness_users", model="m") == 1
    desk.change(given.snapshot(previous=desk.snapshot))
    desk.registry.retain({"model": ()})
    for name in (
        "kthena_fast_fairness_users",
        "kthena_fast_fairness_jain_index",
        "kthena_router_fairness_queue_dequeue_total",
    ):
        assert desk.metric(name, model="m") == 0


def test_metrics_have_the_names_that_dashboards_know() -> None:
    names = {metric.name: metric.labels for metric in metrics.ALL if "fairness" in metric.name}
    all_users = ("model", "user_id")
    assert names == {
        "kthena_router_fairness_queue_size": all_users,
        "kthena_router_fairness_queue_duration_seconds": all_users,
        "kthena_router_fairness_queue_cancelled_total": all_users,
        "kthena_router_fairness_queue_dequeue_total": all_users,
        "kthena_router_fairness_queue_inflight": ("model",),
        "kthena_router_fairness_queue_priority_refresh_total": ("model",),
        "kthena_router_fairness_queue_heap_rebuild_total": ("model",),
        "kthena_fast_fairness_jain_index": ("model",),
        "kthena_fast_fairness_max_gap_tokens": ("model",),
        "kthena_fast_fairness_users": ("model",),
        "kthena_fast_fairness_top_user_tokens": ("model", "rank", "user"),
        "kthena_fast_fairness_evictions_total": (),
        "kthena_fast_fairness_rejected_total": ("model", "reason"),
        "kthena_fast_fairness_queue_timeouts_total": ("model",),
    }


async def test_the_page_shows_the_queue_as_it_stands() -> None:
    desk = Desk(one_server())
    desk.turns.obey(shares.Shares({"big": shares.Standing(2.0, 1)}), desk.turns.tariff)
    (await desk.come("big")).end(output=100)
    await desk.come("holder")
    for user in ("big", "big", "small"):
        await desk.come(user)
    page = report.document(desk.turns, desk.clock.time())
    orjson.dumps(page)
    assert page["policy"] == "window"
    assert page["windowSeconds"] == 300.0
    (queue,) = page["queues"]
    assert (queue["model"], queue["waiting"]) == ("m", 3)
    assert queue["targets"] == [{"name": "default/s", "weight": 100}]
    assert queue["users"] == [
        {"user": "small", "class": 0, "share": 1.0, "usage": 0.0, "key": 0.0, "waiting": 1, "in_flight": 0},
        {"user": "big", "class": 1, "share": 2.0, "usage": 200.0, "key": 100.0, "waiting": 2, "in_flight": 0},
    ]
    assert page["permits"] == [{"modelServer": "default/s", "out": 1, "limit": 1}]


async def test_the_page_can_be_asked_for_one_user_of_one_model() -> None:
    desk = Desk(one_server())
    (await desk.come("a")).end(output=100)
    holder = await desk.come("a")
    for user in ("a", "b"):
        await desk.come(user)
    page = report.document(desk.turns, desk.clock.time(), "m", "a")
    assert [entry["user"] for queue in page["queues"] for entry in queue["users"]] == ["a"]
    assert page["service"] == [{"model": "m", "user": "a", "usage": 200.0, "share": 1.0, "class": 0, "inFlight": 1}]
    assert report.document(desk.turns, desk.clock.time(), "other")["queues"] == []
    assert report.document(desk.turns, desk.clock.time(), "m", "nobody")["service"] == []
    assert len(desk.turns.ledger) == 2, "asking for a user makes none"
    holder.turn.end()


async def test_a_user_without_a_request_has_none_in_flight_however_often_one_asks() -> None:
    desk = Desk(one_server())
    (await desk.come("a")).end(output=100)
    for _ in range(3):
        (entry,) = report.document(desk.turns, desk.clock.time(), "m", "a")["service"]
        assert (entry["usage"], entry["inFlight"]) == (200.0, 0)


async def test_the_page_finds_a_user_however_many_are_before_him(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report, "MOST_SHOWN", 2)
    desk = Desk(one_server())
    await desk.come("holder")
    for number in range(5):
        await desk.come(f"u{number}")
    page = report.document(desk.turns, desk.clock.time())
    assert len(page["queues"][0]["users"]) == 2
    page = report.document(desk.turns, desk.clock.time(), None, "u4")
    assert [entry["user"] for entry in page["queues"][0]["users"]] == ["u4"]


async def test_the_clock_of_the_desk_is_far_from_zero() -> None:
    assert Desk(one_server()).turns.wall() == WALL
