"""What the engine answers, read by the OpenAI SDK where it has the API and as plain JSON where it has not."""

import base64
import struct
from collections.abc import AsyncIterator

import httpx
import openai
import orjson
import pytest

from kthena_fast.mock_engine import EngineConfig, MockEngine, RunningEngine, words

MESSAGES: list[openai.types.chat.ChatCompletionMessageParam] = [{"role": "user", "content": "nine char"}]


def events(text: str) -> list[dict[str, object]]:
    """The data of an SSE stream; named events must carry their name as their type too."""
    found = []
    for block in text.removesuffix("\n\n").split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.split("\n"))
        if fields["data"] != "[DONE]":
            found.append(orjson.loads(fields["data"]))
            assert fields.get("event", found[-1].get("type")) == found[-1].get("type")
    return found


@pytest.fixture
async def http(server: RunningEngine) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=server.url) as client:
        yield client


async def test_a_chat_answer_has_as_many_tokens_as_were_asked_for(sdk: openai.AsyncOpenAI) -> None:
    answer = await sdk.chat.completions.create(model="mock", messages=MESSAGES, max_tokens=7)
    assert answer.choices[0].message.content == words.text(7)
    assert answer.choices[0].finish_reason == "length"
    assert answer.usage is not None
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens, answer.usage.total_tokens) == (3, 7, 10)


async def test_without_a_limit_an_answer_has_the_configured_length_and_stops_by_itself(sdk: openai.AsyncOpenAI) -> None:
    answer = await sdk.chat.completions.create(model="mock", messages=MESSAGES)
    assert answer.choices[0].message.content == words.text(5)
    assert answer.choices[0].finish_reason == "stop"


async def test_a_chat_stream_is_roles_then_tokens_then_a_finish_then_done(http: httpx.AsyncClient) -> None:
    body = {"model": "mock", "messages": MESSAGES, "stream": True, "max_tokens": 2, "n": 2}
    text = (await http.post("/v1/chat/completions", json=body)).text
    choices = [event["choices"][0] for event in events(text)]  # type: ignore[index]
    first, second = words.WORDS[:2]
    assert [choice["delta"] for choice in choices] == [
        *[{"role": "assistant", "content": ""}] * 2,
        *[{"content": first}] * 2,
        *[{"content": second}] * 2,
        *[{"content": ""}] * 2,
    ]
    assert [choice["index"] for choice in choices] == [0, 1] * 4
    assert [choice["finish_reason"] for choice in choices] == [None] * 6 + ["length"] * 2
    assert text.endswith("data: [DONE]\n\n")
    assert "usage" not in text


async def test_a_stream_tells_usage_in_an_event_of_its_own_when_asked(sdk: openai.AsyncOpenAI) -> None:
    stream = await sdk.chat.completions.create(
        model="mock", messages=MESSAGES, stream=True, stream_options={"include_usage": True}
    )
    chunks = [chunk async for chunk in stream]
    assert all(chunk.usage is None for chunk in chunks[:-1])
    assert chunks[-1].choices == []
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens == 5


async def test_continuous_usage_counts_up_in_every_event(http: httpx.AsyncClient) -> None:
    options = {"include_usage": True, "continuous_usage_stats": True}
    body = {"model": "mock", "prompt": "abcd", "stream": True, "max_tokens": 3, "stream_options": options}
    found = events((await http.post("/v1/completions", json=body)).text)
    assert [event["usage"]["completion_tokens"] for event in found] == [1, 2, 3, 3, 3]  # type: ignore[index]


@pytest.mark.parametrize(
    ("prompt", "prompt_tokens", "choices"),
    [
        ("12345", 2, 1),
        (["1234", "12345"], 3, 2),
        ([7, 8, 9], 3, 1),
        ([[1, 2], [3]], 3, 2),
    ],
    ids=["text", "texts", "tokens", "token lists"],
)
async def test_completions_take_every_form_of_prompt(
    sdk: openai.AsyncOpenAI, prompt: list[int], prompt_tokens: int, choices: int
) -> None:
    answer = await sdk.completions.create(model="mock", prompt=prompt, max_tokens=2, n=2)
    assert [choice.text for choice in answer.choices] == [words.text(2)] * choices * 2
    assert answer.usage is not None
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (prompt_tokens, choices * 4)


async def test_the_sdk_reads_a_response_whole(sdk: openai.AsyncOpenAI) -> None:
    answer = await sdk.responses.create(model="mock", input="12345678", instructions="1234")
    assert answer.output_text == words.text(5)
    assert answer.status == "completed"
    assert answer.usage is not None
    assert (answer.usage.input_tokens, answer.usage.output_tokens) == (3, 5)


async def test_the_sdk_reads_a_response_as_a_stream(sdk: openai.AsyncOpenAI) -> None:
    async with sdk.responses.stream(model="mock", input=[{"role": "user", "content": "1234"}]) as stream:
        seen = [event async for event in stream]
        final = await stream.get_final_response()
    assert [event.type for event in seen] == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
        *["response.output_text.delta"] * 5,
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.completed",
    ]
    assert [event.sequence_number for event in seen] == list(range(13))
    assert final.output_text == words.text(5)


