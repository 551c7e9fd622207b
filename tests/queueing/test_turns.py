"""Who is called: the order, the permits, and what they have to do with each other."""

import itertools

import pytest

from kthena_fast import errors
from kthena_fast.queueing import shares
from kthena_fast.queueing.gates import Adaptive
from kthena_fast.routing.snapshot import Snapshot
from tests.queueing.given import MODEL, Desk, one_server, order, pause
from tests.routing import given

VIP = (b"x-tier", b"vip")


def two_rules() -> Snapshot:
    """`m` leads to `fast` for those with a header and to `slow` for the others."""
    when = {"headers": {"x-tier": {"exact": "vip"}}}
    return given.snapshot(
        given.route("r", given.to("fast", when=when), given.to("slow")),
        given.server("fast", "10.0.0.1:8000"),
        given.server("slow", "10.0.0.2:8000"),
    )


def two_names() -> Snapshot:
    """`m` and `n` on one server."""
    return given.snapshot(
        given.route("r", given.to("s")), given.route("q", given.to("s"), model="n"), given.server("s", "10.0.0.1:8000")
    )


async def test_a_request_goes_at_once_while_there_is_room() -> None:
    desk = Desk(one_server(), permits=2)
    first, second, third = [await desk.come("alice") for _ in range(3)]
    assert first.was_called
    assert second.was_called
    assert not third.was_called
    assert first.exchange.queue_time == 0.0
    assert desk.permits() == 2


async def test_the_least_served_goes_first_however_late_it_came() -> None:
    desk = Desk(one_server())
    await served(desk, heavy=300, light=10)
    holder = await desk.come("holder")
    waiting = [await desk.come(user) for user in ("heavy", "light", "nobody")]
    assert await order(desk, holder, *waiting) == ["holder", "nobody", "light", "heavy"]


async def test_a_permit_that_becomes_free_goes_to_the_best_of_that_moment() -> None:
    """Upstream pops first and waits for the permit after, so a better latecomer cannot overtake."""
    desk = Desk(one_server())
    await served(desk, heavy=300)
    holder = await desk.come("holder")
    heavy = await desk.come("heavy")
    desk.advance(30.0)
    late = await desk.come("late")
    holder.turn.end()
    await pause()
    assert late.was_called
    assert not heavy.was_called


async def test_ties_go_to_the_earlier_arrival() -> None:
    desk = Desk(one_server())
    visitors = [await desk.come(user) for user in ("a", "b", "c", "d")]
    assert await order(desk, *visitors) == ["a", "b", "c", "d"]


async def test_a_users_own_requests_never_overtake_each_other() -> None:
    desk = Desk(one_server())
    holder = await desk.come("holder")
    first, second, third = [await desk.come("alice", tokens=tokens) for tokens in (900, 10, 0)]
    for visitor, follower in ((holder, first), (first, second), (second, third)):
        visitor.end(input=5, output=5)
        await pause()
        assert follower.was_called
    assert not desk.waiting()


async def test_the_order_is_strict_where_upstreams_is_cyclic() -> None:
    """A1(1,100), B(2,50), A2(3,0): upstream holds A1 < A2 < B < A1, since a request keeps the priority it came with."""
    desk = Desk(one_server())
    await served(desk, a=100, b=50)
    holder = await desk.come("holder")
    first, other, second = [await desk.come(user) for user in ("a", "b", "a")]
    assert await order(desk, holder, first, other, second) == ["holder", "b", "a", "a"]


async def test_anonymous_users_are_one_user_like_any_other() -> None:
    """Upstream puts requests without a user last, and first once their priority is refreshed."""
    desk = Desk(one_server())
    await served(desk, anonymous=100, alice=200)
    holder = await desk.come("holder")
    waiting = [await desk.come(user) for user in ("alice", "anonymous")]
    assert await order(desk, holder, *waiting) == ["holder", "anonymous", "alice"]


