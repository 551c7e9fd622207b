"""Embeddings, rerank, score and classify: numbers drawn from a hash of the text, so that equal texts are equal."""

import base64
import struct
import zlib
from typing import Any, Literal

import orjson
from pydantic import Field

from kthena_fast.mock_engine import refusals, words
from kthena_fast.mock_engine.generation import Demand, Generation, Settings

from . import completions
from .calls import Call


class EmbeddingCall(Call):
    """POST /v1/embeddings."""

    input: str | list[str] | list[int] | list[list[int]]
    encoding_format: Literal["float", "base64"] = "float"
    dimensions: int | None = Field(default=None, ge=1)

    def demand(self) -> Demand:
        inputs = completions.sizes(self.input)
        if not all(inputs):
            raise refusals.Refusal(400, "The encoder prompt cannot be empty", param="input")
        return Demand(self.model, sum(inputs))

    def answer(self, generation: Generation, settings: Settings) -> bytes:
        size = self.dimensions or settings.embedding_size
        single = isinstance(self.input, str) or isinstance(self.input[0], int)
        inputs: list[Any] = [self.input] if single else list(self.input)
        data = [
            {"index": index, "object": "embedding", "embedding": self._encoded(_vector(text, size))}
            for index, text in enumerate(inputs)
        ]
        return _listed(f"embd-{generation.id}", generation, data)

    def _encoded(self, vector: list[float]) -> list[float] | str:
        if self.encoding_format == "float":
            return vector
        return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()


class RerankCall(Call):
    """POST /v1/rerank, /rerank, /v2/rerank."""

    query: str
    documents: list[str] = Field(min_length=1)
    top_n: int = Field(default=0, ge=0)

    def demand(self) -> Demand:
        return Demand(self.model, _pairs([self.query], self.documents))

    def answer(self, generation: Generation, settings: Settings) -> bytes:
        results: list[dict[str, Any]] = [
            {
                "index": index,
                "document": {"text": text, "multi_modal": None},
                "relevance_score": _score(self.query, text),
            }
            for index, text in enumerate(self.documents)
        ]
        results.sort(key=lambda result: -result["relevance_score"])
        answer = {
            "id": f"rerank-{generation.id}",
            "model": generation.model,
            "usage": {"prompt_tokens": generation.prompt_tokens, "total_tokens": generation.prompt_tokens},
            "results": results[: self.top_n or None],
        }
        return orjson.dumps(answer)


class ScoreCall(Call):
    """POST /v1/score, /score: one text with each of others, or two lists pairwise."""

    text_1: str | list[str]
    text_2: str | list[str]

    def demand(self) -> Demand:
        ones, others = self._texts()
        if len(ones) not in (1, len(others)):
            raise refusals.Refusal(400, "Input lengths must be either 1:1, 1:N or N:N", param="text_1")
        return Demand(self.model, _pairs(ones, others))

    def answer(self, generation: Generation, settings: Settings) -> bytes:
        ones, others = self._texts()
        if len(ones) == 1:
            ones = ones * len(others)
        data = [
            {"index": index, "object": "score", "score": _score(one, other)}
            for index, (one, other) in enumerate(zip(ones, others, strict=True))
        ]
        return _listed(f"score-{generation.id}", generation, data)

    def _texts(self) -> tuple[list[str], list[str]]:
        return _as_list(self.text_1), _as_list(self.text_2)


class ClassifyCall(Call):
    """POST /classify, /v1/classify: two classes."""

    input: str | list[str]

    def demand(self) -> Demand:
        return Demand(self.model, sum(words.tokens_in(len(text)) for text in _as_list(self.input)))

    def answer(self, generation: Generation, settings: Settings) -> bytes:
        data = []
        for index, text in enumerate(_as_list(self.input)):
            first = _score("", text)
            label = "LABEL_0" if first >= 0.5 else "LABEL_1"
            data.append({"index": index, "label": label, "probs": [first, 1 - first], "num_classes": 2})
        return _listed(f"classify-{generation.id}", generation, data)


def _as_list(text: str | list[str]) -> list[str]:
    return [text] if isinstance(text, str) else text


def _pairs(ones: list[str], others: list[str]) -> int:
    """Tokens of a pair-wise call: the one text is read again beside each other."""
    repeats = len(others) if len(ones) == 1 else 1
    return repeats * sum(words.tokens_in(len(one)) for one in ones) + sum(words.tokens_in(len(each)) for each in others)


def _score(one: str, other: str) -> float:
    return zlib.crc32(f"{one}\0{other}".encode()) / 2**32


def _vector(text: str | list[int], size: int) -> list[float]:
    seed = repr(text).encode()
    # Halves of 2**16 are exact in float32, so base64 and JSON carry the same numbers.
    return [(zlib.crc32(b"%d:%b" % (index, seed)) >> 16) / 2**15 - 1 for index in range(size)]


def _listed(id_: str, generation: Generation, data: list[dict[str, Any]]) -> bytes:
    usage = {**generation.usage, "prompt_tokens_details": None}
    base = {"id": id_, "object": "list", "created": generation.created, "model": generation.model}
    return orjson.dumps({**base, "data": data, "usage": usage})