async def test_a_response_that_was_cut_says_so(sdk: openai.AsyncOpenAI) -> None:
    answer = await sdk.responses.create(model="mock", input="hi", max_output_tokens=16, stream=True)
    last = [event async for event in answer][-1]
    assert last.type == "response.incomplete"
    assert last.response.incomplete_details is not None
    assert last.response.incomplete_details.reason == "max_output_tokens"


async def test_a_message_has_anthropics_shape(http: httpx.AsyncClient) -> None:
    body = {"model": "mock", "messages": MESSAGES, "system": "123", "max_tokens": 3}
    answer = (await http.post("/v1/messages", json=body)).json()
    assert answer["content"] == [{"type": "text", "text": words.text(3)}]
    assert answer["stop_reason"] == "max_tokens"
    assert answer["usage"] == {"input_tokens": 3, "output_tokens": 3}


async def test_a_stream_of_messages_has_anthropics_events(http: httpx.AsyncClient) -> None:
    body = {"model": "mock", "messages": MESSAGES, "max_tokens": 2, "stream": True}
    found = events((await http.post("/v1/messages", json=body)).text)
    assert [event["type"] for event in found] == [
        "message_start",
        "content_block_start",
        "ping",
        "content_block_delta",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]
    assert found[-2]["usage"] == {"input_tokens": 3, "output_tokens": 2}


async def test_tokens_of_a_message_are_counted(http: httpx.AsyncClient) -> None:
    body = {"model": "mock", "messages": [{"role": "user", "content": [{"type": "text", "text": "12345"}]}]}
    assert (await http.post("/v1/messages/count_tokens", json=body)).json() == {"input_tokens": 2}


async def test_equal_texts_have_equal_embeddings_in_both_encodings(
    sdk: openai.AsyncOpenAI, http: httpx.AsyncClient
) -> None:
    # The SDK asks for base64.
    coded = await sdk.embeddings.create(model="mock", input=["one", "two", "one"])
    assert coded.data[0].embedding == coded.data[2].embedding != coded.data[1].embedding
    assert coded.usage.prompt_tokens == 3
    plain = (await http.post("/v1/embeddings", json={"input": "one", "dimensions": 8})).json()["data"][0]["embedding"]
    assert plain == coded.data[0].embedding
    body = {"input": [1, 2, 3], "encoding_format": "base64"}
    packed = (await http.post("/v1/embeddings", json=body)).json()["data"]
    assert len(packed) == 1
    assert len(struct.unpack("<8f", base64.b64decode(packed[0]["embedding"]))) == 8


@pytest.mark.parametrize("path", ["/v1/rerank", "/rerank", "/v2/rerank"])
async def test_rerank_sorts_and_cuts(http: httpx.AsyncClient, path: str) -> None:
    body = {"model": "mock", "query": "q", "documents": ["a", "b", "c"], "top_n": 2}
    answer = (await http.post(path, json=body)).json()
    scores = [result["relevance_score"] for result in answer["results"]]
    assert scores == sorted(scores, reverse=True)
    assert len(scores) == 2
    assert answer["usage"] == {"prompt_tokens": 6, "total_tokens": 6}


@pytest.mark.parametrize("path", ["/v1/score", "/score"])
async def test_score_pairs_one_text_with_each_of_others(http: httpx.AsyncClient, path: str) -> None:
    answer = (await http.post(path, json={"model": "mock", "text_1": "q", "text_2": ["a", "b"]})).json()
    assert [each["index"] for each in answer["data"]] == [0, 1]
    assert answer["usage"]["prompt_tokens"] == 4


async def test_score_refuses_lists_that_do_not_pair(http: httpx.AsyncClient) -> None:
    answer = await http.post("/score", json={"text_1": ["a", "b"], "text_2": ["a", "b", "c"]})
    assert answer.status_code == 400


@pytest.mark.parametrize("path", ["/v1/classify", "/classify"])
async def test_classify_gives_probabilities_that_add_up(http: httpx.AsyncClient, path: str) -> None:
    answer = (await http.post(path, json={"model": "mock", "input": ["a", "b"]})).json()
    assert [sum(each["probs"]) for each in answer["data"]] == [pytest.approx(1)] * 2


@pytest.mark.parametrize("path", ["/v1/tokenize", "/tokenize"])
async def test_tokenize_counts_what_completions_count(http: httpx.AsyncClient, path: str) -> None:
    longer = (await http.post(path, json={"model": "mock", "prompt": "abcdefghi"})).json()
    shorter = (await http.post(path, json={"model": "mock", "messages": [{"role": "user", "content": "abcd"}]})).json()
    assert (longer["count"], shorter["count"]) == (3, 1)
    assert longer["tokens"][:1] == shorter["tokens"]


