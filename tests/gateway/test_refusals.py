"""What the gateway answers itself: DESIGN 5's table, in OpenAI's shape, with the request's id, always."""

from __future__ import annotations

import asyncio

import pytest

from kthena_fast.mock_engine import EngineConfig
from tests.gateway import running

BAD_BODIES = {
    "nothing": (b"", "invalid_json"),
    "half an object": (b'{"model": "llama"', "invalid_json"),
    "two values": (b'{"model": "llama"}{}', "invalid_json"),
    "a list": (b'["llama"]', "invalid_json"),
    "NaN": (b'{"model": "llama", "temperature": NaN}', "invalid_json"),
    "bytes that are not UTF-8": (b'{"model": "\xff"}', "invalid_json"),
    "no model": (b'{"messages": []}', "missing_model"),
    "a blank model": (b'{"model": "  "}', "missing_model"),
    "a model that is a number": (b'{"model": 7}', "missing_model"),
    "two models": (b'{"model": "llama", "model": "other"}', "duplicate_key"),
    "two streams": (b'{"model": "llama", "stream": false, "stream": true}', "duplicate_key"),
    "an escaped model beside one": (rb'{"model": "llama", "mod\u0065l": "other"}', "duplicate_key"),
    "an escaped model alone": (rb'{"mod\u0065l": "llama"}', "duplicate_key"),
    "an escaped user": (rb'{"model": "llama", "\u0075ser": "x"}', "duplicate_key"),
}


async def test_a_body_that_is_wrong_is_400_and_reaches_no_engine() -> None:
    async with running.scene() as scene:
        for what, (content, code) in BAD_BODIES.items():
            answer = await scene.ask(running.request(content))
            assert (answer.status, answer.code) == (400, code), what
            assert answer.error["type"] == "invalid_request_error"
        assert scene.engine.arrivals == 0


async def test_the_connection_serves_on_after_a_body_that_is_wrong() -> None:
    async with running.scene() as scene:
        raw = await scene.connect()
        raw.say(running.request(b"{"))
        assert (await raw.answer()).status == 400
        raw.say(running.chat())
        assert (await raw.answer()).status == 200


async def test_a_duplicate_deeper_down_is_no_concern_of_the_gateway() -> None:
    async with running.scene() as scene:
        content = b'{"model":"llama","messages":[{"role":"user","content":"x","model":1,"model":2}]}'
        assert (await scene.ask(running.request(content))).status == 200
        assert scene.engine.requests[0].body == content


async def test_a_model_without_a_route_is_404_model_not_found() -> None:
    async with running.scene() as scene:
        answer = await scene.ask(running.chat(model="nobody/knows"))
        assert (answer.status, answer.code) == (404, "model_not_found")
        assert answer.error["param"] == "model"
        assert answer.error["type"] == "invalid_request_error"


@pytest.mark.parametrize("path", ["/", "/v2/chat/completions", "/v1", "/models", "/metrics", "/debug/config_dump/pods"])
async def test_a_path_outside_the_api_is_404_not_found(path: str) -> None:
    async with running.scene() as scene:
        answer = await scene.get(path)
        assert (answer.status, answer.code) == (404, "not_found")
        answer = await scene.ask(running.request(running.body(), path=path))
        assert (answer.status, answer.code) == (404, "not_found")


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"])
async def test_other_methods_than_post_are_405_and_say_which_is_allowed(method: str) -> None:
    async with running.scene() as scene:
        answer = await scene.ask(running.get("/v1/chat/completions", method=method))
        assert answer.status == 405
        assert answer.headers["allow"] == "POST"
        assert answer.code == "method_not_allowed"
        assert scene.engine.arrivals == 0


async def test_head_gets_the_head_of_the_error_and_no_body() -> None:
    async with running.scene() as scene:
        raw = await scene.connect()
        raw.say(running.get("/v1/chat/completions", method="HEAD"))
        answer = await raw.answer(to_head=True)
        assert answer.status == 405
        assert int(answer.headers["content-length"]) > 0
        raw.say(running.chat())
        assert (await raw.answer()).status == 200


async def test_models_can_be_asked_for_with_head() -> None:
    async with running.scene() as scene:
        whole = await scene.get("/v1/models")
        raw = await scene.connect()
        raw.say(running.get("/v1/models", method="HEAD") + running.get("/healthz"))
        head = await raw.answer(to_head=True)
        assert head.status == 200
        assert head.headers["content-length"] == whole.headers["content-length"]
        assert (await raw.answer()).json() == {"message": "ok"}


async def test_a_websocket_is_refused_with_a_clear_400() -> None:
    async with running.scene() as scene:
        lines = ("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: eA==")
        answer = await scene.ask(running.get("/v1/realtime", *lines))
        assert (answer.status, answer.code) == (400, "bad_request")
        assert "Upgrade" in answer.error["message"]


async def test_http2_with_prior_knowledge_is_refused_with_a_400() -> None:
    async with running.scene() as scene:
        raw = await scene.connect()
        raw.say(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        answer = await raw.answer()
        assert (answer.status, answer.code) == (400, "bad_request")
        assert answer.headers["connection"] == "close"
        assert await raw.rest() == b""


async def test_an_offer_of_h2c_is_refused_and_never_reaches_an_engine() -> None:
    async with running.scene() as scene:
        lines = ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQ")
        assert (await scene.ask(running.chat(*lines))).status == 400
        assert scene.engine.arrivals == 0


async def test_before_the_first_objects_are_read_a_model_is_503_not_404() -> None:
    async with running.scene(given=lambda _: None) as scene:
        for request in (running.chat(), running.get("/v1/models"), running.get("/v1/models/llama")):
            answer = await scene.ask(request)
            assert (answer.status, answer.code) == (503, "not_synced")
            assert answer.error["type"] == "unavailable"
            assert int(answer.headers["retry-after"]) >= 1
        assert (await scene.get("/healthz")).status == 200
        assert (await scene.get("/readyz")).status == 503
        scene.source.change(running.objects([scene.servers[0].url.removeprefix("http://")]))
        assert (await scene.ask(running.chat())).status == 200
        assert (await scene.get("/readyz")).status == 200


async def test_a_model_without_a_ready_engine_is_503_no_ready_pod() -> None:
    async with running.scene(given=lambda _: running.objects([])) as scene:
        answer = await scene.ask(running.chat())
        assert (answer.status, answer.code) == (503, "no_ready_pod")
        assert answer.error["type"] == "unavailable"
        assert int(answer.headers["retry-after"]) >= 1


async def test_while_it_drains_answers_end_their_connections() -> None:
    async with running.scene() as scene:
        raw = await scene.connect()
        raw.say(running.chat("X-Mock-Hold-After: 0"))
        await scene.engine.until(lambda: scene.engine.held == 1)
        draining = asyncio.create_task(scene.gateway.drain())
        scene.engine.release()
        answer = await raw.answer()
        assert (answer.status, answer.headers["connection"]) == (200, "close")
        assert await raw.rest() == b""
        await draining


async def test_an_api_key_that_the_engine_refuses_is_the_engines_answer() -> None:
    async with running.scene(EngineConfig(models=(running.MODEL,), api_key="sk-right")) as scene:
        refused = await scene.ask(running.chat("Authorization: Bearer sk-wrong"))
        assert (refused.status, refused.json()) == (401, {"error": "Unauthorized"})
        assert (await scene.ask(running.chat("Authorization: Bearer sk-right"))).status == 200
