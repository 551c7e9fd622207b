"""Whatever bytes stand in a body: what is read of it, and that both twins read the same."""

from __future__ import annotations

import functools
import importlib
import json
from types import ModuleType
from typing import Any

import httptools

from kthena_fast.core import _choice
from kthena_fast.wire.malformed import Malformed
from kthena_fast.wire.peek import Peek
from tests.fuzz.given import Given

ONCE = {"model", "stream", "stream_options", "user", "userId", "max_tokens", "max_completion_tokens"}


def _twins(name: str) -> list[ModuleType]:
    suffixes = ["py"] if _choice.NO_EXTENSIONS else ["py", "c"]
    return [importlib.import_module(f"kthena_fast.wire._{name}_{suffix}") for suffix in suffixes]


PEEK, WALK, SSE, USAGE, HEADERS, HEADS = map(_twins, ("peek", "peek_walk", "sse", "usage", "headers", "heads"))
SLOTS = [name for name in Peek.__dict__ if not name.startswith("_")]


def peek(given: Given) -> None:
    """A body that is accepted has one model for every reader, and a splice changes that alone."""
    found: list[Any] = []
    for module in PEEK:
        try:
            found.append(module.peek(given.data))
        except Malformed as problem:
            found.append((problem.code, problem.message, problem.param))
    read = [item if isinstance(item, tuple) else [getattr(item, slot) for slot in SLOTS] for item in found]
    assert read[0] == read[-1], read
    for module in WALK:
        walked = module.Peek()
        if module.walk(walked, given.data):
            assert [getattr(walked, slot) for slot in SLOTS] == read[0]
    if isinstance(found[0], tuple):
        return
    pairs: list[tuple[str, Any]] = json.loads(given.data, object_pairs_hook=lambda pairs: pairs, parse_constant=_none)
    names = [name for name, _ in pairs]
    assert all(names.count(name) <= 1 for name in ONCE), names
    says = dict(pairs)
    model = says.get("model")
    assert found[0].model == (model if isinstance(model, str) else None)
    assert found[0].stream == (says.get("stream") is True)
    if found[0].model is None:
        return
    usage = given.chose(0)
    spliced = [module.splice(given.data, item, 'a"\\b', usage) for module, item in zip(PEEK, found, strict=True)]
    assert spliced[0] == spliced[-1]
    before, after = json.loads(given.data), json.loads(spliced[0])
    assert after.pop("model") == 'a"\\b'
    del before["model"]
    if usage:
        for document in (before, after):
            document.pop("stream_options", None)
    assert before == after, (before, after)


def sse(given: Given) -> None:
    """Where it is cut changes nothing, nothing is lost, and the twins agree after each piece."""
    strips = given.chose(0)
    scanners = [module.Scanner(strips) for module in SSE]
    out = b""
    for piece in given.pieces:
        fed = [scanner.feed(piece) for scanner in scanners]
        assert fed[0] == fed[-1]
        assert _told(scanners[0]) == _told(scanners[-1])
        out += fed[0]
    flushed = [scanner.flush() for scanner in scanners]
    assert flushed[0] == flushed[-1]
    out += flushed[0]
    whole = SSE[0].Scanner(strips)
    assert whole.feed(given.data) + whole.flush() == out
    assert _told(whole) == _told(scanners[0])
    if not strips:
        assert out == given.data


def _told(scanner: Any) -> tuple[Any, ...]:
    return scanner.events, scanner.usage, scanner.done, scanner.mid_event


def usage(given: Given) -> None:
    """Of a long body the end is enough, however it came."""
    tails = [module.Tail() for module in USAGE]
    for piece in given.pieces:
        for tail in tails:
            tail.feed(piece)
    whole = USAGE[0].Tail()
    whole.feed(given.data)
    counts = {_counts(tail.usage()) for tail in (*tails, whole)}
    assert len(counts) == 1, counts
    assert all(0 <= count < 2**31 for count in counts.pop())


def _counts(found: Any) -> tuple[int, ...]:
    # The twins' records are of two classes, and never equal.
    return () if found is None else (found.input_tokens, found.output_tokens)


def headers(given: Given) -> None:
    """What is written is as many lines as there are headers, or it is refused."""
    fields: list[tuple[bytes, bytes]] = []
    for line in given.data.split(b"\xff\xff"):
        name, _, value = line.partition(b"\xff")
        fields.append((name.lower(), value))
    written: list[list[object]] = []
    for module in HEADERS:
        said: list[object] = []
        to_engine = functools.partial(
            module.to_engine,
            length=3,
            request_id=b"id",
            client="192.0.2.7",
            scheme="http",
            trusted_proxy=given.chose(0),
            strip_credentials=given.chose(1),
        )
        for call, arguments in (
            (to_engine, (fields,)),
            (module.to_client, (fields, b"id")),
            (module.request_line, (b"POST", fields[0][1])),
        ):
            try:
                said.append(call(*arguments))
            except module.Unsafe as unsafe:
                said.append(str(unsafe))
        written.append(said)
    assert written[0] == written[-1]
    for lines in written[0]:
        if isinstance(lines, bytes):
            assert lines.count(b"\r") == lines.count(b"\n") == lines.count(b"\r\n") <= len(fields) + 4
            assert b"\0" not in lines


def heads(given: Given) -> None:
    """A head that is read in one pass is what llhttp reads, to the same octet, and the twins read the same."""
    asks = given.chose(0)
    end = given.data.find(b"\r\n\r\n") + 4
    head = given.data[:end] if end >= 4 else given.data
    found = [(module.request if asks else module.response)(head) for module in HEADS]
    slots = "fields", "keep_alive", "length", "status", "target"
    read = [None if plain is None else [getattr(plain, slot) for slot in slots] for plain in found]
    assert read[0] == read[-1], read
    plain = found[0]
    if plain is None:
        return
    llhttp = _Llhttp(asks=asks)
    parser = llhttp.parser
    parser.feed_data(head)
    assert llhttp.is_whole == (plain.length == 0)
    assert llhttp.fields == plain.fields, (llhttp.fields, plain.fields)
    assert llhttp.target == plain.target
    assert parser.get_http_version() == "1.1"
    assert llhttp.keep_alive == plain.keep_alive
    if asks:
        assert parser.get_method() == b"POST"
    else:
        assert parser.get_status_code() == plain.status
    # The body ends where llhttp says; a long one is not made up for that.
    if 0 < plain.length <= 4096:
        parser.feed_data(b"x" * (plain.length - 1))
        assert not llhttp.is_whole
        parser.feed_data(b"x")
        assert llhttp.is_whole


class _Llhttp:
    """What llhttp makes of a message."""

    def __init__(self, *, asks: bool) -> None:
        self.parser: Any = httptools.HttpRequestParser(self) if asks else httptools.HttpResponseParser(self)
        self.target = b""
        self.fields: list[tuple[bytes, bytes]] = []
        self.keep_alive = False
        self.is_whole = False

    def on_headers_complete(self) -> None:
        # It forgets this with the message.
        self.keep_alive = self.parser.should_keep_alive()

    def on_url(self, url: bytes) -> None:
        self.target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        # It leaves the blanks behind a value where they are.
        self.fields.append((name.lower(), value.rstrip(b" \t")))

    def on_message_complete(self) -> None:
        self.is_whole = True


def _none(_: str) -> None:
    """NaN and Infinity are no JSON: orjson has refused them."""
    raise AssertionError("accepted, and no JSON")
