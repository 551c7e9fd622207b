"""POST /v1/responses: OpenAI's Responses API."""

from typing import Any

import orjson

from kthena_fast.mock_engine import words
from kthena_fast.mock_engine.generation import HOLE, Demand, Generation, around_text, named_sse

from .calls import MAX_TOKENS, Call, Content

_EVENTS_BEFORE_TEXT = 4
"""created, in_progress, output_item.added, content_part.added"""


class ResponseCall(Call):
    input: str | list[dict[str, Any]]
    instructions: str | None = None
    stream: bool | None = False
    max_output_tokens: int | None = MAX_TOKENS

    def demand(self) -> Demand:
        characters = len(self.instructions or "")
        if isinstance(self.input, str):
            characters += len(self.input)
        else:
            characters += sum(_characters(item) for item in self.input)
        return Demand(self.model, words.tokens_in(characters), self.max_output_tokens, stream=bool(self.stream))

    def script(self, generation: Generation) -> "ResponseScript":
        return ResponseScript(self, generation)


def _characters(item: dict[str, Any]) -> int:
    # A message has content, the outcome of a tool has output, and a call of one has arguments.
    content: Content = next((item[key] for key in ("content", "output", "arguments") if key in item), None)
    return words.characters_in(content)


class ResponseScript:
    __slots__ = ("_around", "_call", "_generation")

    content_type = "application/json"

    def __init__(self, call: ResponseCall, generation: Generation) -> None:
        self._call = call
        self._generation = generation
        # The sequence number stands last, so that it too can be filled in.
        event = {"type": "response.output_text.delta", **self._place, "delta": HOLE, "logprobs": []}
        self._around = around_text(named_sse(event))

    @property
    def _place(self) -> dict[str, Any]:
        return {"item_id": f"msg_{self._generation.id}", "output_index": 0, "content_index": 0}

    def whole(self) -> bytes:
        return orjson.dumps(self._response(self._end, [self._item(self._end, [self._part()])]))

    def opening(self) -> bytes:
        started = self._response("in_progress", [])
        return _numbered(
            0,
            {"type": "response.created", "response": started},
            {"type": "response.in_progress", "response": started},
            {"type": "response.output_item.added", "output_index": 0, "item": self._item("in_progress", [])},
            {"type": "response.content_part.added", **self._place, "part": {**self._part(), "text": ""}},
        )

    def token(self, index: int) -> bytes:
        before, after = self._around
        number = b',"sequence_number":%d}\n\n' % (index + _EVENTS_BEFORE_TEXT)
        return before + words.WORDS_JSON[index % len(words.WORDS_JSON)] + after[: -len(b"}\n\n")] + number

    def closing(self) -> bytes:
        part = self._part()
        item = self._item(self._end, [part])
        return _numbered(
            _EVENTS_BEFORE_TEXT + self._generation.output_tokens,
            {"type": "response.output_text.done", **self._place, "text": part["text"], "logprobs": []},
            {"type": "response.content_part.done", **self._place, "part": part},
            {"type": "response.output_item.done", "output_index": 0, "item": item},
            {"type": f"response.{self._end}", "response": self._response(self._end, [item])},
        )

    @property
    def _end(self) -> str:
        return "incomplete" if self._generation.finish == "length" else "completed"

    def _part(self) -> dict[str, Any]:
        text = words.text(self._generation.output_tokens)
        return {"type": "output_text", "text": text, "annotations": [], "logprobs": None}

    def _item(self, status: str, content: list[dict[str, Any]]) -> dict[str, Any]:
        item_id = self._place["item_id"]
        return {"id": item_id, "type": "message", "role": "assistant", "status": status, "content": content}

    def _response(self, status: str, output: list[dict[str, Any]]) -> dict[str, Any]:
        generation = self._generation
        over = status != "in_progress"
        return {
            "id": f"resp_{generation.id}",
            "object": "response",
            "created_at": generation.created,
            "status": status,
            "model": generation.model,
            "output": output,
            "error": None,
            "incomplete_details": {"reason": "max_output_tokens"} if status == "incomplete" else None,
            "instructions": self._call.instructions,
            "max_output_tokens": self._call.max_output_tokens,
            "metadata": None,
            "parallel_tool_calls": True,
            "temperature": 1.0,
            "tool_choice": "auto",
            "tools": [],
            "top_p": 1.0,
            "usage": self._usage() if over else None,
        }

    def _usage(self) -> dict[str, Any]:
        generation = self._generation
        return {
            "input_tokens": generation.prompt_tokens,
            "input_tokens_details": {"cached_tokens": 0},
            "output_tokens": generation.output_tokens,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": generation.prompt_tokens + generation.output_tokens,
        }


def _numbered(first: int, *events: dict[str, Any]) -> bytes:
    return b"".join(named_sse({**event, "sequence_number": first + index}) for index, event in enumerate(events))