async def test_the_sdk_has_audio_transcribed(sdk: openai.AsyncOpenAI) -> None:
    audio = b"RIFF\r\n--\r\n" + bytes(2_000)
    assert (await sdk.audio.transcriptions.create(model="mock", file=("a.wav", audio))).text == words.text(5)
    text = await sdk.audio.transcriptions.create(model="mock", file=("a.wav", audio), response_format="text")
    assert str(text).strip() == words.text(5).strip()


async def test_a_form_without_a_file_or_an_end_is_refused(http: httpx.AsyncClient) -> None:
    path, kind = "/v1/audio/transcriptions", {"Content-Type": "multipart/form-data; boundary=x"}
    assert "file" in (await http.post(path, content=b"--x--\r\n", headers=kind)).json()["error"]["message"]
    assert (await http.post(path, content=b"--x\r\n", headers=kind)).status_code == 400
    assert (await http.post(path, json={})).status_code == 400


async def test_models_and_adapters_are_listed_and_found_by_names_with_slashes(
    sdk: openai.AsyncOpenAI, http: httpx.AsyncClient
) -> None:
    assert [model.id async for model in sdk.models.list()] == ["mock", "org/model", "adapter"]
    assert (await http.get("/v1/models/org/model")).json()["id"] == "org/model"
    assert (await sdk.models.retrieve("org/model")).id == "org/model"  # the SDK escapes the slash
    assert (await http.get("/v1/models/adapter")).json()["parent"] == "mock"
    assert (await http.get("/v1/models/other")).status_code == 404


async def test_health_and_version_answer(http: httpx.AsyncClient) -> None:
    assert (await http.get("/health")).status_code == 200
    assert "version" in (await http.get("/version")).json()


async def test_an_unknown_model_raises_the_sdks_own_not_found(sdk: openai.AsyncOpenAI) -> None:
    with pytest.raises(openai.NotFoundError, match="The model `other` does not exist") as caught:
        await sdk.chat.completions.create(model="other", messages=MESSAGES)
    assert caught.value.body == {
        "message": "The model `other` does not exist.",
        "type": "NotFoundError",
        "param": "model",
        "code": 404,
    }


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"messages": []},
        {"messages": MESSAGES, "max_tokens": 0},
        {"messages": MESSAGES, "n": "x"},
        {"messages": MESSAGES, "stream_options": {"include_usage": True}},
    ],
)
async def test_an_invalid_call_is_refused_in_vllms_shape(http: httpx.AsyncClient, body: dict[str, object]) -> None:
    answer = await http.post("/v1/chat/completions", json=body)
    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == 400
    assert answer.json()["error"]["type"] == "BadRequestError"


async def test_what_is_not_json_is_refused(http: httpx.AsyncClient) -> None:
    assert (await http.post("/v1/chat/completions", content=b"{")).status_code == 400


async def test_anthropics_api_has_anthropics_errors(http: httpx.AsyncClient) -> None:
    answer = await http.post("/v1/messages", json={"messages": MESSAGES})
    assert (answer.status_code, answer.json()["error"]["type"]) == (400, "invalid_request_error")
    assert answer.json()["type"] == "error"


async def test_unknown_paths_and_methods_are_refused_as_by_fastapi(http: httpx.AsyncClient) -> None:
    assert (await http.get("/nowhere")).json() == {"detail": "Not Found"}
    assert (await http.get("/v1/chat/completions")).status_code == 405
    assert (await http.post("/v1/models")).status_code == 405


async def test_the_answer_is_named_after_the_requests_id(http: httpx.AsyncClient) -> None:
    body = {"model": "mock", "messages": MESSAGES}
    answer = await http.post("/v1/chat/completions", json=body, headers={"X-Request-Id": "abc"})
    assert answer.json()["id"] == "chatcmpl-abc"


async def test_headers_set_length_and_natural_end_for_one_request(http: httpx.AsyncClient) -> None:
    body = {"model": "mock", "messages": MESSAGES, "max_tokens": 9}
    answer = await http.post("/v1/chat/completions", json=body, headers={"X-Mock-Output-Tokens": "4"})
    assert answer.json()["usage"]["completion_tokens"] == 4
    assert answer.json()["choices"][0]["finish_reason"] == "stop"
    refused = await http.post("/v1/chat/completions", json=body, headers={"X-Mock-Output-Tokens": "none"})
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "X-Mock-Output-Tokens")


async def test_a_key_is_asked_for_under_v1_only() -> None:
    engine = MockEngine(EngineConfig(api_key="secret"))
    async with engine.running() as server, httpx.AsyncClient(base_url=server.url) as http:
        assert (await http.get("/v1/models")).status_code == 401
        assert (await http.get("/health")).status_code == 200
        assert (await http.get("/v1/models", headers={"Authorization": "Bearer secret"})).status_code == 200


async def test_a_prompt_beyond_the_context_is_refused() -> None:
    engine = MockEngine(EngineConfig(max_model_len=2))
    async with engine.running() as server, httpx.AsyncClient(base_url=server.url) as http:
        answer = await http.post("/v1/completions", json={"prompt": [1, 2, 3]})
        assert "maximum context length is 2 tokens" in answer.json()["error"]["message"]
