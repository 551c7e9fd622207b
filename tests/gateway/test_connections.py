"""HTTP/1.1 as clients use it: kept connections, pipelining, HTTP/1.0, 100-continue, IPv6."""

from __future__ import annotations

import asyncio

import pytest

from kthena_fast.gateway.client_connection import Connection
from kthena_fast.mock_engine import EngineConfig
from tests.gateway import running

CHAT = running.chat()
OLD_CHAT = CHAT.replace(b"HTTP/1.1", b"HTTP/1.0")


async def test_requests_on_one_connection_are_answered_one_after_the_other() -> None:
    async with running.scene() as scene:
        raw = await scene.connect()
        for _ in range(3):
            raw.say(CHAT)
            answer = await raw.answer()
            assert answer.status == 200
            assert "connection" not in answer.headers


async def test_connection_close_is_obeyed() -> None:
    async with running.scene() as scene:
        raw = await scene.connect()
        raw.say(running.chat("Connection: close"))
        answer = await raw.answer()
        assert (answer.status, answer.headers["connection"]) == (200, "close")
        assert await raw.rest() == b""


async def test_pipelined_requests_are_answered_in_their_order() -> None:
    async with running.scene() as scene:
        raw = await scene.connect()
        raw.say(
            running.chat("X-Mock-First-Token-Delay: 50ms", "X-Request-Id: first")
            + running.get("/healthz")
            + running.chat("X-Request-Id: third", stream=True)
            + running.request(b"{", "X-Request-Id: fourth")
            + running.chat("X-Request-Id: fifth")
        )
        first = await raw.answer()
        assert (first.status, first.headers["x-request-id"]) == (200, "first")
        assert (await raw.answer()).json() == {"message": "ok"}
        third = await raw.answer()
        assert third.headers["x-request-id"] == "third"
        assert third.body.endswith(b"data: [DONE]\n\n")
        fourth = await raw.answer()
        assert (fourth.status, fourth.headers["x-request-id"]) == (400, "fourth")
        assert (await raw.answer()).headers["x-request-id"] == "fifth"
        assert [record.header("X-Request-Id") for record in scene.engine.requests] == ["first", "third", "fifth"]


async def test_the_body_of_the_next_request_is_no_head_between_two(monkeypatch: pytest.MonkeyPatch) -> None:
    first = running.chat("Max-Forwards: 3")
    second = running.request(running.body(user="z" * 200_000))
    cut = len(second) - 150_000
    end_request = Connection.end_request

    def end_and_receive(self: Connection, **how: bool) -> None:
        """The rest of the second comes as soon as the first is over: aiohttp has not begun with it."""
        end_request(self, **how)
        monkeypatch.setattr(Connection, "end_request", end_request)
        self.data_received(second[cut:])

    monkeypatch.setattr(Connection, "end_request", end_and_receive)
    async with running.scene() as scene:
        raw = await scene.connect()
        raw.say(first + second[:cut])
        assert [(await raw.answer()).status for _ in range(2)] == [200, 200]
        # A head has its bounds all the same once it is a head.
        raw.say(b"GET /healthz HTTP/1.1\r\nX: " + b"x" * 100_000)
        assert (await raw.answer()).status == 431


async def test_a_head_that_is_nonsense_and_too_large_is_refused_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    nonsense = b"GET /healthz HTTP/1.1\r\n\0: x\r\n"
    receive = Connection.data_received

    def receive_in_two(self: Connection, data: bytes) -> None:
        """Both before aiohttp has said anything of the first."""
        receive(self, data[: len(nonsense)])
        receive(self, data[len(nonsense) :])

    monkeypatch.setattr(Connection, "data_received", receive_in_two)
    async with running.scene(options={"express": False}) as scene:
        raw = await scene.connect()
        raw.say(nonsense + b"X: " + b"x" * 100_000)
        assert (await raw.answer()).status == 431
        raw.writer.write_eof()
        assert await raw.rest() == b""
        await scene.settled()
    assert not caplog.records


async def test_what_is_pipelined_behind_a_close_is_not_served() -> None:
    async with running.scene() as scene:
        raw = await scene.connect()
        raw.say(running.chat("Connection: close", "X-Mock-Hold-After: 0"))
        await scene.engine.until(lambda: scene.engine.held == 1)
        raw.say(CHAT)
        scene.engine.release()
        assert (await raw.answer()).status == 200
        assert await raw.rest() == b""
        assert scene.engine.arrivals == 1


async def test_http_1_0_gets_its_answer_and_the_end_of_the_connection() -> None:
    async with running.scene() as scene:
        raw = await scene.connect()
        raw.say(OLD_CHAT)
        answer = await raw.answer()
        assert (answer.status, answer.headers["connection"]) == (200, "close")
        assert "transfer-encoding" not in answer.headers
        assert await raw.rest() == b""
        assert scene.engine.requests[0].version == (1, 1)


async def test_http_1_0_may_ask_to_keep_its_connection() -> None:
    async with running.scene() as scene:
        raw = await scene.connect()
        for _ in range(2):
            raw.say(OLD_CHAT.replace(b"Host:", b"Connection: keep-alive\r\nHost:"))
            answer = await raw.answer()
            assert (answer.status, answer.headers["connection"]) == (200, "keep-alive")


async def test_http_1_0_needs_no_host() -> None:
    async with running.scene() as scene:
        assert (await scene.ask(OLD_CHAT.replace(b"Host: gateway.test\r\n", b""))).status == 200


