"""Who may not wait, or no longer: full queues, long waits, and what they are told."""

from tests.queueing.given import Desk, one_server, pause


async def test_a_full_queue_refuses_with_the_time_until_a_turn() -> None:
    desk = Desk(one_server(), max_queue=3)
    visitors = [await desk.come(f"u{number}") for number in range(5)]
    error = visitors[4].error
    assert (error.status, error.code, error.type) == (429, "queue_full", "rate_limit_error")
    assert error.retry_after == 1
    assert desk.metric("kthena_fast_fairness_rejected_total", model="m", reason="queue_full") == 1
    assert desk.waiting() == 3


async def test_a_user_may_not_fill_the_queue_alone() -> None:
    desk = Desk(one_server(), max_queue_per_user=2)
    holder, *greedy = [await desk.come("greedy") for _ in range(4)]
    assert holder.was_called
    error = greedy[2].error
    assert (error.status, error.code) == (429, "user_queue_full")
    assert "2 requests" in error.message
    assert desk.metric("kthena_fast_fairness_rejected_total", reason="user_queue_full") == 1
    other = await desk.come("other")
    assert not other.wait.done()


async def test_retry_after_is_the_pace_of_the_queue_times_those_ahead() -> None:
    desk = Desk(one_server(), max_queue=4)
    visitors = [await desk.come(f"u{number}") for number in range(5)]
    for visitor in visitors[:2]:
        desk.advance(3.0)
        visitor.turn.end()
        await pause()
    for name in ("x", "y"):
        await desk.come(name)
    refused = await desk.come("z")
    # Four wait, and each took three seconds until now.
    assert refused.error.retry_after == 15


async def test_the_time_before_anybody_waited_is_no_pace() -> None:
    desk = Desk(one_server(), max_queue=1)
    holder = await desk.come("a")
    desk.advance(600.0)
    waiting = await desk.come("b")
    desk.advance(1.0)
    holder.turn.end()
    await pause()
    assert waiting.was_called
    await desk.come("c")
    assert (await desk.come("d")).error.retry_after == 2


async def test_when_every_row_of_the_ledger_is_held_the_queue_is_full() -> None:
    desk = Desk(one_server(), users=2)
    await desk.come("a")
    await desk.come("b")
    error = (await desk.come("c")).error
    assert (error.status, error.code, error.retry_after) == (429, "queue_full", 1)
    assert desk.metric("kthena_fast_fairness_rejected_total", reason="queue_full") == 1


async def test_whoever_is_refused_leaves_nothing_behind() -> None:
    desk = Desk(one_server(), max_queue=1, users=3)
    holder, waiting = await desk.come("a"), await desk.come("b")
    for number in range(20):
        assert (await desk.come(f"refused{number}")).error.status == 429
    holder.turn.end()
    await pause()
    waiting.turn.end()
    assert desk.is_as_new()
    assert len(desk.turns.ledger) == 0


async def test_a_wait_that_is_too_long_ends_with_504_that_is_not_to_be_repeated() -> None:
    desk = Desk(one_server(), timeout=60.0)
    holder = await desk.come("holder")
    late = await desk.come("late")
    desk.advance(59.9)
    await pause()
    assert not late.wait.done()
    desk.advance(0.3)
    await pause()
    error = late.error
    assert (error.status, error.code, error.should_retry) == (504, "queue_timeout", False)
    assert 60.0 <= late.exchange.queue_time < 60.3
    assert desk.metric("kthena_fast_fairness_queue_timeouts_total", model="m") == 1
    assert desk.metric("kthena_router_fairness_queue_cancelled_total") == 1
    assert desk.metric("kthena_router_fairness_queue_duration_seconds_count") == 2
    assert desk.waiting() == 0
    holder.turn.end()
    assert desk.is_as_new()


async def test_whoever_timed_out_is_gone_from_the_queue_and_its_size_at_once() -> None:
    """Upstream leaves him in the heap, and in the gauge, until he would be next."""
    desk = Desk(one_server(), timeout=10.0)
    await desk.come("holder")
    for number in range(5):
        await desk.come(f"u{number}")
    desk.advance(10.2)
    await pause()
    assert desk.metric("kthena_router_fairness_queue_size") == 0


async def test_the_timeout_bounds_the_wait_and_not_the_answer() -> None:
    desk = Desk(one_server(), timeout=10.0)
    holder = await desk.come("holder")
    desk.advance(100.0)
    await pause()
    holder.end(output=3)
    assert desk.service("holder") == 6.0
    assert desk.is_as_new()
