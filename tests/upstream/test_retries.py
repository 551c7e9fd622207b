"""What becomes of each failure of an engine, over real sockets: tried again, told to the client, or broken off."""

from __future__ import annotations

import asyncio
import gc
import weakref
from typing import Any

import pytest

from kthena_fast.exchange.record import Exchange
from kthena_fast.routing.snapshot import Pod
from kthena_fast.upstream import forward
from tests.upstream.client import Client, chunked
from tests.upstream.engine import StartEngine, a_dead_pod
from tests.upstream.forwarding import OK, STREAM, Gateway, a_server

# What fails before the request is written


async def test_a_pod_that_cannot_be_reached_is_passed_over_even_where_no_retry_is_allowed(
    gateway: Gateway, engines: StartEngine
) -> None:
    engine = await engines("pod-0")
    call = gateway.ask(a_server(a_dead_pod("a"), a_dead_pod("b"), engine.pod, attempts=0))
    (await engine.asked()).say(OK)
    await call.task
    assert (call.client.status, call.exchange.attempts, call.exchange.pod) == (200, 3, "pod-0")


async def test_five_connections_may_fail_and_no_more(gateway: Gateway, engines: StartEngine) -> None:
    engine = await engines("pod-0")
    dead = [a_dead_pod(f"dead-{number}") for number in range(5)]
    call = gateway.ask(a_server(*dead, engine.pod, attempts=9))
    error = await call.fails()
    assert (error.status, error.code, call.exchange.attempts) == (502, "connection_failed", 5)
    assert "connection refused" in error.message
    assert engine.visits == 0


async def test_each_unreachable_pod_is_tried_once(gateway: Gateway) -> None:
    call = gateway.ask(a_server(a_dead_pod("a"), a_dead_pod("b")))
    assert (await call.fails()).code == "connection_failed"
    assert call.exchange.attempts == 2


async def test_a_server_without_pods_is_unavailable(gateway: Gateway) -> None:
    error = await gateway.ask(a_server()).fails()
    assert (error.status, error.code, error.retry_after) == (503, "no_ready_pod", 1)


async def test_a_host_that_is_no_name_is_an_unreachable_pod(gateway: Gateway) -> None:
    pod = Pod("key", "default", "odd", "a" * 64 + ".example", 80)
    assert (await gateway.ask(a_server(pod)).fails()).code == "connection_failed"


