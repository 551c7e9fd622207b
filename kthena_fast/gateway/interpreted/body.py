"""What the bodies of a plain request and of its answer say, each in one look: what `wire.peek`, `auth.identity` and
`wire.usage` find there.

The tests hold them to the same answers.
"""

from __future__ import annotations

import re
from typing import Any, Final

import orjson

from kthena_fast.auth._identity_py import _ANONYMOUS, _HEADER, ANONYMOUS, LONGEST, _Source
from kthena_fast.wire import _peek_py
from kthena_fast.wire._peek_walk_py import MOST_TOKENS, Peek
from kthena_fast.wire._usage_py import _MOST
from kthena_fast.wire.headers import Headers

Document = dict[str, Any]

_NAMES: Final = {name.decode(): (b'"%b"' % name, re.compile(rb'"%b"[ \t\n\r]*+:' % name)) for name in _peek_py._NAMES}
"""What is read, as it stands in a body, and as the name of a member."""

# Where that is JSON, no string hides a brace of it.
_USAGE: Final = re.compile(rb'"usage"[ \t\n\r]*+:[ \t\n\r]*+(\{[^{}\\]*+(?:\{[^{}\\]*+\}[^{}\\]*+)*+\})')


def read(body: bytes) -> Document | None:
    """The object that a body is; None: it is none, or another reader might see another one in it.

    A name with its quotes stands nowhere but in an object, or as a value. Where each of those that are read is the name
    of one member, in whatever object, none is given twice; and where no letter is escaped, each stands as it is spelt.
    """
    if b"\\u" in body:
        return None
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    if type(document) is not dict:
        return None
    for name in document:
        known = _NAMES.get(name)
        if known is not None:
            quoted, member = known
            # "user" is also who speaks.
            if body.count(quoted) != 1 and len(member.findall(body)) != 1:
                return None
    return document


def prompt(document: Document) -> tuple[int, int, int] | None:
    """Bytes of text, tokens and images, as a `Peek` has them; None: they may be elsewhere than in messages."""
    if not _peek_py._OTHER_PROMPTS.isdisjoint(document):
        return None
    messages = document.get("messages")
    size = 0
    if type(messages) is list:
        for message in messages:
            # Nearly all are a role and a text.
            if type(message) is not dict or len(message) != 2 or "role" not in message:
                break
            text = message.get("content")
            if type(text) is not str:
                break
            size += len(text) if text.isascii() else len(text.encode())
        else:
            return size, 0, 0
    found = Peek()
    _peek_py._measure(found, messages, 0)
    return found.prompt_bytes, found.prompt_tokens, found.images


def most(document: Document) -> int | None:
    """Tokens that the answer may have; None: as many as it likes."""
    # A bool is an int to isinstance.
    budget = document.get("max_completion_tokens")
    if type(budget) is int and 0 < budget <= MOST_TOKENS:
        return budget
    budget = document.get("max_tokens")
    return budget if type(budget) is int and 0 <= budget <= MOST_TOKENS else None


def user(document: Document, fields: Headers, digits: bytes, sources: list[_Source]) -> str:
    """The name that `Identifier.of` gives; `digits` are the length that the fields should have."""
    for source in sources:
        kind = source._kind
        if kind == _ANONYMOUS:
            break
        if kind != _HEADER:
            name = document.get(source._field)
        else:
            value = digits if source._header == b"content-length" else dict(fields).get(source._header, b"")
            name = value.decode("utf-8", "replace").strip()
        if name and type(name) is str:
            return name if len(name) <= LONGEST else name[:LONGEST]
    return ANONYMOUS


def usage(answer: bytes) -> tuple[int, int] | None:
    """Tokens that the engine read and produced; None: it does not say so, or in other words than OpenAI's API."""
    found = _USAGE.match(answer, answer.rfind(b'"usage"'))
    if found is None:
        return None
    try:
        said = orjson.loads(found[1])
    except orjson.JSONDecodeError:
        return None
    read, produced = said.get("prompt_tokens"), said.get("completion_tokens")
    if type(read) is int and type(produced) is int and 0 <= read <= _MOST and 0 <= produced <= _MOST:
        return read, produced
    return None
