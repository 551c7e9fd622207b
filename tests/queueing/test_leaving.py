"""Permits never leak: a request is cancelled at every moment of its life, and the count comes back."""

import asyncio

import pytest

from tests.queueing.given import Desk, one_server, pause


async def test_who_is_cancelled_while_waiting_leaves_at_once() -> None:
    desk = Desk(one_server())
    holder = await desk.come("holder")
    gone, stays = await desk.come("gone"), await desk.come("stays")
    desk.advance(2.0)
    gone.wait.cancel()
    await pause()
    assert gone.wait.cancelled()
    assert desk.waiting() == 1
    assert gone.exchange.queue_time == 2.0
    assert desk.metric("kthena_router_fairness_queue_cancelled_total") == 1
    holder.turn.end()
    await pause()
    stays.turn.end()
    assert desk.is_as_new()


async def test_who_is_cancelled_after_being_called_and_before_waking_gives_the_permit_to_the_next() -> None:
    desk = Desk(one_server())
    holder = await desk.come("holder")
    gone, following = await desk.come("gone", tokens=50), await desk.come("following", tokens=50)
    holder.turn.end()
    assert desk.permits() == 1, "it was called; its task has not run"
    gone.wait.cancel()
    await pause()
    assert gone.wait.cancelled()
    assert following.was_called
    assert desk.service("gone") == 0.0
    following.turn.end()
    assert desk.is_as_new()
    # It had its turn, so it is not among those that left without one.
    assert desk.metric("kthena_router_fairness_queue_cancelled_total") == 0
    assert desk.metric("kthena_router_fairness_queue_dequeue_total") == 3


async def test_who_is_cancelled_before_his_task_ever_ran_was_never_there() -> None:
    desk = Desk(one_server())
    exchange = desk.exchange("u")
    task = asyncio.create_task(desk.take_a_turn(exchange))
    task.cancel()
    await pause()
    assert task.cancelled()
    assert desk.is_as_new()


async def test_who_times_out_and_is_cancelled_at_the_same_moment_leaves_once() -> None:
    desk = Desk(one_server(), timeout=10.0)
    holder = await desk.come("holder")
    gone = await desk.come("gone")
    desk.advance(10.2)
    gone.wait.cancel()
    await pause()
    assert gone.wait.cancelled()
    holder.turn.end()
    assert desk.is_as_new()
    assert desk.metric("kthena_router_fairness_queue_cancelled_total") == 1


async def test_who_is_called_and_times_out_at_the_same_moment_has_his_turn() -> None:
    desk = Desk(one_server(), timeout=10.0)
    holder = await desk.come("holder")
    lucky = await desk.come("lucky")
    holder.turn.end()
    desk.advance(10.2)
    await pause()
    assert lucky.was_called
    assert desk.metric("kthena_fast_fairness_queue_timeouts_total") == 0
    lucky.turn.end()
    assert desk.is_as_new()


async def test_who_timed_out_is_not_called_though_his_task_has_not_run() -> None:
    desk = Desk(one_server(), timeout=10.0)
    holder = await desk.come("holder")
    late = await desk.come("late")
    desk.advance(5.0)
    patient = await desk.come("patient")
    desk.advance(5.2)
    holder.turn.end()
    await pause()
    assert late.error.code == "queue_timeout"
    assert patient.was_called
    patient.turn.end()
    assert desk.is_as_new()


async def test_who_is_cancelled_while_served_gives_the_permit_back() -> None:
    desk = Desk(one_server())

    async def served() -> None:
        exchange = desk.exchange("u")
        turn = await desk.take_a_turn(exchange)
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            turn.end()

    task = asyncio.create_task(served())
    await pause()
    following = await desk.come("following")
    task.cancel()
    await pause()
    assert following.was_called
    following.turn.end()
    assert desk.is_as_new()


@pytest.mark.parametrize("moment", range(8))
async def test_whatever_step_a_request_is_cancelled_at_nothing_is_left_of_it(moment: int) -> None:
    """A whole life, cut off after so many turns of the loop."""
    desk = Desk(one_server(), timeout=10.0)
    holder = await desk.come("holder")

    async def live() -> None:
        exchange = desk.exchange("u", tokens=10)
        turn = await desk.take_a_turn(exchange)
        try:
            for _ in range(3):
                exchange.sent = True
                turn.on_events(1)
                await asyncio.sleep(0)
        finally:
            turn.end()

    task = asyncio.create_task(live())
    for step in range(moment):
        if step == 2:
            holder.turn.end()
        await asyncio.sleep(0)
    task.cancel()
    if moment <= 2:
        holder.turn.end()
    await pause()
    assert task.done()
    assert desk.is_as_new()


async def test_ending_twice_gives_one_permit_back() -> None:
    desk = Desk(one_server(), permits=2)
    first, second = await desk.come("a"), await desk.come("b")
    first.turn.end()
    first.turn.end()
    assert desk.permits() == 1
    second.turn.end()
    assert desk.permits() == 0


async def test_an_account_that_cannot_be_settled_still_gives_the_permit_back() -> None:
    desk = Desk(one_server())
    holder, following = await desk.come("a"), await desk.come("b")

    def broken() -> float:
        raise OSError("no clock")

    terms = desk.turns.terms
    wall, terms.wall = terms.wall, broken
    with pytest.raises(OSError, match="no clock"):
        holder.turn.end()
    terms.wall = wall
    assert desk.permits() == 0
    desk.turns.call_all()
    await pause()
    assert following.was_called


async def test_a_thousand_that_leave_cost_those_that_stay_nothing() -> None:
    desk = Desk(one_server(), max_queue=5000, max_queue_per_user=5000)
    holder = await desk.come("holder")
    crowd = [await desk.come("crowd", tokens=10) for _ in range(1000)]
    patient = await desk.come("patient", tokens=900)
    for visitor in crowd:
        visitor.wait.cancel()
    await pause()
    assert desk.waiting() == 1
    holder.turn.end()
    await pause()
    assert patient.was_called
    assert desk.service("crowd") == 0.0
    patient.turn.end()
    assert desk.is_as_new()
