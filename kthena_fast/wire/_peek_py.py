"""The source of both twins of ``wire.peek``, where the contract is."""

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

import orjson

from kthena_fast.wire import _lines as lines
from kthena_fast.wire import _members as members
from kthena_fast.wire import _scan as scan
from kthena_fast.wire import malformed

if TYPE_CHECKING:
    from kthena_fast.wire import _peek_walk_py as walk
else:
    # A twin works with twins of its own kind, whatever the chooser chose.
    walk = import_module(__name__.replace("_peek", "_peek_walk"))

_QUOTE: Final = ord('"')
_BACKSLASH: Final = ord("\\")
_COMMA: Final = ord(",")
_OPEN: Final = ord("{")
_CLOSE: Final = ord("}")
_NULL: Final = ord("n")

# A bit for each name, to see it twice.
_NAMES: Final = {
    b"model": 1,
    b"stream": 2,
    b"stream_options": 4,
    b"user": 8,
    b"userId": 16,
    b"max_tokens": 32,
    b"max_completion_tokens": 64,
}
_OTHER_PROMPTS: Final = frozenset(walk.PROMPTS) - {"messages"}


def peek(body: bytes) -> walk.Peek:
    """Read ``body`` once; raise ``Malformed`` when it is not one JSON object or would read differently elsewhere."""
    if type(body) is not bytes:
        raise TypeError("a body is bytes")
    found = walk.Peek()
    if scan.COMPILED:
        if walk.walk(found, body):
            return found
        # What a walk has found until it lost its way counts for nothing.
        found = walk.Peek()
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        # orjson's message gives a reason and a place, never the text.
        raise malformed.Malformed("invalid_json", f"The body is not valid JSON: {error}.") from None
    if type(document) is not dict:
        raise malformed.Malformed("invalid_json", "The body must be a JSON object.")
    if scan.COMPILED or not members.find(found, body, document):
        _find(found, body)
    _read(found, document)
    return found


def require_model(found: walk.Peek) -> str:
    """The name of the model, as it was written; ``Malformed`` when there is none or it is blank."""
    model = found.model
    if model is None or not model or model.isspace():
        raise malformed.Malformed("missing_model", "'model' must be a string that is not blank.", "model")
    return model


def splice(body: bytes, found: walk.Peek, model: str | None, include_usage: bool) -> bytes:
    """``body`` with ``model`` in the place of its model and, if asked, with ``stream_options.include_usage`` true.

    Each other byte stays, the client's other stream options among them; ``body`` itself when there is nothing to do.
    Options that are neither an object nor null are left to the engine to refuse.
    """
    edits: list[tuple[int, int, bytes]] = []
    if model is not None:
        if found.model_start < 0:
            raise ValueError("the body has no model to replace")
        edits.append((found.model_start, found.model_end, orjson.dumps(model)))
    if include_usage and not found.include_usage:
        edit = _usage_edit(body, found)
        if edit is not None:
            edits.append(edit)
    if not edits:
        return body
    edits.sort()
    pieces: list[bytes] = []
    at = 0
    for start, end, text in edits:
        pieces.append(body[at:start])
        pieces.append(text)
        at = end
    pieces.append(body[at:])
    return b"".join(pieces)


def _usage_edit(body: bytes, found: walk.Peek) -> tuple[int, int, bytes] | None:
    start = found.stream_options_start
    end = found.stream_options_end
    if start < 0:
        comma = b"" if found.empty else b","
        return found.object_end, found.object_end, comma + b'"stream_options":{"include_usage":true}'
    if body[start] == _NULL:
        return start, end, b'{"include_usage":true}'
    if body[start] != _OPEN:
        return None
    options = orjson.loads(body[start:end])
    if "include_usage" in options:
        # It may be there twice: all are replaced by one.
        options["include_usage"] = True
        return start, end, orjson.dumps(options)
    comma = b"," if options else b""
    return start + 1, start + 1, b'"include_usage":true' + comma


