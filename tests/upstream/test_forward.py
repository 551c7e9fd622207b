"""Over real sockets, against engines that say what the test tells them to, byte for byte."""

from __future__ import annotations

import asyncio

from tests.upstream.client import Client, chunked
from tests.upstream.engine import StartEngine
from tests.upstream.forwarding import OK, STREAM, Gateway, a_server


async def test_an_answer_is_passed_with_its_status_headers_and_body(gateway: Gateway, engines: StartEngine) -> None:
    engine = await engines("pod-0")
    call = gateway.ask(a_server(engine.pod), body=b'{"model":"m"}')
    visit = await engine.asked()
    visit.say(
        b"HTTP/1.1 418 Teapot\r\nContent-Length: 2\r\nX-Extra: yes\r\nConnection: X-Secret\r\nX-Secret: no\r\n\r\n{}"
    )
    await call.task
    assert repr(call.client) == "<418 LENGTH b'{}' finished>"
    assert call.client.header(b"x-extra") == b"yes"
    assert call.client.header(b"x-secret") is None
    assert call.client.header(b"x-request-id") == b"r-1"
    assert call.client.header(b"content-length") == b"2"
    assert (call.exchange.status, call.exchange.upstream_status, call.exchange.bytes_out) == (418, 418, 2)
    assert (call.exchange.pod, call.exchange.attempts, engine.pod.in_flight) == ("pod-0", 1, 0)


async def test_the_engine_gets_exactly_one_well_formed_request(gateway: Gateway, engines: StartEngine) -> None:
    engine = await engines("pod-0", prefix=b"/engine")
    call = gateway.ask(a_server(engine.pod), body=b'{"model":"m"}')
    visit = await engine.asked()
    line, *lines = visit.request.rstrip(b"\r\n").split(b"\r\n")
    assert line == b"POST /engine/v1/chat/completions HTTP/1.1"
    assert sorted(line.lower() for line in lines) == [
        b"content-length: 13",
        b"host: " + engine.pod.authority,
        b"x-request-id: r-1",
    ]
    assert visit.body == b'{"model":"m"}'
    visit.say(OK)
    await call.task


async def test_a_connection_serves_one_request_after_another(gateway: Gateway, engines: StartEngine) -> None:
    engine = await engines("pod-0")
    visit = None
    for _ in range(3):
        call = gateway.ask(a_server(engine.pod))
        visit = visit or await engine.visited()
        await visit.asked()
        visit.say(OK)
        await call.task
    assert engine.visits == 1
    assert repr(gateway.pool) == "<Pool pods=1 idle=1>"


async def test_a_large_request_reaches_the_engine_whole(gateway: Gateway, engines: StartEngine) -> None:
    engine = await engines("pod-0")
    body = bytes(range(256)) * 40_000
    call = gateway.ask(a_server(engine.pod), body=body)
    visit = await engine.asked()
    assert visit.body == body
    visit.say(OK)
    await call.task
    assert repr(gateway.pool) == "<Pool pods=1 idle=1>"


