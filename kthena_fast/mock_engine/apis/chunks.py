"""The stream that chat and completions share: chunks of choices, usage, and `[DONE]`."""

from collections.abc import Callable
from typing import Any

import orjson

from kthena_fast.mock_engine import generation as generating
from kthena_fast.mock_engine import refusals, words

from .calls import StreamOptions

DONE = b"data: [DONE]\n\n"

Choice = Callable[[int, str, str | None], dict[str, Any]]
"""(index, text, finish reason) -> one choice of a chunk."""


def check_options(stream: bool, options: StreamOptions | None) -> None:
    if options is not None and not stream:
        raise refusals.Refusal(400, "Stream options can only be defined when `stream=True`.", param="stream_options")


class ChunkStream:
    """Everything but the texts, and usage where each chunk carries it, is encoded once per answer."""

    __slots__ = ("_around", "_base", "_choice", "_continuous", "_generation", "_usage_event")

    def __init__(
        self, generation: generating.Generation, id_: str, kind: str, choice: Choice, options: StreamOptions | None
    ) -> None:
        self._generation = generation
        self._choice = choice
        self._base = {"id": id_, "object": kind, "created": generation.created, "model": generation.model}
        self._usage_event = options is not None and bool(options.include_usage)
        # vLLM heeds the one only together with the other.
        self._continuous = self._usage_event and options is not None and bool(options.continuous_usage_stats)
        self._around = [
            generating.around_text(generating.sse({**self._base, "choices": [choice(index, generating.HOLE, None)]}))
            for index in range(generation.choices)
        ]

    def token(self, index: int) -> bytes:
        word = words.WORDS_JSON[index % len(words.WORDS_JSON)]
        if not self._continuous:
            return b"".join([before + word + after for before, after in self._around])
        usage = b',"usage":%b}\n\n' % orjson.dumps(self._generation.usage_after(index + 1))
        return b"".join([before + word + after[: -len(b"}\n\n")] + usage for before, after in self._around])

    def events(self, choices: list[dict[str, Any]], tokens: int) -> bytes:
        """One event for each of these choices, when so many tokens have been produced."""
        chunks = [{**self._base, "choices": [choice]} for choice in choices]
        if self._continuous:
            chunks = [{**chunk, "usage": self._generation.usage_after(tokens)} for chunk in chunks]
        return b"".join(generating.sse(chunk) for chunk in chunks)

    def closing(self) -> bytes:
        generation = self._generation
        ends = [self._choice(index, "", generation.finish) for index in range(generation.choices)]
        events = self.events(ends, generation.output_tokens)
        if self._usage_event:
            events += generating.sse({**self._base, "choices": [], "usage": generation.usage})
        return events + DONE
