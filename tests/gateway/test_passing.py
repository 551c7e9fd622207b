"""What reaches the engine and what comes back: bytes as they were, but for what the gateway must change."""

from __future__ import annotations

from functools import partial
from typing import Any

import orjson
import pytest

from kthena_fast.exchange.record import Exchange
from kthena_fast.mock_engine import EngineConfig
from kthena_fast.routing.objects import Objects
from tests.gateway import running
from tests.upstream.client import Client, an_exchange

ODD = (
    rb' { "temperature" : 1.50e0,  "stop":["\u00e9\/"], "n":1, "big": 123456789012345678901234567890,'
    rb' "model"  :'
    b'\t"llama" , "messages":[{"role":"user","content":"\xc3\xa9 \\ud83d\\ude00"}] }\n'
)


def rewriting(addresses: list[str]) -> Objects:
    return running.objects(addresses, upstream_model="org/llama-3", adapters=["llama-sql"])


LARGE = EngineConfig(models=("org/llama-3",), adapters=("llama-sql",))


async def test_a_body_passes_byte_for_byte() -> None:
    async with running.scene() as scene:
        assert (await scene.ask(running.request(ODD))).status == 200
        assert scene.engine.requests[0].body == ODD


async def test_only_the_models_bytes_change_when_it_is_rewritten() -> None:
    async with running.scene(LARGE, given=rewriting) as scene:
        assert (await scene.ask(running.request(ODD))).status == 200
        (record,) = scene.engine.requests
        assert record.body == ODD.replace(b'"llama"', b'"org/llama-3"')
        assert record.header("Content-Length") == str(len(record.body))


async def test_the_name_of_an_adapter_stays() -> None:
    async with running.scene(LARGE, given=rewriting) as scene:
        assert (await scene.ask(running.chat(model="llama-sql"))).status == 200
        assert scene.engine.requests[0].json()["model"] == "llama-sql"


async def test_the_target_passes_with_its_query_and_escapes() -> None:
    async with running.scene() as scene:
        await scene.ask(running.request(running.body(), path="/v1/chat/completions?a=%2F&b=c%20d"))
        await scene.ask(running.request(running.body(), path="/v1/chat%2Fcompletions"))
        assert [record.path for record in scene.engine.requests] == [
            "/v1/chat/completions?a=%2F&b=c%20d",
            "/v1/chat%2Fcompletions",
        ]


OPTIONS: dict[str, Any] = {
    "not given": {},
    "null": {"stream_options": None},
    "empty": {"stream_options": {}},
    "false": {"stream_options": {"include_usage": False}},
    "another one": {"stream_options": {"continuous_usage_stats": False}},
}


@pytest.mark.parametrize("given", OPTIONS)
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/completions"])
async def test_usage_is_asked_for_and_taken_out_again_without_a_trace(given: str, path: str) -> None:
    plain = {"stream": True, "prompt": "hello", "max_tokens": 5}
    async with running.scene() as scene:
        answer = await scene.ask(
            running.request(running.body(**plain, **OPTIONS[given]), "X-Request-Id: same", path=path)
        )
        # vLLM takes options without the member for a wish to have usage; OpenAI, and so the gateway, does not.
        direct = await scene.ask(
            running.request(running.body(**plain), "X-Request-Id: same", path=path), scene.servers[0].port
        )
        assert scene.engine.requests[0].json()["stream_options"]["include_usage"] is True
        # Created is the second in which the answer began.
        assert _without_time(answer.body) == _without_time(direct.body)
        assert b'"usage"' not in answer.body
        assert answer.wire.endswith(b"0\r\n\r\n")


def _without_time(body: bytes) -> list[Any]:
    """Events with everything between them; only the time is evened out."""
    pieces: list[Any] = []
    for piece in body.split(b"data: "):
        if piece.startswith(b"{"):
            document, _, rest = piece.partition(b"}\n")
            parsed = orjson.loads(document + b"}")
            parsed.pop("created")
            pieces += [parsed, rest]
        else:
            pieces.append(piece)
    return pieces


async def test_usage_that_the_client_asked_for_stays() -> None:
    async with running.scene() as scene:
        content = running.body(stream=True, stream_options={"include_usage": True})
        answer = await scene.ask(running.request(content))
        assert scene.engine.requests[0].body == content
        last = orjson.loads(answer.body.split(b"data: ")[-2])
        assert last["choices"] == []
        assert last["usage"]["completion_tokens"] == 16


async def test_an_answer_that_is_not_streamed_passes_with_its_length() -> None:
    async with running.scene() as scene:
        answer = await scene.ask(running.chat("X-Request-Id: same"))
        direct = await scene.ask(running.chat("X-Request-Id: same"), scene.servers[0].port)
        assert answer.headers["content-length"] == direct.headers["content-length"]
        assert answer.headers["content-type"] == direct.headers["content-type"]
        assert answer.json().pop("choices") == direct.json().pop("choices")
        assert scene.engine.requests[0].body == scene.engine.requests[1].body