def _find(found: walk.Peek, data: bytes) -> None:
    """Fill the spans. ``data`` is an object by orjson's word; a scan that loses its way says so and never goes on."""
    end = len(data)
    seen = 0
    at = scan.space_end(data, scan.space_end(data, 0, end) + 1, end)
    if at < end and data[at] == _CLOSE:
        found.object_end = at
        return
    found.empty = False
    while at < end and data[at] == _QUOTE:
        after = scan.string_end(data, at + 1, end)
        if after < 0:
            break
        bit = _name_bit(data, at, after)
        if bit:
            if seen & bit:
                name = data[at + 1 : after - 1].decode()
                raise malformed.Malformed("duplicate_key", f"'{name}' is given more than once.", name)
            seen |= bit
        start = scan.value_start(data, after, end)
        after = scan.value_end(data, start, end) if start >= 0 else -1
        if after <= start:
            break
        if bit == 1:
            found.model_start = start
            found.model_end = after
        elif bit == 4:
            found.stream_options_start = start
            found.stream_options_end = after
        at = scan.space_end(data, after, end)
        if at < end and data[at] == _CLOSE:
            found.object_end = at
            return
        if at >= end or data[at] != _COMMA:
            break
        at = scan.space_end(data, at + 1, end)
    raise malformed.Malformed("invalid_json", "The body is not valid JSON.")


def _name_bit(data: bytes, start: int, end: int) -> int:
    """The bit of the quoted name ``data[start:end]``; 0 for a name that is not read here."""
    if scan.find_byte(data, _BACKSLASH, start, end) >= 0:
        name = str(orjson.loads(data[start:end]))
        if name.encode() in _NAMES:
            raise malformed.Malformed("duplicate_key", f"'{name}' must be spelt without escapes.", name)
        return 0
    size = end - start - 2
    # Most names stop here: "messages" and "temperature" have eight letters and eleven.
    if size not in (4, 5, 6, 10, 14, 21):
        return 0
    return _NAMES.get(lines.part(data, start + 1, end - 1), 0)


def _read(found: walk.Peek, document: dict[str, Any]) -> None:
    model = document.get("model")
    if type(model) is str:
        found.model = model
    found.stream = document.get("stream") is True
    options = document.get("stream_options")
    if type(options) is dict:
        found.include_usage = options.get("include_usage") is True
        found.continuous_usage = options.get("continuous_usage_stats") is True
    user = document.get("user")
    if user:
        found.user = _text(user)
    user = document.get("userId")
    if user:
        found.user_id = _text(user)
    budget = document.get("max_tokens")
    if budget is not None:
        found.max_tokens = _budget(budget)
    budget = document.get("max_completion_tokens")
    if budget is not None:
        found.max_completion_tokens = _budget(budget)
    messages = document.get("messages")
    if messages is not None:
        found.has_prompt = True
        _measure(found, messages, 0)
    if not _OTHER_PROMPTS.isdisjoint(document):
        for name in _OTHER_PROMPTS:
            value = document.get(name)
            if value is not None:
                found.has_prompt = True
                _measure(found, value, 0)


def _text(value: object) -> str | None:
    return value if type(value) is str else None


def _budget(value: object) -> int | None:
    # A bool is an int to isinstance.
    if type(value) is int and 0 <= value <= walk.MOST_TOKENS:
        return value
    return None


def _measure(found: walk.Peek, value: Any, depth: int) -> None:
    """Add to the counts what ``value`` holds: text, tokens, blocks and messages, lists of any of them."""
    if type(value) is str:
        # len() of ASCII is its size in UTF-8 and costs nothing.
        found.prompt_bytes += len(value) if value.isascii() else len(value.encode())
    elif depth >= walk.COUNTED:
        return
    elif type(value) is list:
        if value and type(value[0]) is int:
            # An engine takes an array of tokens or refuses it; a mixed one is not worth a walk.
            found.prompt_tokens += len(value)
            return
        for item in value:
            # Nearly all messages are a role and a text, which is not worth two calls.
            text = item.get("content") if type(item) is dict and len(item) == 2 and "role" in item else None
            if type(text) is str and depth + 1 < walk.COUNTED:
                found.prompt_bytes += len(text) if text.isascii() else len(text.encode())
            else:
                _measure(found, item, depth + 1)
    elif type(value) is dict:
        text = value.get("text")
        if type(text) is str:
            _measure(found, text, depth + 1)
        content = value.get("content")
        if content is not None:
            _measure(found, content, depth + 1)
        kind = value.get("type")
        if type(kind) is str and kind in walk.IMAGES:
            found.images += 1