async def test_a_charge_moves_who_waits_at_once() -> None:
    desk = Desk(one_server(), permits=2)
    streaming = await desk.come("alice")
    holder = await desk.come("holder")
    waiting = [await desk.come(user) for user in ("alice", "bob")]
    streaming.turn.on_events(50)
    holder.turn.end()
    await pause()
    assert waiting[1].was_called
    assert not waiting[0].was_called


async def test_what_left_the_window_no_longer_counts() -> None:
    desk = Desk(one_server(), timeout=1000.0)
    await served(desk, alice=500)
    desk.advance(200.0)
    await served(desk, bob=100)
    holder = await desk.come("holder")
    waiting = [await desk.come(user) for user in ("bob", "alice")]
    desk.advance(110.0)
    assert await order(desk, holder, *waiting) == ["holder", "alice", "bob"]


async def test_a_burst_of_a_new_user_is_not_served_before_everyone() -> None:
    """Upstream: all of a fresh user's burst has priority 0, and all of it goes first."""
    desk = Desk(one_server())
    await served(desk, regular=10)
    holder = await desk.come("holder")
    burst = [await desk.come("burst", tokens=8) for _ in range(4)]
    regular = await desk.come("regular")
    holder.turn.end()
    for visitor in burst[:3]:
        await pause()
        assert visitor.was_called
        assert not regular.was_called
        visitor.end()
    await pause()
    assert regular.was_called, "24 tokens of input were charged to the burst, 20 of output to the regular user"


async def test_shares_divide_service_when_users_are_compared() -> None:
    desk = Desk(one_server())
    desk.turns.obey(shares.Shares({"big": shares.Standing(3.0, 0)}), desk.turns.tariff)
    await served(desk, big=150, small=60)
    holder = await desk.come("holder")
    waiting = [await desk.come(user) for user in ("small", "big")]
    assert await order(desk, holder, *waiting) == ["holder", "big", "small"]
    assert waiting[1].exchange.share_at_admission == 3.0


async def test_the_lower_class_is_served_strictly_first() -> None:
    desk = Desk(one_server())
    desk.turns.obey(shares.Shares({"low": shares.Standing(1.0, 0)}, shares.Standing(1.0, 1)), desk.turns.tariff)
    await served(desk, low=5000)
    holder = await desk.come("holder")
    waiting = [await desk.come(user) for user in ("anyone", "low")]
    assert await order(desk, holder, *waiting) == ["holder", "low", "anyone"]


async def test_new_shares_move_those_who_already_wait() -> None:
    desk = Desk(one_server())
    await served(desk, a=100, b=200)
    holder = await desk.come("holder")
    waiting = [await desk.come(user) for user in ("a", "b")]
    desk.turns.obey(shares.Shares({"b": shares.Standing(4.0, 0)}), desk.turns.tariff)
    assert await order(desk, holder, *waiting) == ["holder", "b", "a"]


async def test_who_comes_back_from_idle_has_no_credit_under_vtc() -> None:
    desk = Desk(one_server(), policy="vtc", permits=1)
    busy = await desk.come("busy")
    queued = [await desk.come("busy") for _ in range(4)]
    busy.end(output=500)
    await pause()
    back = [await desk.come("back") for _ in range(4)]
    called = []
    for _ in range(4):
        (now,) = [visitor for visitor in (*queued, *back) if visitor.was_called and not visitor.exchange.sent]
        called.append(now.exchange.user)
        now.end(output=10)
        await pause()
    assert sorted(called[:2]) == sorted(called[2:4]) == ["back", "busy"]


async def test_two_names_on_one_server_share_its_permits() -> None:
    desk = Desk(two_names())
    first = await desk.come("a", model="m")
    second = await desk.come("b", model="n")
    assert first.was_called
    assert not second.was_called
    first.turn.end()
    await pause()
    assert second.was_called


async def test_the_best_among_all_names_of_a_server_goes_first() -> None:
    desk = Desk(two_names())
    busy = await desk.come("a", model="m")
    busy.end(output=100)
    holder = await desk.come("holder")
    waiting = [await desk.come("a", model="m"), await desk.come("b", model="n")]
    assert await order(desk, holder, *waiting) == ["holder", "b", "a"]