async def test_headers_that_end_at_the_gateway_and_headers_that_pass() -> None:
    async with running.scene() as scene:
        await scene.ask(
            running.chat(
                "Authorization: Bearer sk-1",
                "X-Api-Key: key",
                "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
                "User-Agent: someone",
                "X-Custom: one",
                "X-Custom: two",
                "Cookie: session=1",
                "Accept-Encoding: gzip",
                "Connection: keep-alive, X-Hop",
                "X-Hop: mine",
                "Keep-Alive: timeout=5",
                "TE: trailers",
                "Trailer: X-T",
                "Proxy-Authorization: Basic eA==",
                "Proxy-Connection: keep-alive",
                "X-Forwarded-For: 1.2.3.4",
                "X-Forwarded-Proto: https",
                "X-Real-IP: 1.2.3.4",
                "Forwarded: for=1.2.3.4",
                "X-Forwarded-Host: evil.test",
            )
        )
        (record,) = scene.engine.requests
        names = sorted(name.lower().decode() for name, _ in record.headers)
        assert names == [
            "authorization",
            "content-length",
            "content-type",
            "host",
            "traceparent",
            "user-agent",
            "x-api-key",
            "x-custom",
            "x-custom",
            "x-forwarded-for",
            "x-forwarded-proto",
            "x-request-id",
        ]
        assert record.header("Host") == f"127.0.0.1:{scene.servers[0].port}"
        assert record.header("Authorization") == "Bearer sk-1"
        assert record.header("X-Forwarded-For") == "127.0.0.1"
        assert record.header("X-Forwarded-Proto") == "http"


async def test_behind_a_trusted_proxy_the_forwarded_headers_are_continued() -> None:
    async with running.scene(trusted_proxies="127.0.0.0/8") as scene:
        await scene.ask(
            running.chat("X-Forwarded-For: 192.0.2.9", "X-Forwarded-For: 10.0.0.1", "X-Forwarded-Proto: https")
        )
        await scene.ask(running.chat())
        told, untold = scene.engine.requests
        assert told.header("X-Forwarded-For") == "192.0.2.9, 10.0.0.1, 127.0.0.1"
        assert told.header("X-Forwarded-Proto") == "https"
        assert untold.header("X-Forwarded-For") == "127.0.0.1"


async def test_a_proxy_that_is_not_trusted_is_not_believed() -> None:
    async with running.scene(trusted_proxies="10.0.0.0/8") as scene:
        await scene.ask(running.chat("X-Forwarded-For: 192.0.2.9"))
        assert scene.engine.requests[0].header("X-Forwarded-For") == "127.0.0.1"


async def test_a_request_id_that_is_one_is_kept_and_returned() -> None:
    async with running.scene() as scene:
        for given in ("r", "A.b_c-1", "x" * 128):
            answer = await scene.ask(running.chat(f"X-Request-Id: {given}"))
            assert answer.headers["x-request-id"] == given
            assert scene.engine.requests[-1].header("X-Request-Id") == given


@pytest.mark.parametrize("given", ["", "x" * 129, "a b", "a/b", "<script>", "é", 'a"b', "r1\r\nX-Request-Id: r2"])
async def test_a_request_id_that_is_none_is_replaced(given: str) -> None:
    async with running.scene() as scene:
        answer = await scene.ask(running.chat(f"X-Request-Id: {given}"))
        made = answer.headers["x-request-id"]
        assert made != given
        assert len(made) == 32
        assert [value for name, value in scene.engine.requests[0].headers if name.lower() == b"x-request-id"] == [
            made.encode()
        ]


FORM = (
    b'--xyz\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\nContent-Type: audio/wav\r\n\r\n'
    b"RIFF\0\xff\r\n--xy\r\n"
    b'\r\n--xyz\r\nContent-Disposition: form-data; name="model"\r\n\r\nllama\r\n--xyz--\r\n'
)


async def test_a_forms_model_is_rewritten_and_its_file_untouched() -> None:
    async with running.scene(LARGE, given=rewriting) as scene:
        answer = await scene.ask(
            running.request(FORM, "Content-Type: multipart/form-data; boundary=xyz", path="/v1/audio/transcriptions")
        )
        assert answer.status == 200
        assert scene.engine.requests[0].body == FORM.replace(b"llama", b"org/llama-3")


async def test_a_form_that_names_two_models_or_none_is_400() -> None:
    async with running.scene() as scene:
        part = b'--xyz\r\nContent-Disposition: form-data; name="model"\r\n\r\nother\r\n'
        for form, code in ((part + FORM, "duplicate_key"), (FORM.replace(b'"model"', b'"x"'), "missing_model")):
            answer = await scene.ask(
                running.request(form, "Content-Type: multipart/form-data; boundary=xyz", path="/v1/audio/translations")
            )
            assert (answer.status, answer.code) == (400, code)
        assert scene.engine.arrivals == 0


async def test_a_form_that_cannot_carry_the_engines_name_of_the_model_is_400() -> None:
    config = EngineConfig(models=("org/xyz-large",))
    async with running.scene(config, given=partial(running.objects, upstream_model="org/xyz-large")) as scene:
        # The name holds the boundary that this client happened to choose.
        form = FORM.replace(b"--xyz", b"--xyz-large")
        answer = await scene.ask(
            running.request(
                form, "Content-Type: multipart/form-data; boundary=xyz-large", path="/v1/audio/translations"
            )
        )
        assert (answer.status, answer.code) == (400, "bad_request")
        assert scene.engine.arrivals == 0


async def test_what_no_engine_may_be_sent_is_400() -> None:
    # No parser lets such a thing in; should one do so, the client is told, and not that the gateway failed.
    exchange = an_exchange()
    exchange.headers = [(b"content-type", b"application/json"), (b"x", b"a\rb")]
    exchange.body = running.body()
    client = Client()
    done: list[Exchange] = []
    async with running.scene() as scene:
        assert scene.gateway._way is not None
        assert scene.gateway._way.journey.serve_at_once(exchange, client, done.append) is None
        assert (client.status, exchange.status, done) == (400, 400, [exchange])
        assert b'"bad_request"' in client.body
        assert scene.engine.arrivals == 0