async def test_an_engine_that_answers_before_it_has_read_the_request_loses_its_connection(
    gateway: Gateway, engines: StartEngine
) -> None:
    engine = await engines("pod-0")
    call = gateway.ask(a_server(engine.pod), body=bytes(50_000_000))
    visit = await engine.visited()
    visit.say(b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno")
    await call.task
    assert call.client.status == 413
    await visit.left()
    assert repr(gateway.pool) == "<Pool pods=1 idle=0>"


async def test_each_event_of_a_stream_reaches_the_client_before_the_next_is_sent(
    gateway: Gateway, engines: StartEngine
) -> None:
    engine = await engines("pod-0")
    call = gateway.ask(a_server(engine.pod))
    visit = await engine.asked()
    visit.say(STREAM)
    await call.client.until(lambda client: client.started)
    said = b""
    for number in range(5):
        event = b'data: {"choices":[{"delta":{"content":"%d"}}]}\n\n' % number
        said += event
        visit.say(chunked(event)[:-5])
        await call.client.until(lambda client, said=said: client.body == said)  # type: ignore[misc]
    visit.say(b"0\r\n\r\n")
    await call.task
    assert call.exchange.events == 5
    assert call.exchange.first_byte is not None
    assert call.exchange.upstream_ended is not None
    assert call.exchange.first_byte <= call.exchange.upstream_ended


# Cancellation


async def test_a_client_that_leaves_while_connecting_leaves_nothing_behind(
    gateway: Gateway, engines: StartEngine
) -> None:
    engine = await engines("pod-0")
    for turns in range(8):
        call = gateway.ask(a_server(engine.pod))
        for _ in range(turns):
            await asyncio.sleep(0)
        await call.cancel()
        assert engine.pod.in_flight == 0
        assert repr(gateway.pool).endswith("idle=0>")


async def test_a_client_that_leaves_before_the_head_closes_the_engines_connection(
    gateway: Gateway, engines: StartEngine
) -> None:
    engine = await engines("pod-0")
    call = gateway.ask(a_server(engine.pod, timeout=60.0))
    visit = await engine.asked()
    await call.cancel()
    await visit.left()
    assert (engine.pod.in_flight, call.client.started) == (0, False)


async def test_a_client_that_leaves_a_stream_closes_the_engines_connection_and_pays(
    gateway: Gateway, engines: StartEngine
) -> None:
    engine = await engines("pod-0")
    call = gateway.ask(a_server(engine.pod))
    visit = await engine.asked()
    visit.say(STREAM + chunked(b'data: {"choices":[{"delta":{"content":"x"}}]}\n\n')[:-5])
    await call.client.until(lambda client: client.started)
    await call.cancel()
    await visit.left()
    assert (engine.pod.in_flight, call.exchange.events, call.client.end) == (0, 1, "open")
    assert call.client.flow is None


async def test_a_client_that_leaves_while_a_stale_connection_is_replaced_leaves_nothing_behind(
    gateway: Gateway, engines: StartEngine
) -> None:
    engine = await engines("pod-0")
    server = a_server(engine.pod)
    call = gateway.ask(server)
    kept = await engine.asked()
    kept.say(OK)
    await call.task
    again = gateway.ask(server)
    await kept.asked()
    kept.close()
    fresh = await engine.visited()
    await again.cancel()
    await fresh.left()
    assert engine.pod.in_flight == 0


# Slow clients, addresses


async def test_at_most_256_kib_wait_for_a_slow_client(gateway: Gateway, engines: StartEngine) -> None:
    engine = await engines("pod-0")
    client = Client(high_water=1)
    call = gateway.ask(a_server(engine.pod), client)
    visit = await engine.asked()
    size = 20_000_000
    visit.say(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
    await client.until(lambda client: client.started)
    visit.say(bytes(size))
    while client.end == "open":
        await client.until(lambda client: client.held > 0 or client.end != "open")
        # More turns of the loop than the engine needs to fill every buffer on the way.
        for _ in range(20):
            await asyncio.sleep(0)
        assert client.held <= 256 * 1024
        client.drain()
    await call.task
    assert len(client.body) == size
    assert client.pauses > 10
    assert client.most_held <= 256 * 1024


async def test_a_connection_that_a_slow_client_left_paused_is_read_again(
    gateway: Gateway, engines: StartEngine
) -> None:
    engine = await engines("pod-0")
    server = a_server(engine.pod)
    slow = Client(high_water=1)
    call = gateway.ask(server, slow)
    visit = await engine.asked()
    visit.say(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n")
    await slow.until(lambda client: client.started)
    visit.say(b"ab")
    await slow.until(lambda client: client.pauses == 1)
    visit.say(b"cd")
    slow.drain()
    await call.task
    again = gateway.ask(server)
    await visit.asked()
    visit.say(OK)
    await again.task
    assert engine.visits == 1


async def test_pods_have_ipv6_addresses(gateway: Gateway, engines: StartEngine) -> None:
    engine = await engines("pod-0", host="::1")
    call = gateway.ask(a_server(engine.pod))
    visit = await engine.asked()
    assert b"\r\nHost: [::1]:%d\r\n" % engine.pod.port in visit.request
    visit.say(OK)
    await call.task


async def test_retries_and_requests_go_to_the_pod_with_the_fewest_in_flight(
    gateway: Gateway, engines: StartEngine
) -> None:
    first, second = await engines("first"), await engines("second")
    server = a_server(first.pod, second.pod)
    calls = [gateway.ask(server) for _ in range(4)]
    visits = [await engine.asked() for engine in (first, second, first, second)]
    assert (first.pod.in_flight, second.pod.in_flight) == (2, 2)
    for visit in visits:
        visit.say(OK)
    await asyncio.gather(*(call.task for call in calls))
    assert (first.pod.in_flight, second.pod.in_flight) == (0, 0)
