"""POST /v1/chat/completions."""

from typing import Any

import orjson
from pydantic import Field

from kthena_fast.mock_engine import words
from kthena_fast.mock_engine.generation import Demand, Generation

from . import chunks
from .calls import MAX_TOKENS, Call, Message, StreamOptions


class ChatCall(Call):
    messages: list[Message] = Field(min_length=1)
    stream: bool | None = False
    stream_options: StreamOptions | None = None
    max_tokens: int | None = MAX_TOKENS
    max_completion_tokens: int | None = MAX_TOKENS
    n: int = Field(default=1, ge=1)

    def demand(self) -> Demand:
        chunks.check_options(bool(self.stream), self.stream_options)
        prompt_tokens = words.tokens_in(sum(message.characters() for message in self.messages))
        limit = self.max_completion_tokens or self.max_tokens
        return Demand(self.model, prompt_tokens, limit, self.n, bool(self.stream))

    def script(self, generation: Generation) -> "ChatScript":
        return ChatScript(self, generation)


class ChatScript:
    __slots__ = ("_generation", "_id", "_stream")

    content_type = "application/json"

    def __init__(self, call: ChatCall, generation: Generation) -> None:
        self._generation = generation
        self._id = f"chatcmpl-{generation.id}"
        self._stream = (
            chunks.ChunkStream(generation, self._id, "chat.completion.chunk", _delta, call.stream_options)
            if call.stream
            else None
        )

    def whole(self) -> bytes:
        generation = self._generation
        message: dict[str, Any] = {
            "role": "assistant",
            "content": words.text(generation.output_tokens),
            "refusal": None,
            "annotations": None,
            "audio": None,
            "function_call": None,
            "tool_calls": [],
            "reasoning_content": None,
        }
        end = {"logprobs": None, "finish_reason": generation.finish, "stop_reason": None, "token_ids": None}
        return orjson.dumps(
            {
                "id": self._id,
                "object": "chat.completion",
                "created": generation.created,
                "model": generation.model,
                "choices": [{"index": index, "message": message, **end} for index in range(generation.choices)],
                "service_tier": None,
                "system_fingerprint": None,
                "usage": {**generation.usage, "prompt_tokens_details": None},
                "prompt_logprobs": None,
                "prompt_token_ids": None,
                "kv_transfer_params": None,
            }
        )

    def opening(self) -> bytes:
        assert self._stream is not None
        roles = [
            {
                "index": index,
                "delta": {"role": "assistant", "content": ""},
                "logprobs": None,
                "finish_reason": None,
            }
            for index in range(self._generation.choices)
        ]
        return self._stream.events(roles, 0)

    def token(self, index: int) -> bytes:
        assert self._stream is not None
        return self._stream.token(index)

    def closing(self) -> bytes:
        assert self._stream is not None
        return self._stream.closing()


def _delta(index: int, text: str, finish: str | None) -> dict[str, Any]:
    choice: dict[str, Any] = {"index": index, "delta": {"content": text}, "logprobs": None, "finish_reason": finish}
    if finish is not None:
        choice["stop_reason"] = None
    choice["token_ids"] = None
    return choice
