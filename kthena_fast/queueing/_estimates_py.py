"""The source of both twins of `estimates`; see there for the contract."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from kthena_fast.exchange import record

BYTES_PER_TOKEN: Final = 4.0
"""Where learning starts: English text under today's tokenizers; upstream counts characters by four."""
TOKENS_PER_EVENT: Final = 1.0
"""Where learning starts: an engine sends an event a token, unless it decodes speculatively or batches events."""

TOKENS_PER_SECOND: Final = 0.0
"""Where learning starts: nothing is assumed of an engine's pace."""

WEIGHT_OF_NEWEST: Final = 0.05
WEIGHT_OF_NEWEST_ANSWER: Final = 0.25
LEAST_BYTES: Final = 64
"""Shorter prompts are mostly the chat template, which is not in the body."""
LEAST_BYTES_PER_TOKEN: Final = 0.5
MOST_BYTES_PER_TOKEN: Final = 16.0
LEAST_TOKENS_PER_EVENT: Final = 0.1
MOST_TOKENS_PER_EVENT: Final = 64.0
MOST_TOKENS_PER_SECOND: Final = 10_000.0
ENVELOPE_BYTES: Final = 200
"""Of an answer that is not streamed: id, model, choices and the like around the text."""


class Ratios:
    """What one model's requests have taught."""

    __slots__ = ("answers", "bytes_per_token", "tokens_per_event", "tokens_per_second")

    def __init__(self) -> None:
        self.answers: dict[str, Answers] = {}
        """By user; belongs to `RecentAnswers`."""
        self.bytes_per_token = BYTES_PER_TOKEN
        self.tokens_per_event = TOKENS_PER_EVENT
        self.tokens_per_second = TOKENS_PER_SECOND
        """Of one request."""

    def input_tokens(self, exchange: record.Exchange, image_tokens: int) -> int:
        """Estimated from the body: text by learned bytes per token, token arrays by length, images a constant."""
        peeked = exchange.peek
        if peeked is None:
            return 0
        return self.tokens_of(peeked.prompt_bytes, peeked.prompt_tokens, peeked.images, image_tokens)

    def tokens_of(self, size: int, tokens: int, images: int, image_tokens: int) -> int:
        """The same of `size` bytes of text."""
        text = int(size / self.bytes_per_token) + tokens
        return text + images * image_tokens if images else text

    def output_tokens_of_bytes(self, count: int) -> int:
        """Of an answer that came without usage and not as a stream."""
        return int(max(count - ENVELOPE_BYTES, 0) / self.bytes_per_token)

    def output_tokens_of_seconds(self, seconds: float) -> int:
        """Of an answer whose client left before the engine showed any of it."""
        return int(max(seconds, 0.0) * self.tokens_per_second)

    def learn(self, exchange: record.Exchange) -> None:
        """Compare a finished exchange's usage with its body and its events."""
        peeked = exchange.peek
        size = 0 if peeked is None or peeked.images else peeked.prompt_bytes
        began, ended = exchange.forwarded, exchange.upstream_ended
        seconds = 0.0 if began is None or ended is None else float(ended) - float(began)
        self.learn_of(size, exchange.input_tokens, exchange.output_tokens, exchange.events, seconds)

    def learn_of(self, size: float, tokens: float, produced: float, events: float, seconds: float) -> None:
        """The same of its numbers: bytes of a prompt that is nothing but text (else 0), tokens that the engine read and
        produced, events that it sent, and for how long it took; 0 is not known."""
        if tokens > 0 and size >= LEAST_BYTES:
            self.bytes_per_token = _step(
                self.bytes_per_token, size / tokens, LEAST_BYTES_PER_TOKEN, MOST_BYTES_PER_TOKEN
            )
        if produced <= 0:
            return
        if events > 0:
            self.tokens_per_event = _step(
                self.tokens_per_event, produced / events, LEAST_TOKENS_PER_EVENT, MOST_TOKENS_PER_EVENT
            )
        if seconds > 0.0:
            pace = produced / seconds
            before = self.tokens_per_second
            # Nothing was assumed, so the first is believed.
            self.tokens_per_second = (
                _step(before, pace, 0.0, MOST_TOKENS_PER_SECOND) if before else min(pace, MOST_TOKENS_PER_SECOND)
            )


def _step(mean: float, newest: float, least: float, most: float) -> float:
    if newest < least:
        newest = least
    elif newest > most:
        newest = most
    return mean + WEIGHT_OF_NEWEST * (newest - mean)


class Answers:
    """The recent answers of one user of one model, in the chain from the newest to the oldest."""

    __slots__ = ("mean", "newer", "older", "user", "users")

    users: dict[str, Answers]
    """Of the same model."""
    user: str
    mean: float
    newer: Answers
    older: Answers


class RecentAnswers:
    """The recent mean answer of each user of each model, in output tokens; the longest silent are forgotten first.

    Those of a model's users are kept with what else its requests have taught (`Ratios.answers`), where a request finds
    them without a look-up of its model.
    """

    __slots__ = ("_count", "_most", "_ring")

    def __init__(self, most: int) -> None:
        self._most = most
        self._count = 0
        # Of nobody: newer than it is the oldest, older than it is the newest. An OrderedDict costs four times as much.
        self._ring = Answers.__new__(Answers)
        self._ring.newer = self._ring.older = self._ring

    def mean(self, users: dict[str, Answers], user: str) -> float:
        """0.0 for a user who has had no answer yet."""
        known = users.get(user)
        return 0.0 if known is None else known.mean

    def learn(self, users: dict[str, Answers], user: str, tokens: int) -> None:
        ring = self._ring
        known = users.get(user)
        if known is None:
            known = Answers.__new__(Answers)
            known.users = users
            known.user = user
            known.mean = tokens
            users[user] = known
            self._count += 1
        else:
            known.mean = known.mean + WEIGHT_OF_NEWEST_ANSWER * (tokens - known.mean)
            known.newer.older = known.older
            known.older.newer = known.newer
        known.newer = ring
        known.older = ring.older
        known.older.newer = known
        ring.older = known
        if self._count > self._most:
            self._forget(ring.newer)

    def _forget(self, oldest: Answers) -> None:
        oldest.newer.older = oldest.older
        oldest.older.newer = oldest.newer
        del oldest.users[oldest.user]
        self._count -= 1
