# cython: wraparound=False, boundscheck=False
# Every index is looked at first: it is before `end`, and `end` is the size of the bytes.
"""What is found in a body, and one pass over bodies that are plain: valid, without a doubt.

`walk` says whether that is so. If not, nothing is known of the body and orjson must read it, which also finds the words
for what is wrong. So this need not know all that JSON may be, only never say yes where orjson would say no or see
something else. Left to orjson are: numbers with exponents or many digits; names that count and come twice, or are spelt
with escapes; halves of surrogate pairs; nesting beyond `DEEPEST`.

It makes no objects but those that are kept. Compiled, that is a third of the work of orjson and of what follows it;
interpreted it would be far more, so the pure `peek` does without. Both twins are held to orjson by
`tests/wire/test_peek_walk.py` and by the fuzzer.
"""

from typing import Final

import orjson

from kthena_fast.wire import _lines as lines
from kthena_fast.wire import _scan as scan

_QUOTE: Final = ord('"')
_BACKSLASH: Final = ord("\\")
_COMMA: Final = ord(",")
_OPEN: Final = ord("{")
_CLOSE: Final = ord("}")
_OPEN_LIST: Final = ord("[")
_CLOSE_LIST: Final = ord("]")
_MINUS: Final = ord("-")
_POINT: Final = ord(".")
_ZERO: Final = ord("0")
_NINE: Final = ord("9")
_TRUE: Final = ord("t")
_NULL: Final = ord("n")
_U: Final = ord("u")
_SHORT: Final = bytes(byte in b'"\\/bfnrt' for byte in range(256))
"""Escapes of one letter."""
_HIGH: Final = 0xD800
_LOW: Final = 0xDC00
_LAST_LOW: Final = 0xDFFF
"""Halves of surrogate pairs."""

DEEPEST: Final = 64
"""Levels of nesting that are walked; this keeps a hostile body off the C stack."""
COUNTED: Final = 16
"""Levels in which text counts; messages[].content[].content[].text is seven steps down."""
MOST_TOKENS: Final = 2**31 - 1
"""What a budget of tokens can sensibly be; it fits the C integers of the ledger."""
LENGTH: Final = 16
"""Of a number, without its sign: an integer of so many digits fits into 64 bits, a fraction is finite."""

PROMPTS: Final = (
    "messages",
    "prompt",
    "input",
    "system",
    "instructions",
    "query",
    "queries",
    "documents",
    "text_1",
    "text_2",
)
IMAGES: Final = frozenset(("image", "image_url", "input_image"))

_MODEL: Final = 0
_STREAM: Final = 1
_STREAM_OPTIONS: Final = 2
_USER: Final = 3
_USER_ID: Final = 4
_MAX_TOKENS: Final = 5
_MAX_COMPLETION_TOKENS: Final = 6
_PROMPT: Final = 7
"""From here on a value is counted."""
_NAMES: Final = (
    b"model",
    b"stream",
    b"stream_options",
    b"user",
    b"userId",
    b"max_tokens",
    b"max_completion_tokens",
    *(name.encode() for name in PROMPTS),
)
"""In the order of these numbers."""
_LONGEST: Final = max(map(len, _NAMES))

_TEXT: Final = 0
_CONTENT: Final = 1
_TYPE: Final = 2
_MEMBERS: Final = (b"text", b"content", b"type")
_LONGEST_MEMBER: Final = max(map(len, _MEMBERS))

_NOBODYS: Final = -1
_DOUBTFUL: Final = -2


class Peek:
    """What is known of one body.

    Spans are byte offsets into it, ``[start, end)`` of the JSON value, -1 when the name is absent. ``stream`` is true
    for JSON ``true`` only. ``user`` and ``user_id`` are strings that are not empty; budgets are integers from 0 to
    2**31 - 1.
    """

    __slots__ = (
        "_escaped",
        "_less",
        "_size",
        "continuous_usage",
        "empty",
        "has_prompt",
        "images",
        "include_usage",
        "max_completion_tokens",
        "max_tokens",
        "model",
        "model_end",
        "model_start",
        "object_end",
        "prompt_bytes",
        "prompt_tokens",
        "stream",
        "stream_options_end",
        "stream_options_start",
        "user",
        "user_id",
    )

    def __init__(self) -> None:
        self.model: str | None = None
        self.model_start = -1
        self.model_end = -1
        self.stream = False
        self.stream_options_start = -1
        self.stream_options_end = -1
        self.include_usage = False
        self.continuous_usage = False
        # Of the closing brace.
        self.object_end = -1
        # The object has no members.
        self.empty = True
        self.user: str | None = None
        self.user_id: str | None = None
        self.max_tokens: int | None = None
        self.max_completion_tokens: int | None = None
        self.has_prompt = False
        self.prompt_bytes = 0
        self.prompt_tokens = 0
        self.images = 0
        # Of the string that was walked last: its size once escapes are undone, how much less that is than it takes up,
        # and whether there are any.
        self._size = 0
        self._less = 0
        self._escaped = False


