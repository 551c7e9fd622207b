"""POST /v1/completions: prompts as text, as texts, as tokens, as lists of tokens."""

from collections.abc import Sequence
from typing import Any

import orjson
from pydantic import Field

from kthena_fast.mock_engine import refusals, words
from kthena_fast.mock_engine.generation import Demand, Generation

from . import chunks
from .calls import MAX_TOKENS, Call, StreamOptions


class CompletionCall(Call):
    prompt: str | list[str] | list[int] | list[list[int]]
    stream: bool | None = False
    stream_options: StreamOptions | None = None
    max_tokens: int | None = MAX_TOKENS
    n: int = Field(default=1, ge=1)

    def demand(self) -> Demand:
        chunks.check_options(bool(self.stream), self.stream_options)
        prompts = sizes(self.prompt)
        if not all(prompts):
            raise refusals.Refusal(400, "The decoder prompt cannot be empty", param="prompt")
        # vLLM answers every prompt n times.
        return Demand(self.model, sum(prompts), self.max_tokens, self.n * len(prompts), bool(self.stream))

    def script(self, generation: Generation) -> "CompletionScript":
        return CompletionScript(self, generation)


def sizes(prompt: str | Sequence[str | int | list[int]]) -> list[int]:
    """Tokens of each prompt; 0 where it is empty."""
    if isinstance(prompt, str):
        return [_size(prompt)]
    if not prompt or isinstance(prompt[0], int):
        return [len(prompt)]
    return [0 if isinstance(each, int) else _size(each) for each in prompt]


def _size(prompt: str | list[int]) -> int:
    if isinstance(prompt, list):
        return len(prompt)
    return words.tokens_in(len(prompt)) if prompt else 0


class CompletionScript:
    __slots__ = ("_generation", "_id", "_stream")

    content_type = "application/json"

    def __init__(self, call: CompletionCall, generation: Generation) -> None:
        self._generation = generation
        self._id = f"cmpl-{generation.id}"
        self._stream = (
            chunks.ChunkStream(generation, self._id, "text_completion", _choice, call.stream_options)
            if call.stream
            else None
        )

    def whole(self) -> bytes:
        generation = self._generation
        text = words.text(generation.output_tokens)
        return orjson.dumps(
            {
                "id": self._id,
                "object": "text_completion",
                "created": generation.created,
                "model": generation.model,
                "choices": [
                    {**_choice(index, text, generation.finish), "prompt_logprobs": None}
                    for index in range(generation.choices)
                ],
                "service_tier": None,
                "system_fingerprint": None,
                "usage": {**generation.usage, "prompt_tokens_details": None},
                "kv_transfer_params": None,
            }
        )

    def opening(self) -> bytes:
        return b""

    def token(self, index: int) -> bytes:
        assert self._stream is not None
        return self._stream.token(index)

    def closing(self) -> bytes:
        assert self._stream is not None
        return self._stream.closing()


def _choice(index: int, text: str, finish: str | None) -> dict[str, Any]:
    return {"index": index, "text": text, "logprobs": None, "finish_reason": finish, "stop_reason": None}
