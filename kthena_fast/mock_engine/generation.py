"""One answer that is generated token by token: its size, and the shape that an API gives it."""

import dataclasses
from typing import Any, Literal, Protocol

import orjson


@dataclasses.dataclass(frozen=True, slots=True)
class Demand:
    """What a call asks of the engine, whichever API it came by."""

    model: str | None
    prompt_tokens: int
    max_tokens: int | None = None
    choices: int = 1
    stream: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class Generation:
    """An answer in the making; `output_tokens` are those of one choice, `created` is Unix time."""

    id: str
    model: str
    created: int
    prompt_tokens: int
    output_tokens: int
    choices: int = 1
    finish: Literal["stop", "length"] = "stop"

    @property
    def completion_tokens(self) -> int:
        return self.output_tokens * self.choices

    @property
    def usage(self) -> dict[str, Any]:
        """OpenAI's usage object, in vLLM's order."""
        return self.usage_after(self.output_tokens)

    def usage_after(self, tokens: int) -> dict[str, Any]:
        """The usage object once each choice has so many tokens."""
        produced = tokens * self.choices
        return {
            "prompt_tokens": self.prompt_tokens,
            "total_tokens": self.prompt_tokens + produced,
            "completion_tokens": produced,
        }


class Script(Protocol):
    """An answer in an API's shape: whole, or as the pieces of its stream, each a run of complete SSE events."""

    @property
    def content_type(self) -> str:
        """Of the whole answer."""
        ...

    def whole(self) -> bytes: ...

    def opening(self) -> bytes:
        """Written when the first token is there, before it."""
        ...

    def token(self, index: int) -> bytes:
        """Token `index`, from 0, of every choice."""
        ...

    def closing(self) -> bytes: ...


class GeneratingCall(Protocol):
    """A decoded request for tokens."""

    def demand(self) -> Demand: ...

    def script(self, generation: Generation) -> Script: ...


class ComputingCall(Protocol):
    """A decoded request that is answered in one go, without generating."""

    def demand(self) -> Demand: ...

    def answer(self, generation: Generation, settings: "Settings") -> bytes: ...


class Settings(Protocol):
    """The part of `EngineConfig` that answers depend on."""

    @property
    def embedding_size(self) -> int: ...

    @property
    def max_model_len(self) -> int | None: ...


def sse(data: object) -> bytes:
    """An event without a name: `data: JSON`."""
    return b"data: %b\n\n" % orjson.dumps(data)


def named_sse(data: dict[str, Any]) -> bytes:
    """An event that is named by the `type` inside it."""
    return b"event: %b\ndata: %b\n\n" % (data["type"].encode(), orjson.dumps(data))


def around_text(event: bytes) -> tuple[bytes, bytes]:
    """What stands before and after the JSON string `HOLE` in an event: the text is all that changes per token."""
    before, _, after = event.partition(_HOLE_JSON)
    return before, after


HOLE = "\0"
"""Holds the text's place; no id and no name in an event can contain it."""
_HOLE_JSON = orjson.dumps(HOLE)