def walk(found: Peek, data: bytes) -> bool:
    """Fill ``found``, which is new, from a body that is plain; False: it is not, and ``found`` is of no use."""
    end = len(data)
    at = scan.space_end(data, 0, end)
    if at >= end or data[at] != _OPEN:
        return False
    at = scan.space_end(data, at + 1, end)
    if at < end and data[at] == _CLOSE:
        found.object_end = at
        return scan.space_end(data, at + 1, end) == end
    found.empty = False
    seen = 0
    while True:
        after = string(found, data, at, end)
        if after < 0:
            return False
        known = _known(found, data, at, after, _NAMES, _LONGEST)
        start = scan.value_start(data, after, end)
        if known == _DOUBTFUL or start < 0:
            return False
        if known >= 0:
            if seen >> known & 1:
                return False
            seen |= 1 << known
        if known >= _PROMPT:
            if data[start] != _NULL:
                found.has_prompt = True
            at = _count(found, data, start, end, 0)
        else:
            at = skip(found, data, start, end, 1)
        if at < 0:
            return False
        if _NOBODYS < known < _PROMPT:
            _take(found, known, data, start, at)
        at = separator(data, at, end, _CLOSE)
        if at < 0:
            return False
        if data[at] == _CLOSE:
            found.object_end = at
            return scan.space_end(data, at + 1, end) == end
        at = scan.space_end(data, at + 1, end)


# What follows takes a place in the text and gives the place after what it is about, or -1 where that is not plain.


def separator(data: bytes, at: int, end: int, closing: int) -> int:
    """Where the comma is behind the item that ends at ``at``, or the bracket that closes what it is in."""
    at = scan.space_end(data, at, end)
    return at if at < end and (data[at] == _COMMA or data[at] == closing) else -1


def _known(found: Peek, data: bytes, start: int, end: int, names: tuple[bytes, ...], longest: int) -> int:
    """Which of these names the string is that was walked last; `_NOBODYS`: none of them."""
    if found._escaped:
        return _DOUBTFUL
    if end - start - 2 > longest:
        return _NOBODYS
    return lines.place_of(data, start + 1, end - 1, names)


def _take(found: Peek, known: int, data: bytes, start: int, end: int) -> None:
    """Keep a value that is read. One of the wrong type reads as absent."""
    if known == _MODEL:
        found.model_start = start
        found.model_end = end
        found.model = _text(found, data, start, end)
    elif known == _STREAM:
        found.stream = data[start] == _TRUE
    elif known == _STREAM_OPTIONS:
        found.stream_options_start = start
        found.stream_options_end = end
        if data[start] == _OPEN:
            options = orjson.loads(lines.part(data, start, end))
            found.include_usage = options.get("include_usage") is True
            found.continuous_usage = options.get("continuous_usage_stats") is True
    elif known == _USER:
        found.user = _text(found, data, start, end) or None
    elif known == _USER_ID:
        found.user_id = _text(found, data, start, end) or None
    elif known == _MAX_TOKENS:
        found.max_tokens = _budget(data, start, end)
    else:
        found.max_completion_tokens = _budget(data, start, end)


def _text(found: Peek, data: bytes, start: int, end: int) -> str | None:
    """A value that was walked last, if it is a string."""
    if data[start] != _QUOTE:
        return None
    if found._escaped:
        return str(orjson.loads(lines.part(data, start, end)))
    return lines.part(data, start + 1, end - 1).decode()


def _budget(data: bytes, start: int, end: int) -> int | None:
    number = count(data, start, end)
    return None if number < 0 else number