async def test_rules_that_lead_to_different_servers_do_not_block_each_other() -> None:
    """Upstream has one queue for a model name, whose head waits for everyone."""
    desk = Desk(two_rules())
    slow = [await desk.come("a") for _ in range(3)]
    fast = await desk.come("b", headers=[VIP])
    assert slow[0].server == "default/slow"
    assert not slow[1].was_called
    assert fast.server == "default/fast"


async def test_rules_that_lead_to_different_servers_do_not_block_each_other_at_so_many_a_second_either() -> None:
    desk = Desk(two_rules(), max_qps=10)
    (await desk.come("x")).turn.end()
    await served_nothing_yet(desk)
    slow = await desk.come("a")
    fast = await desk.come("b", headers=[VIP])
    # The pods of the slow rule leave; whoever waits for them must not hold up the others.
    desk.change(
        given.snapshot(
            *desk.snapshot.objects.routes.values(), given.server("fast", "10.0.0.1:8000"), previous=desk.snapshot
        )
    )
    desk.advance(0.2)
    await pause()
    assert fast.was_called
    assert not slow.was_called


async def test_targets_are_drawn_by_weight_among_those_with_room() -> None:
    points = iter([0.05, 0.95, 0.95])
    desk = Desk(
        given.snapshot(
            given.route("r", given.to(a=10, b=90)),
            given.server("a", "10.0.0.1:8000"),
            given.server("b", "10.0.0.2:8000"),
        ),
        permits=2,
        draw=lambda: next(points),
    )
    visitors = [await desk.come("u") for _ in range(5)]
    # The fourth takes what is left without a draw, for b is full; the fifth waits for either.
    assert [visitor.server for visitor in visitors[:4]] == ["default/a", "default/b", "default/b", "default/a"]
    visitors[0].turn.end()
    await pause()
    assert visitors[4].server == "default/a"


async def test_weighted_traffic_keeps_its_weights_over_many_requests() -> None:
    points = [point / 100 for point in range(100)]
    desk = Desk(
        given.snapshot(
            given.route("r", given.to(a=10, b=90)),
            given.server("a", "10.0.0.1:8000"),
            given.server("b", "10.0.0.2:8000"),
        ),
        permits=1000,
        draw=points.pop,
    )
    visitors = [await desk.come("u") for _ in range(100)]
    went = [visitor.server for visitor in visitors]
    assert (went.count("default/a"), went.count("default/b")) == (10, 90)


async def test_a_target_of_weight_nothing_gets_nothing() -> None:
    desk = Desk(
        given.snapshot(
            given.route("r", given.to(a=0, b=1)),
            given.server("a", "10.0.0.1:8000"),
            given.server("b", "10.0.0.2:8000"),
        )
    )
    first, second = await desk.come("u"), await desk.come("u")
    assert first.server == "default/b"
    assert not second.was_called


async def test_a_limit_that_grows_calls_those_who_wait() -> None:
    desk = Desk(one_server(), limit=Adaptive(1))
    first, second = await desk.come("a"), await desk.come("b")
    (pod,) = desk.snapshot.pods.values()
    pod.in_flight = 1
    desk.turns.on_load(pod, 0.0)
    await pause()
    assert first.was_called
    assert second.was_called


async def test_a_pod_that_did_not_say_changes_nothing() -> None:
    desk = Desk(one_server(), limit=Adaptive(1))
    first, second = await desk.come("a"), await desk.come("b")
    (pod,) = desk.snapshot.pods.values()
    pod.in_flight = 1
    desk.turns.on_load(pod, None)
    await pause()
    assert first.was_called
    assert not second.was_called


async def test_a_model_is_given_its_turns_a_second_even_if_timers_are_late() -> None:
    desk = Desk(one_server(), max_qps=100)
    visitors = [await desk.come("u") for _ in range(60)]
    called = []
    for _ in range(50):
        desk.advance(0.01)
        await pause()
        called.append(sum(visitor.was_called for visitor in visitors))
    assert called[-1] in {50, 51}
    assert all(after - before <= 1 for before, after in itertools.pairwise(called))


