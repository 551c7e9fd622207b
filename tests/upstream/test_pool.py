from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from typing import cast

import pytest
import trustme

from kthena_fast.exchange.record import Exchange
from kthena_fast.routing.snapshot import Pod
from kthena_fast.upstream import pool as pools
from kthena_fast.upstream.attempt import Outcome
from kthena_fast.upstream.connection import Connection
from kthena_fast.upstream.relay import Relay
from tests.upstream.client import Client, an_exchange
from tests.upstream.clock import Clock
from tests.upstream.engine import Engine, a_dead_pod, an_engine, turns_until

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
REQUEST = b"GET / HTTP/1.1\r\n\r\n"


@pytest.fixture
async def clock() -> Clock:
    return Clock()


@pytest.fixture
async def pool(clock: Clock) -> AsyncIterator[pools.Pool]:
    pool = pools.Pool(cast("asyncio.AbstractEventLoop", clock), connect_timeout=5.0)
    yield pool
    pool.close()
    assert clock.timers == 0


@pytest.fixture
async def engine() -> AsyncIterator[Engine]:
    async with an_engine() as engine:
        yield engine


def a_relay(connection: Connection, exchange: Exchange | None = None) -> Relay:
    loop = asyncio.get_running_loop()
    return Relay(loop, exchange or an_exchange("GET"), Client(), connection, False, False, None, lambda _: None)


async def use(pool: pools.Pool, engine: Engine, count: int = 1) -> list[Connection]:
    """Serve `count` requests at once over connections of the pool, and give these back in order."""
    connections = [pool.take(engine.pod) or await pool.connect(engine.pod) for _ in range(count)]
    for connection in connections:
        relay = a_relay(connection)
        connection.send(REQUEST, b"", relay)
        connection.data_received(OK)
        assert relay.outcome is Outcome.DONE
    # The real answer never came: the write is all that the engine has seen of it.
    await turns_until(lambda: not any(connection.transport.get_write_buffer_size() for connection in connections))
    for connection in connections:
        pool.give_back(engine.pod, connection)
    return connections


async def test_the_connection_used_last_is_used_first(pool: pools.Pool, engine: Engine) -> None:
    first, second = await use(pool, engine, 2)
    assert pool.take(engine.pod) is second
    assert pool.take(engine.pod) is first
    assert pool.take(engine.pod) is None
    for connection in (first, second):
        pool.give_back(engine.pod, connection)


async def test_a_pod_never_connected_to_has_nothing_to_take(pool: pools.Pool) -> None:
    assert pool.take(a_dead_pod()) is None


async def test_what_waits_for_a_minute_is_closed(pool: pools.Pool, engine: Engine, clock: Clock) -> None:
    old, _ = await use(pool, engine, 2)
    visit = await engine.visited()
    clock.advance(pools.IDLE_SECONDS / 2)
    await use(pool, engine, 1)
    assert clock.timers == 1
    clock.advance(pools.IDLE_SECONDS / 2 + pools.SWEEP_SECONDS)
    assert not old.is_open
    assert repr(pool) == "<Pool pods=1 idle=1>"
    await visit.left()
    clock.advance(pools.IDLE_SECONDS + pools.SWEEP_SECONDS)
    assert repr(pool) == "<Pool pods=1 idle=0>"
    # Nothing waits, so nothing wakes the process up.
    assert clock.timers == 0


async def test_a_burst_does_not_stay(engine: Engine) -> None:
    pool = pools.Pool(asyncio.get_running_loop(), connect_timeout=5.0, most_idle=2)
    connections = await use(pool, engine, 4)
    was_open = [connection.is_open for connection in connections]
    pool.close()
    assert was_open == [True, True, False, False]


async def test_a_connection_that_the_engine_closes_leaves_the_pool(pool: pools.Pool, engine: Engine) -> None:
    (connection,) = await use(pool, engine)
    (await engine.visited()).close()
    await turns_until(lambda: not connection.is_open)
    assert repr(pool) == "<Pool pods=1 idle=0>"
    assert pool.take(engine.pod) is None


@pytest.mark.parametrize("gone", range(3))
async def test_whichever_leaves_the_others_stay_in_their_order(pool: pools.Pool, engine: Engine, gone: int) -> None:
    connections = await use(pool, engine, 3)
    connections[gone].abort()
    assert repr(pool) == "<Pool pods=1 idle=2>"
    staying = [connection for connection in connections if connection is not connections[gone]]
    assert await use(pool, engine, 2) == [*reversed(staying)]
    assert repr(pool) == "<Pool pods=1 idle=2>"