def count(data: bytes, start: int, end: int) -> int:
    """What digits say, up to `MOST_TOKENS`; -1: it is something else, or more."""
    if end - start > LENGTH:
        return -1
    number = 0
    for at in range(start, end):
        if not _ZERO <= data[at] <= _NINE:
            return -1
        number = 10 * number + data[at] - _ZERO
    return number if number <= MOST_TOKENS else -1


def string(found: Peek, data: bytes, at: int, end: int) -> int:
    """A string, its quotes included."""
    if at >= end or data[at] != _QUOTE:
        return -1
    at += 1
    start = at
    found._less = 0
    found._escaped = False
    while True:
        at = scan.plain_end(data, at, end)
        if at >= end:
            return -1
        if data[at] == _QUOTE:
            found._size = at - start - found._less
            return at + 1
        at = _special_end(found, data, at, end)
        if at < 0:
            return -1


def _special_end(found: Peek, data: bytes, at: int, end: int) -> int:
    """What is not plain, and as much behind it as can be passed at once."""
    if data[at] == _BACKSLASH:
        found._escaped = True
        while at < end and data[at] == _BACKSLASH:
            at = _escape(found, data, at + 1, end)
            if at < 0:
                return -1
        if data[at - 2] != _BACKSLASH:
            # It was one of six letters, and such text has few others.
            return at
    else:
        at = scan.sequences_end(data, at, end)
    return _blocks_end(found, data, at, end) if at >= 0 else -1


def _blocks_end(found: Peek, data: bytes, at: int, end: int) -> int:
    """Blocks of text and of what seldom comes alone: escaped line ends and quotes, characters of several bytes.

    Where a block begins does not hang on what was found in the one before, so the processor need not wait for that.
    """
    while end - at >= scan.BLOCK:
        marks = scan.marks(data, at)
        past = at + scan.BLOCK
        while marks:
            here = at + scan.first(marks)
            if data[here] == _BACKSLASH:
                if here + 1 == end or not _SHORT[data[here + 1]]:
                    return here
                found._escaped = True
                found._less += 1
                after = here + 2
            elif data[here] == _QUOTE:
                return here
            else:
                after = scan.sequences_end(data, here, end)
                if after < 0:
                    return -1
            if after >= past:
                past = after
                break
            marks = marks >> (after - at) << (after - at)
        at = past
    return at


def _escape(found: Peek, data: bytes, at: int, end: int) -> int:
    """What stands behind a backslash."""
    if at >= end:
        return -1
    if data[at] != _U:
        found._less += 1
        return at + 1 if _SHORT[data[at]] else -1
    code = scan.hex4(data, at + 1, end)
    if code < 0 or _LOW <= code <= _LAST_LOW:
        return -1
    if _HIGH <= code < _LOW:
        # A pair: twelve bytes stand for four.
        if end - at < 11 or data[at + 5] != _BACKSLASH or data[at + 6] != _U:
            return -1
        found._less += 8
        return at + 11 if _LOW <= scan.hex4(data, at + 7, end) <= _LAST_LOW else -1
    found._less += 5 if code < 0x80 else 4 if code < 0x800 else 3
    return at + 5


def _number(data: bytes, at: int, end: int) -> int:
    start = at
    if data[at] == _MINUS:
        at += 1
    first = at
    while at < end and _ZERO <= data[at] <= _NINE:
        at += 1
    # No digit, a zero before others, and -0, which is an integer for some and none for others.
    if at == first or (data[first] == _ZERO and (at - first > 1 or first > start)):
        return -1
    if at < end and data[at] == _POINT:
        at += 1
        fraction = at
        while at < end and _ZERO <= data[at] <= _NINE:
            at += 1
        if at == fraction:
            return -1
    # What else may follow, such as an exponent, is no end of a value, so whoever goes on from here stops.
    return at if at - first <= LENGTH else -1


def skip(found: Peek, data: bytes, at: int, end: int, depth: int) -> int:
    """A value."""
    if at >= end or depth > DEEPEST:
        return -1
    byte = data[at]
    if byte == _QUOTE:
        return string(found, data, at, end)
    if byte == _OPEN:
        return _skip_object(found, data, at, end, depth)
    if byte == _OPEN_LIST:
        return _skip_list(found, data, at, end, depth)
    if byte == _MINUS or _ZERO <= byte <= _NINE:
        return _number(data, at, end)
    return scan.literal_end(data, at, end)


