"""An application developer's day: the OpenAI SDK, unchanged, against the gateway."""

from __future__ import annotations

from typing import Any

import openai
import pytest
from openai.types.chat import ChatCompletionChunk, ChatCompletionMessageParam

from kthena_fast.mock_engine import EngineConfig
from kthena_fast.routing.objects import Objects
from tests.gateway import running
from tests.gateway.running import faulty

HELLO: list[ChatCompletionMessageParam] = [{"role": "user", "content": "hello"}]


def slashed(addresses: list[str]) -> Objects:
    return running.objects(addresses, model="meta-llama/Llama-3", adapters=["sql/lora"])


async def test_a_chat() -> None:
    async with running.scene() as scene:
        answer = await scene.openai().chat.completions.create(model="llama", messages=HELLO, max_tokens=4)
        assert answer.choices[0].message.content == " the quick brown fox"
        assert answer.choices[0].finish_reason == "length"
        assert answer.usage is not None
        assert answer.usage.completion_tokens == 4
        assert answer._request_id


async def test_a_chat_that_is_streamed_without_usage() -> None:
    async with running.scene() as scene:
        stream = await scene.openai().chat.completions.create(model="llama", messages=HELLO, stream=True)
        chunks = [chunk async for chunk in stream]
        text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
        assert text.startswith(" the quick brown fox")
        assert all(chunk.usage is None for chunk in chunks)
        assert scene.engine.requests[0].json()["stream_options"] == {"include_usage": True}


async def test_a_chat_that_is_streamed_with_usage() -> None:
    async with running.scene() as scene:
        stream = await scene.openai().chat.completions.create(
            model="llama", messages=HELLO, stream=True, stream_options={"include_usage": True}
        )
        chunks = [chunk async for chunk in stream]
        assert chunks[-1].choices == []
        usage = chunks[-1].usage
        assert usage is not None
        assert usage.completion_tokens == 16


@pytest.mark.parametrize("prompt", ["hello", ["hello", "there"], [1, 2, 3, 4], [[1, 2], [3, 4]]])
async def test_completions_of_every_kind_of_prompt(prompt: Any) -> None:
    async with running.scene() as scene:
        completions = scene.openai().completions
        answer = await completions.create(model="llama", prompt=prompt, max_tokens=3)
        assert answer.choices[0].text == " the quick brown"
        stream = await completions.create(model="llama", prompt=prompt, max_tokens=3, stream=True)
        chunks = [chunk async for chunk in stream]
        assert "".join(chunk.choices[0].text for chunk in chunks if chunk.choices[0].index == 0) == " the quick brown"
        assert scene.engine.requests[0].json()["prompt"] == prompt


async def test_embeddings() -> None:
    async with running.scene() as scene:
        answer = await scene.openai().embeddings.create(model="llama", input=["one", "two"])
        assert [len(entry.embedding) for entry in answer.data] == [8, 8]


async def test_responses_whole_and_streamed() -> None:
    async with running.scene() as scene:
        responses = scene.openai().responses
        answer = await responses.create(model="llama", input="hello")
        assert answer.output_text.startswith(" the quick")
        kinds = [event.type async for event in await responses.create(model="llama", input="hello", stream=True)]
        assert kinds[0] == "response.created"
        assert kinds[-1] == "response.completed"
        assert "stream_options" not in scene.engine.requests[-1].json()


async def test_models_whose_names_have_slashes() -> None:
    async with running.scene(given=slashed) as scene:
        models = scene.openai().models
        assert [model.id async for model in models.list()] == ["meta-llama/Llama-3", "sql/lora"]
        assert (await models.retrieve("meta-llama/Llama-3")).id == "meta-llama/Llama-3"
        assert (await models.retrieve("sql/lora")).owned_by == "kthena"
        with pytest.raises(openai.NotFoundError):
            await models.retrieve("meta-llama")


