"""What is asked and what is answered: bodies of chat completions, an event of a stream, what ends it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

MODEL = "m"
STREAM_MODEL = "s"
"""Of streams, at a contestant that has two engines behind it."""
USER = "user-"
"""A number follows."""
PATH = "/v1/chat/completions"

ANSWER_BYTES = 312
EVENT_BYTES = 190
EVENTS = 64
PACE_MS = 20

STREAM_SECONDS = (EVENTS + 1) * PACE_MS / 1000
"""Of one stream, what ends it included."""

PROMPT_BYTES = {"1kb": 1_000, "100kb": 100_000, "1mb": 1_000_000}


def _compact(document: Any) -> str:
    return json.dumps(document, separators=(",", ":"))


def chat(prompt: str = "hello " * 20, *, model: str = MODEL, **more: Any) -> str:
    """The body of a request."""
    return _compact({"model": model, **more, "messages": [{"role": "user", "content": prompt}]})


def streamed_chat(model: str = MODEL) -> str:
    """The body of a request for a stream that ends with its usage."""
    return chat(model=model, stream=True, stream_options={"include_usage": True})


def prompt_of(size: int) -> str:
    """The body of a request of about so many bytes: English, with a line end now and then."""
    line = "The quick brown fox jumps over the lazy dog, and nobody asks why.\n"
    return chat((line * (size // len(line) + 1))[:size])


def answer() -> str:
    """A whole answer of ANSWER_BYTES."""

    def of(content: str) -> str:
        message = {"role": "assistant", "content": content}
        return _compact(
            {
                "id": "chatcmpl-1",
                "object": "chat.completion",
                "created": 1,
                "model": MODEL,
                "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
                "usage": {"prompt_tokens": 12, "completion_tokens": 34, "total_tokens": 46},
            }
        )

    return of("a" * (ANSWER_BYTES - len(of(""))))


def event() -> str:
    """One event of a stream, EVENT_BYTES with the empty line that ends it."""

    def of(content: str) -> str:
        return _event([{"index": 0, "delta": {"content": content}, "finish_reason": None}])

    return of("a" * (EVENT_BYTES - len(of(""))))


def tail() -> str:
    """What ends a stream: its usage and `[DONE]`."""
    usage = {"prompt_tokens": 12, "completion_tokens": EVENTS, "total_tokens": 12 + EVENTS}
    return _event([], usage=usage) + "data: [DONE]\n\n"


def _event(choices: list[Any], **more: Any) -> str:
    head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": MODEL}
    return f"data: {_compact({**head, 'choices': choices, **more})}\n\n"


@dataclass(frozen=True, slots=True)
class Variety:
    """Bodies that differ in a number: `@` in `body` is each multiple of `stride` below `count` x `stride`, in turn."""

    body: str
    count: int = 1
    stride: int = 1


def as_bytes(body: str) -> bytes:
    """The whole request."""
    head = f"POST {PATH} HTTP/1.1\r\nHost: gateway\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    return f"{head}\r\n{body}".encode()
