"""Where pieces of streams come densely, a look at the connections is followed by a nap: several pieces, one waking.

The clock stands still unless a test says otherwise, so any number of pieces is dense; and what happens during a nap is
what the test has happen then.
"""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from kthena_fast.transport import _sockets_py
from tests.conftest import CORES
from tests.transport.ends import Many, Told, turns, twin

NAP = 0.5


class Streams(Many):
    """As many as a test needs, and their keeper, whose naps are written down."""

    def __init__(self, module: Any, nap: float) -> None:
        self.naps: list[float] = []
        self.during: Callable[[], object] = lambda: None
        self.now = 0.0
        loop = asyncio.get_running_loop()
        super().__init__(module.Sockets(loop, nap, clock=lambda: self.now, sleep=self._sleep))

    def _sleep(self, nap: float) -> None:
        self.naps.append(nap)
        self.during()

    async def open(self, count: int, *, patient: bool = True) -> None:
        for stream in await self.open_each(count, Told):
            stream.is_patient = patient

    def send(self, *numbers: int) -> None:
        for number in numbers:
            self.peers[number].send(b"x")

    def look(self) -> list[int]:
        """As the loop has it look, once; how much each stream was told so far."""
        self.sockets._on_ready()
        return [len(told.data) for told in self.told]

    def become_dense(self) -> None:
        for _ in range(_sockets_py.COUNTED):
            self.send(0)
            self.look()
        self.naps.clear()


@pytest.fixture(params=CORES)
async def streams(request: pytest.FixtureRequest) -> AsyncIterator[Streams]:
    with twin(request.param) as module:
        made = Streams(module, NAP)
        yield made
        await made.close()


async def test_what_comes_during_a_nap_is_served_behind_it(streams: Streams) -> None:
    await streams.open(3)
    streams.become_dense()
    before = len(streams.told[0].data)
    later = iter([(1, 2), ()])
    streams.during = lambda: streams.send(*next(later))
    streams.send(0)
    assert streams.look() == [before + 1, 1, 1]
    assert streams.naps == [NAP, NAP], "the second had nothing, and was the last"
    assert streams.look() == [before + 1, 1, 1]
    assert len(streams.naps) == 2, "without anything nobody sleeps"


async def test_the_loop_has_its_turn_however_long_they_are_dense(streams: Streams) -> None:
    await streams.open(1)
    streams.become_dense()
    before = len(streams.told[0].data)
    streams.during = lambda: streams.send(0)
    streams.send(0)
    assert streams.look() == [before + _sockets_py.MOST_NAPS + 1]
    assert len(streams.naps) == _sockets_py.MOST_NAPS
    streams.during = lambda: None
    streams.send(0)
    await turns()
    assert len(streams.told[0].data) == before + _sockets_py.MOST_NAPS + 2, "nor does it wait for the kernel then"


async def test_who_cannot_wait_is_waited_for_with_no_nap(streams: Streams) -> None:
    await streams.open(1)
    await streams.open(1, patient=False)
    streams.become_dense()
    streams.send(0, 1)
    streams.look()
    streams.send(1)
    streams.look()
    assert not streams.naps
    streams.during = lambda: streams.send(0, 1)
    streams.send(0)
    streams.look()
    assert len(streams.naps) == 1, "what it found behind that one could not wait"


async def test_where_none_is_patient_nobody_sleeps(streams: Streams) -> None:
    await streams.open(2, patient=False)
    streams.become_dense()
    for _ in range(_sockets_py.COUNTED):
        streams.send(0, 1)
        streams.look()
    assert not streams.naps


@pytest.mark.parametrize("dense", [True, False])
async def test_they_are_dense_if_enough_come_during_a_nap(streams: Streams, dense: bool) -> None:
    await streams.open(1)
    streams.become_dense()
    edge = _sockets_py.COUNTED * NAP / _sockets_py.DENSE
    streams.now += edge * (0.99 if dense else 1.01)
    for _ in range(_sockets_py.COUNTED):
        streams.send(0)
        streams.look()
    streams.naps.clear()
    streams.send(0)
    streams.look()
    assert bool(streams.naps) is dense


async def test_where_many_have_something_it_is_work_that_waits(streams: Streams) -> None:
    few = _sockets_py.FEW
    await streams.open(few + 1)
    streams.become_dense()
    streams.send(*range(few + 1))
    streams.look()
    assert not streams.naps
    streams.send(*range(few))
    streams.look()
    assert len(streams.naps) == 1


async def test_what_is_closed_during_a_nap_is_looked_at_no_more(streams: Streams) -> None:
    await streams.open(1)
    streams.become_dense()
    streams.during = streams.sockets.close
    streams.send(0)
    streams.look()
    assert streams.naps == [NAP]
    await turns()
    assert streams.told[0].calls[-1] == "lost"


async def test_without_a_nap_nothing_is_dense(streams: Streams) -> None:
    module = importlib.import_module(type(streams.sockets).__module__)
    streams.sockets.close()
    streams.sockets = module.Sockets(asyncio.get_running_loop(), clock=lambda: 0.0, sleep=streams.naps.append)
    await streams.open(1)
    streams.become_dense()
    streams.send(0)
    streams.look()
    assert not streams.naps