async def test_so_many_a_second_is_no_limit_on_how_many_at_once() -> None:
    desk = Desk(one_server(), max_qps=100)
    visitors = [await desk.come("u") for _ in range(10)]
    desk.advance(1.0)
    await pause()
    assert all(visitor.was_called for visitor in visitors)


async def test_a_gate_without_pods_sets_no_timer_that_fires_for_ever() -> None:
    desk = Desk(one_server(), max_qps=100)
    (await desk.come("u")).turn.end()
    waiting = await desk.come("u")
    there = desk.snapshot
    desk.change(given.snapshot(*there.objects.routes.values(), previous=there))
    desk.advance(0.02)
    before = desk.clock.timers
    desk.advance(1.0)
    assert desk.clock.timers == before == 1, "the deadline of the wait alone"
    desk.change(there)
    await pause()
    assert waiting.was_called


async def test_what_the_record_says_of_the_wait() -> None:
    desk = Desk(one_server(), weights=(1.0, 2.0, 0.0))
    await served(desk, alice=30)
    holder = await desk.come("holder", tokens=7)
    first, second = await desk.come("bob"), await desk.come("alice")
    assert (first.exchange.queue_position, second.exchange.queue_position) == (1, 2)
    assert holder.exchange.queue_position == 0
    assert holder.exchange.usage_at_admission == 0.0, "without its own input"
    desk.advance(1.5)
    holder.turn.end()
    await pause()
    assert first.exchange.queue_time == 1.5
    assert second.exchange.usage_at_admission == 60.0
    assert second.exchange.share_at_admission == 1.0
    assert first.exchange.policy == "window"


async def test_among_many_users_the_place_is_that_of_the_newest() -> None:
    desk = Desk(one_server(), max_queue=1000)
    await desk.come("holder")
    for number in range(256):
        await desk.come(f"u{number}")
    newest = await desk.come("newest")
    assert newest.exchange.queue_position == 257


async def served(desk: Desk, **outputs: int) -> None:
    """Each of these users had an answer of so many tokens, and nothing else."""
    for user, output in outputs.items():
        visitor = await desk.come(user)
        assert visitor.was_called
        visitor.end(output=output)
    assert desk.is_as_new()


async def served_nothing_yet(desk: Desk) -> None:
    assert desk.service("x", MODEL) == 0


@pytest.mark.parametrize("policy", ["window", "vtc"])
async def test_who_never_had_to_wait_leaves_nothing_behind(policy: str) -> None:
    desk = Desk(one_server(), policy=policy)
    for _ in range(10):
        (await desk.come("u")).end(output=1)
    assert desk.is_as_new()


async def test_who_may_go_at_once_awaits_nothing() -> None:
    desk = Desk(one_server())
    exchange = desk.exchange("u", tokens=3)
    turn = desk.turns.enter(exchange, desk.find(exchange), desk.clock.time())
    assert turn.server is not None
    assert turn.server.key == "default/s"
    assert (turn.is_called, desk.permits(), desk.service("u")) == (True, 1, 3.0)
    turn.end()
    assert desk.is_as_new()


async def test_nobody_begins_to_wait_for_a_server_without_pods() -> None:
    desk = Desk(one_server())
    exchange = desk.exchange("u")
    match = desk.find(exchange)
    desk.change(given.snapshot(*desk.snapshot.objects.routes.values(), previous=desk.snapshot))
    with pytest.raises(errors.GatewayError) as caught:
        desk.turns.enter(exchange, match, desk.clock.time())
    assert caught.value.code == "no_ready_pod"
    assert exchange.policy == "", "it was never in a queue"
    assert desk.is_as_new()


async def test_who_enters_and_never_waits_leaves_as_he_ends() -> None:
    desk = Desk(one_server())
    holder = await desk.come("holder")
    exchange = desk.exchange("u")
    turn = desk.turns.enter(exchange, desk.find(exchange), desk.clock.time())
    assert (turn.server, desk.waiting()) == (None, 1)
    turn.end()
    assert desk.waiting() == 0
    holder.turn.end()
    assert desk.is_as_new()