@pytest.mark.parametrize("connection", [b"", b"Connection: keep-alive\r\n"])
async def test_a_stream_to_http_1_0_has_no_chunks_and_ends_with_the_connection(connection: bytes) -> None:
    async with running.scene() as scene:
        raw = await scene.connect()
        request = running.chat(stream=True).replace(b"HTTP/1.1", b"HTTP/1.0")
        raw.say(request.replace(b"Host:", connection + b"Host:"))
        answer = await raw.answer()
        assert "transfer-encoding" not in answer.headers
        assert answer.headers["connection"] == "close"
        assert answer.body.startswith(b"data: {")
        assert answer.body.endswith(b"data: [DONE]\n\n")


async def test_100_continue_is_said_before_the_body_and_not_passed_on() -> None:
    async with running.scene() as scene:
        raw = await scene.connect()
        content = running.body()
        raw.say(running.request(content, "Expect: 100-continue").removesuffix(content))
        assert (await raw.head())[1] == 100
        raw.say(content)
        assert (await raw.answer()).status == 200
        assert scene.engine.requests[0].header("Expect") is None
        raw.say(CHAT)
        assert (await raw.answer()).status == 200


async def test_who_does_not_wait_for_100_continue_is_served_all_the_same() -> None:
    async with running.scene() as scene:
        raw = await scene.connect()
        raw.say(running.chat("Expect: 100-continue"))
        assert (await raw.answer()).status == 200


REFUSED_AT_ONCE = {
    "too large": (running.request(b"", "Expect: 100-continue").replace(b"Length: 0", b"Length: 99999999999"), 413),
    "no such path": (
        running.request(b"", "Expect: 100-continue", path="/nowhere").replace(b"Length: 0", b"Length: 9"),
        404,
    ),
    "no such method": (
        running.request(b"", "Expect: 100-continue", method="PUT").replace(b"Length: 0", b"Length: 9"),
        405,
    ),
}


@pytest.mark.parametrize("why", REFUSED_AT_ONCE)
async def test_a_refusal_comes_instead_of_100_continue_and_ends_the_connection(why: str) -> None:
    request, status = REFUSED_AT_ONCE[why]
    async with running.scene() as scene:
        raw = await scene.connect()
        raw.say(request)
        answer = await raw.answer()
        assert answer.status == status
        assert answer.error["type"] == "invalid_request_error"
        # Whether the body will come is not known, so what comes next could be read as either.
        assert answer.headers["connection"] == "close"


async def test_what_comes_behind_a_refused_body_is_not_served() -> None:
    async with running.scene() as scene:
        raw = await scene.connect()
        raw.say(REFUSED_AT_ONCE["no such path"][0])
        assert (await raw.answer()).status == 404
        raw.say(b"nine more" + CHAT)
        assert await raw.rest() == b""
        assert scene.engine.arrivals == 0


async def test_http_1_0_gets_no_100_continue() -> None:
    async with running.scene() as scene:
        raw = await scene.connect()
        raw.say(OLD_CHAT.replace(b"Host:", b"Expect: 100-continue\r\nHost:"))
        assert (await raw.answer()).status == 200


async def test_ipv6_clients_and_engines() -> None:
    async with running.scene(host="::1") as scene:
        answer = await scene.ask(running.chat())
        assert answer.status == 200
        (record,) = scene.engine.requests
        assert record.header("Host") == f"[::1]:{scene.servers[0].port}"
        assert record.header("X-Forwarded-For") == "::1"


async def test_the_default_host_takes_ipv4_and_ipv6_and_writes_ipv4_as_such() -> None:
    async with running.scene(options={"host": "::"}) as scene:
        assert (await scene.ask(running.chat())).status == 200
        scene.host = "::1"
        assert (await scene.ask(running.chat())).status == 200
        assert [record.header("X-Forwarded-For") for record in scene.engine.requests] == ["127.0.0.1", "::1"]


async def test_connections_to_the_engine_are_kept() -> None:
    async with running.scene() as scene:
        for _ in range(3):
            assert (await scene.ask(CHAT)).status == 200
        assert len({record.connection for record in scene.engine.requests}) == 1


async def test_an_engine_that_closes_kept_connections_costs_no_request() -> None:
    async with running.scene(given=lambda found: running.objects(found, policy={"retry": {"attempts": 0}})) as scene:
        for _ in range(5):
            assert (await scene.ask(running.chat("X-Mock-Fault: close-silently"))).status == 200
            scene.servers[0].drop_connections()
        assert scene.engine.arrivals == 5


async def test_many_clients_at_once_all_get_their_own_answers() -> None:
    async with running.scene(EngineConfig(models=(running.MODEL,)), EngineConfig(models=(running.MODEL,))) as scene:

        async def one(number: int) -> None:
            answer = await scene.ask(running.chat(f"X-Request-Id: r-{number}", stream=number % 2 == 0))
            assert answer.status == 200
            assert answer.headers["x-request-id"] == f"r-{number}"
            assert f"chatcmpl-r-{number}".encode() in answer.body

        await asyncio.gather(*(one(number) for number in range(100)))
        arrivals = [engine.arrivals for engine in scene.engines]
        assert sum(arrivals) == 100
        # Half of them each, but for those that found another one answered already.
        assert min(arrivals) > 25
        await scene.settled()
        assert scene.in_flight == 0