async def test_no_proxy_of_the_environment_is_used(
    gateway: Gateway, engines: StartEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    engine = await engines("pod-0")
    call = gateway.ask(a_server(engine.pod))
    visit = await engine.asked()
    assert visit.request.startswith(b"POST /v1/")
    visit.say(OK)
    await call.task


# What fails after it was written


@pytest.mark.parametrize("said", [b"", b"HTTP/1.1 200 OK\r\nContent-"])
async def test_a_reset_before_the_head_is_tried_on_another_pod(
    gateway: Gateway, engines: StartEngine, said: bytes
) -> None:
    first, second = await engines("first"), await engines("second")
    call = gateway.ask(a_server(first.pod, second.pod))
    visit = await first.asked()
    await visit.say_all(said)
    visit.close()
    (await second.asked()).say(OK)
    await call.task
    assert (call.client.status, call.exchange.pod, call.exchange.attempts) == (200, "second", 2)
    assert (first.pod.in_flight, second.pod.in_flight) == (0, 0)
    assert gateway.gauge.attempts == 2


@pytest.mark.parametrize("end", ["close", "reset"])
async def test_a_reset_before_the_head_is_an_error_once_retries_are_spent(
    gateway: Gateway, engines: StartEngine, end: str
) -> None:
    first, second = await engines("first"), await engines("second")
    call = gateway.ask(a_server(first.pod, second.pod, attempts=0))
    getattr(await first.asked(), end)()
    error = await call.fails()
    assert (error.status, error.code, error.origin) == (502, "connection_failed", "upstream")
    assert second.visits == 0


async def test_a_reset_while_a_large_request_is_written_is_tried_on_another_pod(
    gateway: Gateway, engines: StartEngine
) -> None:
    first, second = await engines("first"), await engines("second")
    body = bytes(20_000_000)
    call = gateway.ask(a_server(first.pod, second.pod), body=body)
    (await first.visited()).reset()
    visit = await second.asked()
    assert visit.body == body
    visit.say(OK)
    await call.task
    assert (call.client.status, call.exchange.attempts) == (200, 2)


async def test_pods_that_cannot_be_reached_do_not_use_up_retries(gateway: Gateway, engines: StartEngine) -> None:
    first, second = await engines("first"), await engines("second")
    call = gateway.ask(a_server(a_dead_pod("a"), first.pod, a_dead_pod("b"), second.pod, attempts=1))
    (await first.asked()).close()
    (await second.asked()).say(OK)
    await call.task
    assert (call.client.status, call.exchange.attempts, call.exchange.pod) == (200, 4, "second")


async def test_an_engine_that_refuses_and_goes_is_followed_by_the_failure_of_the_next(
    gateway: Gateway, engines: StartEngine
) -> None:
    engine = await engines("pod-0")
    call = gateway.ask(a_server(engine.pod, a_dead_pod()))
    (await engine.asked()).say(b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n")
    assert (await call.fails()).code == "connection_failed"
    assert call.exchange.upstream_status == 503


async def test_an_engine_that_speaks_http_1_0_is_understood(gateway: Gateway, engines: StartEngine) -> None:
    engine = await engines("pod-0")
    call = gateway.ask(a_server(engine.pod))
    visit = await engine.asked()
    await visit.say_all(b"HTTP/1.0 200 OK\r\n\r\nhello")
    visit.close()
    await call.task
    assert repr(call.client) == "<200 CHUNKED b'hello' finished>"
    assert repr(gateway.pool) == "<Pool pods=1 idle=0>"


@pytest.mark.parametrize("status", [429, 502, 503])
async def test_a_busy_engine_is_passed_over_and_shown_once_retries_are_spent(
    gateway: Gateway, engines: StartEngine, status: int
) -> None:
    busy = b"HTTP/1.1 %d Busy\r\nContent-Length: 5\r\nRetry-After: 3\r\n\r\nbusy%%d" % status
    pods = [await engines(f"pod-{number}") for number in range(3)]
    call = gateway.ask(a_server(*[engine.pod for engine in pods], attempts=1))
    for number in range(2):
        (await pods[number].asked()).say(busy % number)
    await call.task
    assert repr(call.client) == f"<{status} LENGTH b'busy1' finished>"
    assert call.client.header(b"retry-after") == b"3"
    assert pods[2].visits == 0
    # Refused answers that were whole leave their connections usable.
    assert repr(gateway.pool) == "<Pool pods=2 idle=2>"


async def test_a_busy_engine_that_is_the_only_one_is_shown(gateway: Gateway, engines: StartEngine) -> None:
    engine = await engines("pod-0")
    call = gateway.ask(a_server(engine.pod, attempts=5))
    (await engine.asked()).say(b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n")
    await call.task
    assert (call.client.status, call.exchange.attempts) == (503, 1)


async def test_the_interval_passes_before_a_retry(gateway: Gateway, engines: StartEngine) -> None:
    first, second = await engines("first"), await engines("second")
    call = gateway.ask(a_server(first.pod, second.pod, interval=3600.0))
    visit = await first.asked()
    visit.close()
    await visit.left()
    assert second.visits == 0
    await call.cancel()
    assert (first.pod.in_flight, second.visits) == (0, 0)


async def test_a_head_that_is_late_is_never_retried_and_the_engine_is_told(
    gateway: Gateway, engines: StartEngine
) -> None:
    first, second = await engines("first"), await engines("second")
    call = gateway.ask(a_server(first.pod, second.pod, timeout=60.0, attempts=5))
    visit = await first.asked()
    gateway.clock.advance(59.0)
    assert first.pod.in_flight == 1
    gateway.clock.advance(2.0)
    error = await call.fails()
    assert (error.status, error.code, error.should_retry) == (504, "upstream_timeout", False)
    await visit.left()
    assert (second.visits, call.exchange.attempts) == (0, 1)


async def test_a_stream_may_take_longer_than_the_timeout_once_its_head_is_there(
    gateway: Gateway, engines: StartEngine
) -> None:
    engine = await engines("pod-0")
    call = gateway.ask(a_server(engine.pod, timeout=60.0))
    visit = await engine.asked()
    visit.say(STREAM)
    await call.client.until(lambda client: client.started)
    gateway.clock.advance(3600.0)
    visit.say(chunked(b"data: [DONE]\n\n"))
    await call.task
    assert call.client.end == "finished"


async def test_garbage_is_a_protocol_error_and_not_retried(gateway: Gateway, engines: StartEngine) -> None:
    first, second = await engines("first"), await engines("second")
    call = gateway.ask(a_server(first.pod, second.pod))
    visit = await first.asked()
    visit.say(b"SSH-2.0-OpenSSH_9\r\n")
    error = await call.fails()
    assert (error.status, error.code) == (502, "protocol_error")
    await visit.left()
    assert second.visits == 0


async def test_a_stream_that_breaks_is_ended_visibly_and_not_retried(gateway: Gateway, engines: StartEngine) -> None:
    first, second = await engines("first"), await engines("second")
    call = gateway.ask(a_server(first.pod, second.pod))
    visit = await first.asked()
    await visit.say_all(STREAM + chunked(b'data: {"choices":[{"delta":{"content":"x"}}]}\n\n')[:-5])
    await call.client.until(lambda client: client.started)
    visit.reset()
    await call.task
    assert call.client.end == "aborted"
    assert b'"code":"protocol_error"' in call.client.body
    assert call.exchange.error is not None
    assert call.exchange.error.origin == "upstream"
    assert second.visits == 0


async def test_the_body_of_a_length_answer_that_breaks_is_aborted(gateway: Gateway, engines: StartEngine) -> None:
    engine = await engines("pod-0")
    call = gateway.ask(a_server(engine.pod))
    visit = await engine.asked()
    await visit.say_all(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello")
    visit.close()
    await call.task
    assert repr(call.client) == "<200 LENGTH b'hello' aborted>"


# Kept connections


@pytest.mark.parametrize("end", ["close", "reset"])
async def test_a_kept_connection_that_closes_as_it_is_used_again_is_nobodys_failure(
    gateway: Gateway, engines: StartEngine, end: str
) -> None:
    engine = await engines("pod-0")
    server = a_server(engine.pod, attempts=0)
    call = gateway.ask(server)
    kept = await engine.asked()
    kept.say(OK)
    await call.task

    again = gateway.ask(server)
    await kept.asked()
    getattr(kept, end)()
    (await engine.asked()).say(OK)
    await again.task
    assert (again.client.status, again.exchange.attempts, engine.pod.in_flight) == (200, 1, 0)


async def test_a_fresh_connection_is_given_no_second_chance(gateway: Gateway, engines: StartEngine) -> None:
    engine = await engines("pod-0")
    server = a_server(engine.pod, attempts=0)
    call = gateway.ask(server)
    kept = await engine.asked()
    kept.say(OK)
    await call.task
    again = gateway.ask(server)
    await kept.asked()
    kept.close()
    (await engine.asked()).close()
    assert (await again.fails()).code == "connection_failed"
    assert engine.visits == 2


async def test_bytes_that_nobody_asked_for_end_a_kept_connection(gateway: Gateway, engines: StartEngine) -> None:
    engine = await engines("pod-0")
    server = a_server(engine.pod)
    call = gateway.ask(server)
    kept = await engine.asked()
    kept.say(OK)
    await call.task
    kept.say(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nwrong")
    await kept.left()
    assert repr(gateway.pool) == "<Pool pods=1 idle=0>"
    again = gateway.ask(server)
    (await engine.asked()).say(OK)
    await again.task
    assert again.client.body == b"{}"


class Mark:
    """Hung on an exchange, it tells when that is gone."""


@pytest.mark.parametrize("said", [OK, STREAM + chunked(b"data: [DONE]\n\n"), b"HTTP/1.1 503 Busy\r\n\r\n"])
async def test_what_a_request_used_is_freed_without_the_collector(
    gateway: Gateway, engines: StartEngine, said: bytes
) -> None:
    first, second = await engines("first"), await engines("second")
    server = a_server(first.pod, second.pod, timeout=60.0)
    exchange = Exchange("POST", b"/", "/", "", "HTTP/1.1", [], "::1", "::1", "http", b"r-1", 0.0, 0.0)
    mark: Any = Mark()
    exchange.form = mark
    gone = weakref.ref(mark)
    del mark
    gc.collect()
    gc.disable()
    try:
        serving = asyncio.ensure_future(
            gateway.forwarder.forwarding(
                exchange, server, Client(), forward.Request(b"POST", b"/", b"", b"")
            ).complete()
        )
        del exchange
        (await first.asked()).say(said)
        if b"503" in said:
            (await second.asked()).say(OK)
        await serving
        del serving
        # The loop still holds the handle that ran the task's last step.
        await asyncio.sleep(0)
        assert gone() is None
    finally:
        gc.enable()


class Hasty(Client):
    """Cancels its request's task in the moment in which its answer ends."""

    task: asyncio.Task[None]

    def finish(self) -> None:
        super().finish()
        self.task.cancel()


async def test_a_task_that_is_cancelled_as_its_answer_ends_keeps_the_connection(
    gateway: Gateway, engines: StartEngine
) -> None:
    engine = await engines("pod-0")
    client = Hasty()
    call = gateway.ask(a_server(engine.pod), client)
    client.task = call.task
    (await engine.asked()).say(OK)
    with pytest.raises(asyncio.CancelledError):
        await call.task
    assert client.body == b"{}"
    assert repr(gateway.pool) == "<Pool pods=1 idle=1>"
