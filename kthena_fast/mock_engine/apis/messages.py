"""POST /v1/messages and /v1/messages/count_tokens: Anthropic's API."""

from typing import Any

import orjson
from pydantic import Field

from kthena_fast.mock_engine import words
from kthena_fast.mock_engine.generation import HOLE, Demand, Generation, Settings, around_text, named_sse

from .calls import Call, Content, Message


class _Conversation(Call):
    messages: list[Message] = Field(min_length=1)
    system: Content = None

    def prompt_tokens(self) -> int:
        said = sum(message.characters() for message in self.messages)
        return words.tokens_in(words.characters_in(self.system) + said)


class MessagesCall(_Conversation):
    max_tokens: int = Field(ge=1)
    stream: bool | None = False

    def demand(self) -> Demand:
        return Demand(self.model, self.prompt_tokens(), self.max_tokens, stream=bool(self.stream))

    def script(self, generation: Generation) -> "MessagesScript":
        return MessagesScript(generation)


class CountTokensCall(_Conversation):
    def demand(self) -> Demand:
        return Demand(self.model, self.prompt_tokens())

    def answer(self, generation: Generation, settings: Settings) -> bytes:
        return orjson.dumps({"input_tokens": generation.prompt_tokens})


class MessagesScript:
    __slots__ = ("_around", "_generation")

    content_type = "application/json"

    def __init__(self, generation: Generation) -> None:
        self._generation = generation
        delta = {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": HOLE}}
        self._around = around_text(named_sse(delta))

    def whole(self) -> bytes:
        generation = self._generation
        content = [{"type": "text", "text": words.text(generation.output_tokens)}]
        return orjson.dumps(self._message(content, self._stop_reason, generation.output_tokens))

    def opening(self) -> bytes:
        block = {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}
        start = {"type": "message_start", "message": self._message([], None, 0)}
        return named_sse(start) + named_sse(block) + named_sse({"type": "ping"})

    def token(self, index: int) -> bytes:
        before, after = self._around
        return before + words.WORDS_JSON[index % len(words.WORDS_JSON)] + after

    def closing(self) -> bytes:
        generation = self._generation
        end = {
            "type": "message_delta",
            "delta": {"stop_reason": self._stop_reason, "stop_sequence": None},
            "usage": {"input_tokens": generation.prompt_tokens, "output_tokens": generation.output_tokens},
        }
        stop = named_sse({"type": "content_block_stop", "index": 0})
        return stop + named_sse(end) + named_sse({"type": "message_stop"})

    @property
    def _stop_reason(self) -> str:
        return "max_tokens" if self._generation.finish == "length" else "end_turn"

    def _message(self, content: list[dict[str, Any]], stop_reason: str | None, output_tokens: int) -> dict[str, Any]:
        return {
            "id": f"msg_{self._generation.id}",
            "type": "message",
            "role": "assistant",
            "content": content,
            "model": self._generation.model,
            "stop_reason": stop_reason,
            "stop_sequence": None,
            "usage": {"input_tokens": self._generation.prompt_tokens, "output_tokens": output_tokens},
        }
