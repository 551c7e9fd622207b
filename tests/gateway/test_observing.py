"""What is said when objects change: of pods, which come and go by the second, only what somebody must know."""

from __future__ import annotations

import logging

import pytest

from kthena_fast.gateway import app
from kthena_fast.settings import Settings
from tests.gateway import running

OPTIONS = app.Options(host="127.0.0.1", port=0, metrics_port=0, debug_port=0)
QUIET = Settings(access_log_enabled=False)


async def test_a_model_server_without_a_pod_is_told_and_so_is_its_next_one(caplog: pytest.LogCaptureFixture) -> None:
    source = running.Given(running.objects(["127.0.0.1:1"]))
    async with app.running(OPTIONS, QUIET, source) as gateway:
        await gateway.state.until_synced()
        # From here on, also at the level that hides what is nobody's business.
        with caplog.at_level(logging.INFO, "kthena_fast.gateway.observing"):

            def said(*addresses: str) -> list[tuple[str, str]]:
                caplog.clear()
                before = gateway.state.snapshot.objects
                changed = running.objects(addresses)
                source.change(type(before)(routes=before.routes, servers=changed.servers))
                return [
                    (record.levelname, record.getMessage())
                    for record in caplog.records
                    if "ready pod" in record.getMessage()
                ]

            assert said("127.0.0.1:1", "127.0.0.1:2") == []
            assert said("127.0.0.1:2") == []
            assert said() == [("WARNING", "ModelServer default/server has no ready pod left")]
            assert said() == []
            assert said("127.0.0.1:3") == [("INFO", "ModelServer default/server has a ready pod")]
            caplog.clear()
            # One that is deleted takes its pods with it.
            source.change(type(gateway.state.snapshot.objects)())
            assert not any("ready pod" in record.getMessage() for record in caplog.records)
