"""Who tells the owners of objects what became of them runs beside the requests, and before them in leaving."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

import pytest

from kthena_fast.gateway import app
from kthena_fast.routing.snapshot import Snapshot
from kthena_fast.settings import Settings
from kthena_fast.telemetry.registry import Registry
from tests.gateway import running

OPTIONS = app.Options(host="127.0.0.1", port=0, metrics_port=0, debug_port=0)
QUIET = Settings(access_log_enabled=False)


class Recorded:
    """A reporter that takes its time to leave."""

    def __init__(self, problem: Exception | None = None) -> None:
        self.problem = problem
        self.snapshot: Callable[[], Snapshot | None] = lambda: None
        self.begun, self.leaving, self.may_leave = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self.has_left = False

    async def run(self, snapshot: Callable[[], Snapshot | None], registry: Registry) -> None:
        self.snapshot = snapshot
        self.begun.set()
        if self.problem is not None:
            raise self.problem
        try:
            await asyncio.Event().wait()
        finally:
            self.leaving.set()
            await self.may_leave.wait()
            self.has_left = True


async def test_it_is_shown_what_is_in_service_and_nothing_before() -> None:
    reporter, source = Recorded(), running.Given(None)
    async with app.running(OPTIONS, QUIET, source, reporter) as gateway:
        await reporter.begun.wait()
        assert reporter.snapshot() is None
        source.change(running.objects(["127.0.0.1:1"]))
        assert reporter.snapshot() is gateway.state.snapshot
        reporter.may_leave.set()


async def test_it_leaves_at_the_beginning_of_a_drain_and_is_waited_for_at_the_end() -> None:
    reporter, source = Recorded(), running.Given(None)
    gateway = app.Gateway(OPTIONS, QUIET, source, reporter)
    await gateway.start()
    await reporter.begun.wait()
    await gateway.drain()
    await reporter.leaving.wait()
    stopping = asyncio.create_task(gateway.stop())
    await asyncio.sleep(0)
    assert not reporter.has_left
    reporter.may_leave.set()
    await stopping
    assert reporter.has_left


async def test_without_a_drain_it_is_given_its_time_to_leave_too() -> None:
    reporter = Recorded()
    async with app.running(OPTIONS, QUIET, running.Given(None), reporter):
        await reporter.begun.wait()
        reporter.may_leave.set()
    assert reporter.has_left


async def test_requests_are_served_whatever_becomes_of_it(caplog: pytest.LogCaptureFixture) -> None:
    reporter = Recorded(RuntimeError("a fault of ours"))
    async with running.scene() as scene:
        address = scene.servers[0].url.removeprefix("http://")
        source = running.Given(running.objects([address]))
        async with app.running(OPTIONS, QUIET, source, reporter) as gateway:
            await reporter.begun.wait()
            await source.begun.wait()
            assert (await scene.ask(running.chat(), gateway.port)).status == 200
    (said,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert said.getMessage() == "the status of objects is no longer written"
