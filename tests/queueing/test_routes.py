"""Routes and pods change while requests wait."""

import gc
import weakref

from kthena_fast.routing.snapshot import Snapshot
from tests.queueing.given import Desk, one_server, order, pause
from tests.routing import given

VIP = (b"x-tier", b"vip")


def routed(*names: str, before: Snapshot, **servers: str) -> Snapshot:
    return given.snapshot(
        given.route("r", given.to(*names)),
        *(given.server(name, endpoints) for name, endpoints in servers.items()),
        previous=before,
    )


async def test_who_waits_for_a_model_that_is_removed_is_answered_404() -> None:
    """Upstream answers 503 and says that the client has disconnected."""
    desk = Desk(one_server())
    holder, waiting = await desk.come("a"), await desk.come("b")
    desk.change(given.snapshot(given.server("s", "10.0.0.1:8000"), previous=desk.snapshot))
    await pause()
    assert (waiting.error.status, waiting.error.code) == (404, "model_not_found")
    assert not desk.turns.queues
    holder.turn.end()
    assert desk.is_as_new()


async def test_who_waits_for_targets_that_are_no_more_is_matched_anew() -> None:
    desk = Desk(one_server())
    holder, waiting = await desk.come("a"), await desk.come("b")
    desk.change(routed("t", before=desk.snapshot, s="10.0.0.1:8000", t="10.0.0.2:8000"))
    await pause()
    assert waiting.server == "default/t"
    assert (desk.permits("default/s"), desk.permits("default/t")) == (1, 1)
    holder.turn.end()
    waiting.turn.end()
    assert desk.is_as_new()


async def test_who_is_matched_anew_keeps_his_place_and_his_time() -> None:
    desk = Desk(one_server(), timeout=60.0)
    holder = await desk.come("holder")
    first = [await desk.come("a") for _ in range(3)]
    desk.advance(50.0)
    there = desk.snapshot
    desk.change(routed("t", before=there, s="10.0.0.1:8000", t="10.0.0.2:8000"))
    # Somebody who comes before their tasks have run does not come before them.
    later = await desk.come("a")
    assert first[0].was_called
    first[0].end()
    await pause()
    assert first[1].was_called
    assert not later.was_called
    desk.advance(10.2)
    await pause()
    assert first[2].error.code == "queue_timeout"
    assert not later.wait.done()
    holder.turn.end()
    first[1].turn.end()
    await pause()
    later.turn.end()
    assert desk.is_as_new()


async def test_whoever_is_least_served_is_first_in_the_new_queue_too() -> None:
    for policy in ("window", "vtc"):
        desk = Desk(one_server(), policy=policy)
        holder = await desk.come("heavy")
        waiting = [await desk.come(user) for user in ("heavy", "light")]
        holder.turn.exchange.sent = True
        holder.turn.on_events(100)
        desk.change(routed("t", before=desk.snapshot, s="10.0.0.1:8000", t="10.0.0.2:8000"))
        await pause()
        assert not waiting[0].was_called
        assert await order(desk, waiting[1], waiting[0]) == ["light", "heavy"]


async def test_who_waits_for_pods_that_left_waits_for_them_to_come_back() -> None:
    desk = Desk(one_server())
    holder, waiting = await desk.come("a"), await desk.come("b")
    there = desk.snapshot
    desk.change(given.snapshot(given.route("r", given.to("s")), previous=desk.snapshot))
    holder.turn.end()
    await pause()
    assert not waiting.wait.done()
    desk.change(there)
    await pause()
    assert waiting.was_called
    waiting.turn.end()
    assert desk.is_as_new()


async def test_who_waits_for_pods_that_left_goes_where_else_he_may() -> None:
    when = {"headers": {"x-tier": {"exact": "vip"}}}
    route = given.route("r", given.to("fast", when=when), given.to("slow"))
    fast, slow = given.server("fast", "10.0.0.1:8000"), given.server("slow", "10.0.0.2:8000")
    desk = Desk(given.snapshot(route, fast, slow))
    holder = await desk.come("a", headers=[VIP])
    waiting = [await desk.come("b", headers=[VIP]) for _ in range(2)]
    desk.change(given.snapshot(route, slow, previous=desk.snapshot))
    await pause()
    assert waiting[0].server == "default/slow"
    assert not waiting[1].wait.done()
    for visitor in (holder, *waiting):
        visitor.turn.end()
        await pause()
    assert desk.is_as_new()


async def test_more_pods_do_not_change_what_a_server_may_have_at_once() -> None:
    desk = Desk(one_server(), permits=1)
    first, second = await desk.come("a"), await desk.come("b")
    desk.change(routed("s", before=desk.snapshot, s="10.0.0.1:8000,10.0.0.2:8000"))
    await pause()
    assert first.was_called
    assert not second.was_called


async def test_permits_of_a_server_that_left_are_counted_until_they_are_back() -> None:
    desk = Desk(one_server())
    holder = await desk.come("a")
    there = desk.snapshot
    desk.change(given.snapshot(previous=there))
    desk.change(there)
    waiting = await desk.come("b")
    assert not waiting.was_called, "the engine still works on the first"
    holder.turn.end()
    await pause()
    assert waiting.was_called


async def test_queues_gates_and_ratios_of_what_is_gone_are_forgotten() -> None:
    desk = Desk(one_server())
    for number in range(20):
        desk.change(
            given.snapshot(
                given.route("r", given.to(f"s{number}"), model=f"m{number}"),
                given.server(f"s{number}", "10.0.0.1:8000"),
                previous=desk.snapshot,
            )
        )
        (await desk.come("u", model=f"m{number}")).end()
    assert len(desk.turns.queues) == len(desk.turns.server_gates) == len(desk.turns._ratios) == 1


async def test_a_match_whose_queue_is_closed_is_freed_without_the_collector() -> None:
    desk = Desk(one_server())
    match = desk.snapshot.match("m", "/v1/chat/completions", [])
    assert match is not None
    kept = match.names = Noticed()
    freed = weakref.ref(kept)
    (await desk.come("a")).end()
    del match, kept
    gc.collect()
    gc.disable()
    try:
        desk.change(routed("t", before=desk.snapshot, t="10.0.0.2:8000"))
        assert freed() is None
    finally:
        gc.enable()


class Noticed:
    """Somebody can see whether it is still there."""


async def test_a_queue_that_is_closed_is_no_neighbour_of_those_that_stay() -> None:
    both = given.snapshot(
        given.route("r", given.to("s")), given.route("q", given.to("s"), model="n"), given.server("s", "10.0.0.1:8000")
    )
    desk = Desk(both)
    (await desk.come("a", model="m")).turn.end()
    (await desk.come("a", model="n")).turn.end()
    desk.change(one_server(previous=both))
    (queue,) = desk.turns.queues.values()
    assert queue.gates[0][1].queues == {queue}


async def test_a_change_that_concerns_nobody_who_waits_moves_nobody() -> None:
    desk = Desk(one_server())
    holder = await desk.come("holder")
    waiting = [await desk.come(user) for user in ("a", "b")]
    (queue,) = desk.turns.queues.values()
    desk.change(
        given.snapshot(
            *desk.snapshot.objects.routes.values(),
            *desk.snapshot.objects.servers.values(),
            given.route("other", given.to("s"), model="n"),
            previous=desk.snapshot,
        )
    )
    assert list(desk.turns.queues.values()) == [queue]
    assert await order(desk, holder, *waiting) == ["holder", "a", "b"]
