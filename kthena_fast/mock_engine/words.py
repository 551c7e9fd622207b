"""What the engine says and how it counts: both are functions of the request alone."""

from typing import Any

import orjson

_SENTENCE = (
    "the quick brown fox jumps over a lazy dog while seven small boats drift past an old stone bridge and "
    "every child on it waves until dusk turns café lamps — one by one — into stars"
)
WORDS = tuple(f" {word}" for word in _SENTENCE.split())
"""Said in turn, over and over; a few are not ASCII, so that bytes and characters differ."""

WORDS_JSON = tuple(orjson.dumps(word) for word in WORDS)

CHARACTERS_PER_TOKEN = 4
IMAGE_TOKENS = 256
"""Of any image, audio or file part, whatever its size."""

_ALL = "".join(WORDS)


def text(tokens: int) -> str:
    """The first so many tokens of every answer."""
    rounds, rest = divmod(tokens, len(WORDS))
    return _ALL * rounds + "".join(WORDS[:rest])


def tokens_in(characters: int) -> int:
    """Tokens of a prompt of so many characters: a quarter of them, rounded up, and at least one."""
    return max(1, -(-characters // CHARACTERS_PER_TOKEN))


def characters_in(content: str | list[dict[str, Any]] | None) -> int:
    """Characters of a message's content, in any of the three APIs' forms."""
    if content is None:
        return 0
    if isinstance(content, str):
        return len(content)
    return sum(_characters_in_part(part) for part in content)


def _characters_in_part(part: dict[str, Any]) -> int:
    written = part.get("text", part.get("refusal"))
    if isinstance(written, str):
        return len(written)
    return IMAGE_TOKENS * CHARACTERS_PER_TOKEN
