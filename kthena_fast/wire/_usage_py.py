"""The source of both twins of ``wire.usage``, where the contract is."""

from collections import deque
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

import orjson

from kthena_fast.wire import _scan as scan

if TYPE_CHECKING:
    from kthena_fast.wire import _peek_walk_py as walk
else:
    # A twin works with twins of its own kind, whatever the chooser chose.
    walk = import_module(__name__.replace("_usage", "_peek_walk"))

_MOST: Final = 2**31 - 1
_NAME: Final = b'"usage"'
_READ: Final = b'"prompt_tokens"'
_PRODUCED: Final = b'"completion_tokens"'
_BACKSLASH: Final = ord("\\")
_OPEN: Final = ord("{")
_CLOSE: Final = ord("}")
# An engine writes one "usage"; a body made of them must not cost more than a few looks.
_TRIES: Final = 8


class Usage:  # noqa: PLW1641 - compared by its counts, and no key of anything
    """Tokens read and tokens produced; tokens read from a cache are among the first."""

    __slots__ = ("input_tokens", "output_tokens")

    def __init__(self, input_tokens: int, output_tokens: int) -> None:
        self.input_tokens = input_tokens
        self.output_tokens = output_tokens

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Usage):
            return NotImplemented
        return self.input_tokens == other.input_tokens and self.output_tokens == other.output_tokens

    def __repr__(self) -> str:
        return f"Usage({self.input_tokens}, {self.output_tokens})"


def of(document: Any, before: Usage | None = None) -> Usage | None:
    """The usage that a decoded answer or event reports, at its top or in its ``response`` or ``message``.

    A count that is not reported stays as it was ``before`` (Anthropic tells input first and output later); ``before``
    itself when nothing is reported.
    """
    if type(document) is not dict:
        return before
    usage = document.get("usage")
    if type(usage) is not dict:
        for holder in ("response", "message"):
            inner = document.get(holder)
            if type(inner) is dict and type(inner.get("usage")) is dict:
                usage = inner["usage"]
                break
        else:
            return before
    return parse(usage, before)


def parse(usage: dict[str, Any], before: Usage | None = None) -> Usage | None:
    """The same for the ``usage`` object itself."""
    # What OpenAI's API says, without a call.
    read = usage.get("prompt_tokens")
    produced = usage.get("completion_tokens")
    if type(read) is int and type(produced) is int and 0 <= read <= _MOST and 0 <= produced <= _MOST:
        return Usage(read, produced)
    read = _count(usage, "prompt_tokens")
    if read is None:
        read = _count(usage, "input_tokens")
        if read is not None:
            # Anthropic counts what came from or went to its cache beside input_tokens, OpenAI among them.
            created = _count(usage, "cache_creation_input_tokens") or 0
            cached = _count(usage, "cache_read_input_tokens") or 0
            read = min(read + created + cached, _MOST)
    produced = _count(usage, "completion_tokens")
    if produced is None:
        produced = _count(usage, "output_tokens")
    if read is None and produced is None:
        # Rerankers report a total alone, and produce nothing.
        read = _count(usage, "total_tokens")
        if read is None:
            return before
    if read is None:
        read = before.input_tokens if before is not None else 0
    if produced is None:
        produced = before.output_tokens if before is not None else 0
    return Usage(read, produced)


def last(data: bytes) -> Usage | None:
    """The last usage object written out in ``data``, which may begin and end anywhere in a JSON text.

    Inside a string its name could only stand with escaped quotes, so its raw bytes followed by a colon are the member.
    """
    end = len(data)
    at = end
    for _ in range(_TRIES):
        at = scan.find_last(data, _NAME, at)
        if at < 0:
            return None
        value = scan.value_start(data, at + len(_NAME), end)
        if value < 0 or data[value] != _OPEN:
            continue
        usage = _walked(data, value, end) if scan.COMPILED else None
        if usage is not None:
            return usage
        after = scan.value_end(data, value, end)
        if after < 0:
            continue
        try:
            usage = parse(orjson.loads(data[value:after]))
        except orjson.JSONDecodeError:
            continue
        if usage is not None:
            return usage
    return None


def _walked(data: bytes, at: int, end: int) -> Usage | None:
    """The usage object at ``at``, where it is plain and says what OpenAI's API says; None: a decoder must see it."""
    found = walk.Peek()
    read = produced = -1
    at = scan.space_end(data, at + 1, end)
    while True:
        after = walk.string(found, data, at, end)
        start = -1 if after < 0 else scan.value_start(data, after, end)
        stop = -1 if start < 0 else walk.skip(found, data, start, end, 1)
        # A name with escapes may be one of these.
        if stop < 0 or scan.find_byte(data, _BACKSLASH, at, after) >= 0:
            return None
        if scan.find(data, _READ, at, after) == at:
            read = walk.count(data, start, stop)
            if read < 0:
                return None
        elif scan.find(data, _PRODUCED, at, after) == at:
            produced = walk.count(data, start, stop)
            if produced < 0:
                return None
        at = walk.separator(data, stop, end, _CLOSE)
        if at < 0:
            return None
        if data[at] == _CLOSE:
            return Usage(read, produced) if read >= 0 and produced >= 0 else None
        at = scan.space_end(data, at + 1, end)


class Tail:
    """The last ``limit`` bytes, or a little more, of a body that passes by: pieces are kept, not copied."""

    __slots__ = ("_first", "_limit", "_pieces", "_size")

    def __init__(self, limit: int = 65536) -> None:
        self._limit = limit
        self._first: bytes | None = None
        """The only piece, as long as there is one: most answers come whole."""
        self._pieces: deque[bytes] | None = None
        self._size = 0

    def feed(self, data: bytes) -> None:
        self._size += len(data)
        pieces = self._pieces
        if pieces is None:
            if self._first is None:
                self._first = data
                return
            pieces = self._pieces = deque((self._first,))
            self._first = None
        pieces.append(data)
        while self._size - len(pieces[0]) >= self._limit:
            self._size -= len(pieces.popleft())

    def pieces(self) -> list[bytes]:
        """What is kept."""
        if self._pieces is None:
            return [] if self._first is None else [self._first]
        return list(self._pieces)

    def usage(self) -> Usage | None:
        """What a JSON answer says at its end: the last usage that lies in the tail."""
        return last(b"".join(self.pieces()) if self._first is None else self._first)


def _count(usage: dict[str, Any], name: str) -> int | None:
    value = usage.get(name)
    # A bool is an int to isinstance.
    if type(value) is int and 0 <= value <= _MOST:
        return value
    return None
