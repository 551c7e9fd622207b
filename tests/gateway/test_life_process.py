"""The life of the process: real signals to a gateway of its own, with streams open. Upstream's drain cuts them."""

from __future__ import annotations

import contextlib
import signal
import socket
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from kthena_fast.mock_engine import EngineConfig, MockEngine
from tests.gateway import processes, running

NEVER = "1h"
"""A delay that no test waits for."""


@contextlib.asynccontextmanager
async def served(**variables: str) -> AsyncIterator[tuple[processes.Gateway, MockEngine]]:
    """A gateway over one engine."""
    engine = MockEngine(EngineConfig(models=(running.MODEL,)))
    async with (
        engine.running() as server,
        processes.gateway("--backend", server.url, "--model", running.MODEL, **variables) as gateway,
    ):
        yield gateway, engine


async def held_stream(gateway: processes.Gateway, engine: MockEngine) -> running.Raw:
    """A stream that has begun and goes on when the engine is told to."""
    raw = await gateway.connect()
    raw.say(running.chat("X-Mock-Hold-After: 2", "X-Mock-Output-Tokens: 4", stream=True))
    _, status, _ = await raw.head()
    assert status == 200
    await engine.until(lambda: engine.held == 1)
    return raw


async def is_refused(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1.0):
            return False
    except ConnectionRefusedError:
        return True


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda number: number.name)
async def test_an_open_stream_finishes_after_the_signal_and_the_status_is_0(number: signal.Signals) -> None:
    async with served() as (gateway, engine):
        stream = await held_stream(gateway, engine)
        idle = await gateway.connect()
        idle.say(running.get("/healthz"))
        assert (await idle.answer()).headers.get("connection") != "close"

        gateway.send(number)
        assert await idle.rest() == b"", "an idle connection is closed"

        async def refused() -> bool:
            return await is_refused(gateway.port)

        await processes.until(refused)
        # The metrics port answers probes to the end.
        assert (await gateway.get("/healthz", gateway.metrics_port)).status == 200
        ready = await gateway.get("/readyz", gateway.metrics_port)
        assert (ready.status, ready.json()["detail"]) == (503, "the gateway is shutting down")

        engine.release()
        rest = await stream.rest()
        assert b"data: [DONE]\n\n" in rest
        assert rest.endswith(b"0\r\n\r\n")
        assert await gateway.ended() == 0
        assert any('"POST /v1/chat/completions HTTP/1.1" 200' in line for line in gateway.lines)


async def test_during_the_delay_new_requests_are_served_and_their_connections_closed() -> None:
    async with served(DRAIN_DELAY=NEVER) as (gateway, _):
        kept = await gateway.connect()
        kept.say(running.chat())
        assert "connection" not in (await kept.answer()).headers

        gateway.send(signal.SIGTERM)
        await gateway.says("draining")
        ready = await gateway.get("/readyz")
        assert (ready.status, ready.headers["connection"]) == (503, "close")
        assert (await gateway.get("/healthz")).status == 200
        new = await gateway.ask(running.chat())
        assert (new.status, new.headers["connection"]) == (200, "close")
        kept.say(running.chat())
        assert (await kept.answer()).headers["connection"] == "close"
        assert await kept.rest() == b""


async def test_a_second_signal_ends_the_process_at_once_with_1() -> None:
    async with served(DRAIN_DELAY=NEVER) as (gateway, engine):
        stream = await held_stream(gateway, engine)
        gateway.send(signal.SIGTERM)
        await gateway.says("draining")
        gateway.send(signal.SIGINT)
        assert await gateway.ended() == 1
        assert b"[DONE]" not in await stream.rest()


async def test_at_the_end_of_the_timeout_streams_are_aborted_and_who_waits_gets_503() -> None:
    async with served(DRAIN_DELAY="1ms", DRAIN_TIMEOUT="300ms") as (gateway, engine):
        stream = await held_stream(gateway, engine)
        waiting = await gateway.connect()
        waiting.say(running.chat("X-Mock-Hold-After: 0"))
        await engine.until(lambda: engine.held == 2)

        gateway.send(signal.SIGTERM)
        answer = await waiting.answer()
        assert (answer.status, answer.code, answer.error["type"]) == (503, "draining", "unavailable")
        assert answer.headers["connection"] == "close"
        assert "retry-after" in answer.headers
        rest = await stream.rest()
        assert b"[DONE]" not in rest
        assert not rest.endswith(b"0\r\n\r\n"), "an end that the engine did not send"
        assert await gateway.ended() == 0
        await gateway.says("2 requests on 2 connections are left at the end of DRAIN_TIMEOUT")
        await engine.until(lambda: all(record.aborted for record in engine.requests))


async def test_the_access_log_is_reopened_on_sighup_and_complete_on_exit(tmp_path: Path) -> None:
    log = tmp_path / "access.log"
    async with served(ACCESS_LOG_OUTPUT=str(log)) as (gateway, _):
        assert (await gateway.ask(running.chat("X-Request-Id: first"))).status == 200

        async def is_logged() -> bool:
            return "first" in log.read_text()

        await processes.until(is_logged)
        moved = log.rename(tmp_path / "access.log.1")
        gateway.send(signal.SIGHUP)

        async def is_reopened() -> bool:
            return log.exists()

        await processes.until(is_reopened)
        assert (await gateway.ask(running.chat("X-Request-Id: second"))).status == 200
        gateway.send(signal.SIGTERM)
        assert await gateway.ended() == 0
        assert "second" in log.read_text()
        assert "second" not in moved.read_text()


@pytest.fixture
def port_in_use() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        yield taken.getsockname()[1]


async def test_a_start_that_fails_says_why_in_one_line_and_exits_with_1(port_in_use: int) -> None:
    source = ("--backend", "http://127.0.0.1:1", "--model", "m")
    cases: list[tuple[dict[str, str], list[str]]] = [
        ({}, [f"--port {port_in_use}", "Address already in use"]),
        ({"DRAIN_TIMEOUT": "soon"}, ["DRAIN_TIMEOUT='soon'", "5m"]),
    ]
    for variables, words in cases:
        ports = ("--host", "127.0.0.1", "--port", str(port_in_use), "--metrics-port", "0", "--debug-port", "0")
        async with processes.program("gateway", *ports, *source, **variables) as program:
            assert await program.ended() == 1, program.lines
            (said,) = program.complaints
            for word in words:
                assert word in said
