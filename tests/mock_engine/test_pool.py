"""The pool alone: cancelling in every place of the line."""

import asyncio

from kthena_fast.mock_engine import pool as pools


async def hold(pool: pools.KvPool, tokens: int, until: asyncio.Event) -> None:
    async with pool.room(tokens):
        await until.wait()


async def turn_the_loop() -> None:
    for _ in range(3):
        await asyncio.sleep(0)


async def test_one_that_is_cancelled_and_called_at_the_same_time_passes_its_place_on() -> None:
    pool, first_done, done = pools.KvPool(10, 1), asyncio.Event(), asyncio.Event()
    first, second, third = tasks = [asyncio.create_task(hold(pool, 1, event)) for event in (first_done, done, done)]
    await turn_the_loop()
    assert (pool.running, pool.waiting) == (1, 2)
    first_done.set()
    # Cancelled before the first has woken up to leave: when it does, the line's head is cancelled already.
    second.cancel()
    await turn_the_loop()
    assert (pool.running, pool.waiting) == (1, 0)
    done.set()
    await asyncio.wait(tasks)
    assert (first.cancelled(), second.cancelled(), third.cancelled()) == (False, True, False)
    assert (pool.running, pool.used, pool.waiting) == (0, 0, 0)


async def test_one_that_is_cancelled_after_its_call_passes_its_place_on() -> None:
    pool, done = pools.KvPool(10, 1), asyncio.Event()
    holder = pool.room(1)
    await holder.__aenter__()
    second, third = [asyncio.create_task(hold(pool, 1, done)) for _ in range(2)]
    await turn_the_loop()
    pool.leave(holder)
    second.cancel()
    await turn_the_loop()
    assert (pool.running, pool.waiting) == (1, 0)
    done.set()
    await third
    assert second.cancelled()
    assert (pool.running, pool.used) == (0, 0)


async def test_leaving_the_head_of_the_line_calls_those_behind_who_fit() -> None:
    pool, done = pools.KvPool(10, 8), asyncio.Event()
    tasks = [asyncio.create_task(hold(pool, tokens, done)) for tokens in (5, 9, 5)]
    await turn_the_loop()
    assert (pool.running, pool.waiting) == (1, 2)
    tasks[1].cancel()
    await turn_the_loop()
    assert (pool.running, pool.waiting, pool.usage) == (2, 0, 1)
    done.set()
    await asyncio.wait(tasks)
    assert pool.used == 0