def _skip_list(found: Peek, data: bytes, at: int, end: int, depth: int) -> int:
    at = scan.space_end(data, at + 1, end)
    if at < end and data[at] == _CLOSE_LIST:
        return at + 1
    while True:
        at = skip(found, data, at, end, depth + 1)
        if at < 0:
            return -1
        at = separator(data, at, end, _CLOSE_LIST)
        if at < 0:
            return -1
        if data[at] == _CLOSE_LIST:
            return at + 1
        at = scan.space_end(data, at + 1, end)


def _skip_object(found: Peek, data: bytes, at: int, end: int, depth: int) -> int:
    at = scan.space_end(data, at + 1, end)
    if at < end and data[at] == _CLOSE:
        return at + 1
    while True:
        at = string(found, data, at, end)
        if at >= 0:
            at = scan.value_start(data, at, end)
        if at >= 0:
            at = skip(found, data, at, end, depth + 1)
        if at < 0:
            return -1
        at = separator(data, at, end, _CLOSE)
        if at < 0:
            return -1
        if data[at] == _CLOSE:
            return at + 1
        at = scan.space_end(data, at + 1, end)


def _count(found: Peek, data: bytes, at: int, end: int, depth: int) -> int:
    """A value of a prompt: text, tokens, blocks and messages, lists of any of them, are counted."""
    if at >= end:
        return -1
    byte = data[at]
    if byte == _QUOTE:
        at = string(found, data, at, end)
        if at >= 0:
            found.prompt_bytes += found._size
        return at
    if byte == _OPEN and depth < COUNTED:
        return _count_object(found, data, at, end, depth)
    if byte == _OPEN_LIST and depth < COUNTED:
        return _count_list(found, data, at, end, depth)
    return skip(found, data, at, end, depth + 1)


def _count_list(found: Peek, data: bytes, at: int, end: int, depth: int) -> int:
    at = scan.space_end(data, at + 1, end)
    if at >= end:
        return -1
    if data[at] == _CLOSE_LIST:
        return at + 1
    # An engine takes an array of tokens or refuses it; a mixed one is not worth a look at each.
    of_tokens = _is_integer(data, at, end)
    items = 0
    while True:
        at = skip(found, data, at, end, depth + 2) if of_tokens else _count(found, data, at, end, depth + 1)
        if at < 0:
            return -1
        items += 1
        at = separator(data, at, end, _CLOSE_LIST)
        if at < 0:
            return -1
        if data[at] == _CLOSE_LIST:
            if of_tokens:
                found.prompt_tokens += items
            return at + 1
        at = scan.space_end(data, at + 1, end)


def _is_integer(data: bytes, at: int, end: int) -> bool:
    byte = data[at]
    if byte != _MINUS and not _ZERO <= byte <= _NINE:
        return False
    after = _number(data, at, end)
    return after >= 0 and scan.find_byte(data, _POINT, at, after) < 0


def _count_object(found: Peek, data: bytes, at: int, end: int, depth: int) -> int:
    at = scan.space_end(data, at + 1, end)
    if at < end and data[at] == _CLOSE:
        return at + 1
    seen = 0
    while True:
        after = string(found, data, at, end)
        if after < 0:
            return -1
        known = _known(found, data, at, after, _MEMBERS, _LONGEST_MEMBER)
        start = scan.value_start(data, after, end)
        if known == _DOUBTFUL or start < 0:
            return -1
        if known >= 0:
            # Of names that come twice the last counts, which is not known yet.
            if seen >> known & 1:
                return -1
            seen |= 1 << known
        if known == _CONTENT or (known == _TEXT and data[start] == _QUOTE):
            at = _count(found, data, start, end, depth + 1)
        else:
            at = skip(found, data, start, end, depth + 2)
        if at < 0:
            return -1
        if known == _TYPE and data[start] == _QUOTE and _text(found, data, start, at) in IMAGES:
            found.images += 1
        at = separator(data, at, end, _CLOSE)
        if at < 0:
            return -1
        if data[at] == _CLOSE:
            return at + 1
        at = scan.space_end(data, at + 1, end)