async def test_a_recording_is_transcribed_by_the_model_it_is_rewritten_to() -> None:
    config = EngineConfig(models=("org/whisper",))
    async with running.scene(config, given=lambda found: running.objects(found, upstream_model="org/whisper")) as scene:
        answer = await scene.openai().audio.transcriptions.create(model="llama", file=("a.wav", b"RIFF" * 500))
        assert answer.text.startswith(" the")
        (record,) = scene.engine.requests
        assert b"\r\n\r\norg/whisper\r\n" in record.body
        assert b"RIFF" * 500 in record.body


async def test_errors_are_raised_as_the_sdks_own_classes() -> None:
    async with running.scene() as scene:
        chat = scene.openai().chat.completions
        with pytest.raises(openai.NotFoundError) as not_found:
            await chat.create(model="nobody", messages=HELLO)
        assert (not_found.value.code, not_found.value.param) == ("model_not_found", "model")
        assert not_found.value.type == "invalid_request_error"
        assert not_found.value.request_id
        with pytest.raises(openai.BadRequestError) as bad:
            await chat.create(model="", messages=HELLO)
        assert bad.value.code == "missing_model"


ENGINES = {
    "status:400": openai.BadRequestError,
    "status:401": openai.AuthenticationError,
    "status:403": openai.PermissionDeniedError,
    "status:409": openai.ConflictError,
    "status:422": openai.UnprocessableEntityError,
    "status:429": openai.RateLimitError,
    "status:500": openai.InternalServerError,
    "status:503": openai.InternalServerError,
    "garbage": openai.InternalServerError,
    "die-before-head": openai.InternalServerError,
}


@pytest.mark.parametrize("fault", ENGINES)
async def test_what_the_engine_does_is_raised_as_what_it_is(fault: str) -> None:
    async with running.scene(faulty(fault)) as scene:
        with pytest.raises(ENGINES[fault]):
            await scene.openai().chat.completions.create(model="llama", messages=HELLO)


async def test_a_timeout_of_the_gateway_is_not_repeated_by_the_sdk() -> None:
    async with running.scene(
        faulty("hang"), given=lambda found: running.objects(found, policy={"timeout": "50ms"})
    ) as scene:
        with pytest.raises(openai.InternalServerError) as late:
            await scene.openai(max_retries=3).chat.completions.create(model="llama", messages=HELLO)
        assert (late.value.status_code, late.value.code) == (504, "upstream_timeout")
        assert scene.engine.arrivals == 1


async def test_a_timeout_of_the_client_frees_the_engine() -> None:
    async with running.scene(faulty("hang")) as scene:
        with pytest.raises(openai.APITimeoutError):
            await scene.openai(timeout=0.2).chat.completions.create(model="llama", messages=HELLO)
        await running.within(1.0, scene.engine.until(lambda: scene.engine.requests[0].aborted))
        await scene.settled()
        assert scene.in_flight == 0


async def test_a_stream_that_the_engine_breaks_off_raises_and_does_not_end_as_if_it_were_whole() -> None:
    async with running.scene(faulty("die-mid-stream:3")) as scene:
        stream = await scene.openai().chat.completions.create(
            model="llama", messages=HELLO, stream=True, extra_headers={"X-Mock-Token-Interval": "10ms"}
        )
        seen: list[ChatCompletionChunk] = []

        async def read() -> None:
            async for chunk in stream:
                seen.append(chunk)  # noqa: PERF401 - what came before it broke is looked at

        with pytest.raises(openai.APIError) as broken:
            await read()
        assert len(seen) == 4
        assert broken.value.code == "protocol_error"


async def test_a_stream_that_the_client_closes_is_aborted() -> None:
    async with running.scene() as scene:
        stream = await scene.openai().chat.completions.create(
            model="llama", messages=HELLO, stream=True, extra_headers={"X-Mock-Hold-After": "2"}
        )
        async for _ in stream:
            break
        await stream.close()
        await running.within(1.0, scene.engine.until(lambda: scene.engine.requests[0].aborted))
