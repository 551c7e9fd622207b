"""Callers that open connections and do nothing with them, or little by little."""

from __future__ import annotations

import asyncio
from pathlib import Path

import orjson
import pytest

from kthena_fast.webhook import app, connections, judgement, reviews
from tests.gateway import processes
from tests.resources import corpus
from tests.webhook import asking
from tests.webhook.asking import Scene

HEALTH = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"

REVIEW = (
    b"POST /validate/modelroute HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
)

Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def connected(scene: Scene, sent: bytes = b"") -> Connection:
    reader, writer = await asyncio.open_connection("127.0.0.1", scene.webhook.port, ssl=scene.context)
    writer.write(sent)
    return reader, writer


async def ended(connection: Connection) -> bytes:
    """What still comes until the connection ends, be it by a reset."""
    reader, writer = connection
    try:
        return await asyncio.wait_for(reader.read(), asking.PATIENCE)
    except ConnectionError:
        return b""
    finally:
        writer.close()


async def healthy(connection: Connection) -> None:
    """Ask once, and read the answer."""
    reader, writer = connection
    writer.write(HEALTH)
    head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), asking.PATIENCE)
    assert b" 200 OK" in head
    assert await reader.readexactly(3) == b"ok\n"


async def until_open(scene: Scene, count: int) -> None:
    async def are_open() -> bool:
        return len(scene.webhook._connections) == count

    await processes.until(are_open)


async def test_a_head_that_does_not_come_whole_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "HEAD_TIMEOUT", 0.2)
    async with asking.scene(tmp_path) as scene:
        idle = await connected(scene)
        first = await connected(scene, HEALTH[:-2])
        later = await connected(scene)
        await healthy(later)
        # A request that was answered earns no more time for the next one.
        later[1].write(HEALTH[:-2])
        assert await ended(first) == await ended(later) == b""
        # Who has said nothing yet may be an API server that has dialled one connection too many.
        await healthy(idle)
        idle[1].close()
        await until_open(scene, 0)


async def test_who_does_not_shake_hands_is_let_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app, "HANDSHAKE_TIMEOUT", 0.2)
    async with asking.scene(tmp_path) as scene:
        assert await ended(await asyncio.open_connection("127.0.0.1", scene.webhook.port)) == b""


async def test_who_says_nothing_at_all_is_let_go_in_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "IDLE_TIMEOUT", 0.2)
    async with asking.scene(tmp_path) as scene:
        silent, asked = await connected(scene), await connected(scene)
        await healthy(asked)
        assert await ended(silent) == await ended(asked) == b""


async def test_for_one_connection_too_many_the_longest_idle_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "MAX_CONNECTIONS", 2)
    async with asking.scene(tmp_path) as scene:
        oldest, other = await connected(scene), await connected(scene)
        await until_open(scene, 2)
        # It has been idle since then, and the other one since before.
        await healthy(oldest)
        newest = await connected(scene)
        assert await ended(other) == b""
        await healthy(oldest)
        await healthy(newest)
        for _, writer in (oldest, newest):
            writer.close()
        await until_open(scene, 0)


async def test_where_all_are_busy_the_new_one_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "MAX_CONNECTIONS", 2)
    async with asking.scene(tmp_path) as scene:
        busy = [await connected(scene, REVIEW % 9 + b"{") for _ in range(2)]

        async def are_busy() -> bool:
            return len(scene.webhook._connections) == 2 and not scene.webhook._connections._idle

        await processes.until(are_busy)
        assert await ended(await connected(scene, HEALTH)) == b""
        for _, writer in busy:
            writer.write(b"       }")
        for reader, writer in busy:
            assert b" 400 " in await asyncio.wait_for(reader.readline(), asking.PATIENCE)
            writer.close()
        await until_open(scene, 0)


async def test_an_answer_that_is_not_fetched_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hundred reasons of a kilobyte, more than sockets hold, to somebody who does not read."""
    monkeypatch.setattr(connections, "ANSWER_TIMEOUT", 0.5)
    reasons = [reviews.Reason("FieldValueInvalid", f"spec.field{number}", "x" * 1000) for number in range(100)]
    monkeypatch.setattr(judgement, "judge", lambda _: judgement.Verdict(reasons, []))
    async with asking.scene(tmp_path) as scene:
        body = orjson.dumps(asking.review(corpus.route()))
        one = (REVIEW % len(body) + body) * 100
        reader, writer = await connected(scene, one)
        reader._transport.pause_reading()  # type: ignore[attr-defined]  # nothing public stops a reader at once
        await until_open(scene, 1)
        await until_open(scene, 0)
        writer.close()
