"""POST /tokenize, /v1/tokenize: the tokens that the engine will count for a prompt."""

import zlib

import orjson
from pydantic import model_validator

from kthena_fast.mock_engine import words
from kthena_fast.mock_engine.generation import Demand, Generation, Settings

from .calls import Call, Message

_VOCABULARY = 32_000


class TokenizeCall(Call):
    prompt: str | None = None
    messages: list[Message] | None = None

    @model_validator(mode="after")
    def _has_one_of_both(self) -> "TokenizeCall":
        if (self.prompt is None) == (self.messages is None):
            raise ValueError("exactly one of prompt and messages is needed")
        return self

    def demand(self) -> Demand:
        return Demand(self.model, words.tokens_in(len(self._text())))

    def answer(self, generation: Generation, settings: Settings) -> bytes:
        text = self._text()
        step = words.CHARACTERS_PER_TOKEN
        # By content, not by place: a prefix in common is a prefix of tokens in common.
        tokens = [
            zlib.crc32(text[start : start + step].encode()) % _VOCABULARY for start in range(0, max(1, len(text)), step)
        ]
        answer = {
            "count": len(tokens),
            "max_model_len": settings.max_model_len,
            "tokens": tokens,
            "token_strs": None,
        }
        return orjson.dumps(answer)

    def _text(self) -> str:
        if self.prompt is not None:
            return self.prompt
        texts = (message.content or "" for message in self.messages or ())
        return "".join(text if isinstance(text, str) else " " * words.characters_in(text) for text in texts)