async def test_a_pod_that_left_loses_what_waits_and_keeps_what_is_in_use(pool: pools.Pool, engine: Engine) -> None:
    waiting, busy = await use(pool, engine, 2)
    assert pool.take(engine.pod) is busy
    pool.follow([], [engine.pod])
    assert (waiting.is_open, busy.is_open) == (False, True)
    relay = a_relay(busy)
    busy.send(REQUEST, b"", relay)
    busy.data_received(OK)
    assert relay.outcome is Outcome.DONE
    pool.give_back(engine.pod, busy)
    assert not busy.is_open
    assert repr(pool) == "<Pool pods=0 idle=0>"


async def test_a_pod_that_comes_back_keeps_connections_again(pool: pools.Pool, engine: Engine) -> None:
    await use(pool, engine)
    pool.follow([], [engine.pod])
    pool.follow([engine.pod], [])
    await use(pool, engine)
    assert repr(pool) == "<Pool pods=1 idle=1>"


async def test_a_pod_that_stays_keeps_its_connections(pool: pools.Pool, engine: Engine) -> None:
    (connection,) = await use(pool, engine)
    pool.follow([a_dead_pod()], [a_dead_pod()])
    assert connection.is_open


async def test_who_chose_a_pod_before_it_left_leaves_no_connection_behind(pool: pools.Pool, engine: Engine) -> None:
    pool.follow([], [engine.pod])
    (connection,) = await use(pool, engine)
    assert not connection.is_open
    assert repr(pool) == "<Pool pods=0 idle=0>"


async def test_a_closed_pool_closes_what_is_given_back(pool: pools.Pool, engine: Engine) -> None:
    waiting, busy = await use(pool, engine, 2)
    assert pool.take(engine.pod) is busy
    pool.close()
    assert not waiting.is_open
    pool.give_back(engine.pod, busy)
    assert not busy.is_open
    (late,) = await use(pool, engine)
    assert not late.is_open


async def test_connecting_gives_up_in_time(monkeypatch: pytest.MonkeyPatch, clock: Clock) -> None:
    async def never(*args: object, **options: object) -> None:
        await asyncio.get_running_loop().create_future()

    monkeypatch.setattr(clock, "create_connection", never, raising=False)
    pool = pools.Pool(cast("asyncio.AbstractEventLoop", clock), connect_timeout=0.0)
    with pytest.raises(TimeoutError):
        await pool.connect(a_dead_pod())


# TLS


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def serving(authority: trustme.CA, *names: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*names).configure_cert(context)
    return context


async def answer_over_tls(client: ssl.SSLContext | None, server: ssl.SSLContext) -> bytes:
    """The body of an answer that came over TLS."""
    loop = asyncio.get_running_loop()
    pool = pools.Pool(loop, connect_timeout=5.0, tls=client)
    async with an_engine(tls=server) as engine:
        try:
            connection = await pool.connect(engine.pod)
            relay_client = Client()
            told: asyncio.Future[Outcome] = loop.create_future()
            relay = Relay(loop, an_exchange(), relay_client, connection, False, False, None, told.set_result)
            connection.send(b"POST / HTTP/1.1\r\nContent-Length: 100000\r\n\r\n", bytes(100_000), relay)
            visit = await engine.asked()
            visit.say(OK)
            assert await told is Outcome.DONE
            pool.give_back(engine.pod, connection)
            assert repr(pool) == "<Pool pods=1 idle=1>"
            return relay_client.body
        finally:
            pool.close()


async def test_an_engines_certificate_is_verified_for_its_address(authority: trustme.CA) -> None:
    verifying = ssl.create_default_context()
    authority.configure_trust(verifying)
    assert await answer_over_tls(verifying, serving(authority, "127.0.0.1")) == b"{}"
    with pytest.raises(ssl.SSLCertVerificationError):
        await answer_over_tls(verifying, serving(authority, "192.0.2.1"))


async def test_an_engine_of_an_unknown_authority_is_refused_only_where_it_is_verified(authority: trustme.CA) -> None:
    server = serving(authority, "engine.example")
    with pytest.raises(ssl.SSLCertVerificationError):
        await answer_over_tls(ssl.create_default_context(), server)
    unverified = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    unverified.check_hostname = False
    unverified.verify_mode = ssl.CERT_NONE
    assert await answer_over_tls(unverified, server) == b"{}"


async def test_a_pod_that_asks_for_tls_is_never_spoken_to_without(authority: trustme.CA) -> None:
    with pytest.raises(OSError, match="TLS"):
        await answer_over_tls(None, serving(authority, "127.0.0.1"))


async def test_an_engine_that_speaks_no_tls_is_unreachable(pool: pools.Pool, engine: Engine) -> None:
    context = ssl.create_default_context()
    pod = Pod("key", "default", "pod", engine.pod.host, engine.pod.port, tls=True)
    pool = pools.Pool(asyncio.get_running_loop(), connect_timeout=5.0, tls=context)
    connecting = asyncio.ensure_future(pool.connect(pod))
    (await engine.visited()).say(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    with pytest.raises(OSError, match=r"(?i)ssl|version"):
        await connecting
