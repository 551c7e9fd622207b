"""Plain heads are read as llhttp reads them, and whatever is not plain is left to it."""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import Any

import httptools
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kthena_fast.core import _choice
from kthena_fast.wire import _heads_py, _lines

MODULES = [_heads_py] if _choice.NO_EXTENSIONS else [_heads_py, importlib.import_module("kthena_fast.wire._heads_c")]

PLAIN = b"POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nContent-Length: 12\r\n\r\n"
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 12\r\n\r\n"

each_twin = pytest.mark.parametrize("module", MODULES)


class Heard:
    """What llhttp makes of a head."""

    def __init__(self) -> None:
        self.target = b""
        self.fields: list[tuple[bytes, bytes]] = []
        self.is_whole = self.keeps_alive = False
        self.parser: Any = None

    def on_url(self, url: bytes) -> None:
        self.target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.fields.append((name.lower(), value.rstrip(b" \t")))

    def on_headers_complete(self) -> None:
        self.is_whole = True
        # Behind a message without a body llhttp no longer knows.
        self.keeps_alive = self.parser.should_keep_alive()


def told(head: Any) -> tuple[object, ...] | None:
    return None if head is None else (head.target, head.status, head.fields, head.length, head.keep_alive)


def by_llhttp(data: bytes, kind: str) -> tuple[object, ...]:
    heard = Heard()
    parser: Any = (httptools.HttpRequestParser if kind == "request" else httptools.HttpResponseParser)(heard)
    heard.parser = parser
    parser.feed_data(data)
    assert heard.is_whole
    assert parser.get_http_version() == "1.1"
    status = 0
    if kind == "request":
        assert parser.get_method() == b"POST"
    else:
        status = parser.get_status_code()
    (length,) = [value for name, value in heard.fields if name == b"content-length"]
    return heard.target, status, heard.fields, int(length), heard.keeps_alive


@each_twin
def test_a_plain_request_is_read(module: ModuleType) -> None:
    fields = [(b"host", b"a"), (b"content-length", b"12")]
    assert told(module.request(PLAIN)) == (b"/v1/chat/completions", 0, fields, 12, True)


@each_twin
def test_a_plain_response_is_read(module: ModuleType) -> None:
    fields = [(b"content-type", b"application/json"), (b"content-length", b"12")]
    assert told(module.response(ANSWER)) == (b"", 200, fields, 12, True)


@each_twin
@pytest.mark.parametrize(
    ("line", "is_kept"),
    [(b"Connection: close", False), (b"connection: Keep-Alive", True), (b"Connection:\tclose ", False)],
)
def test_a_plain_head_says_whether_its_connection_stays(module: ModuleType, line: bytes, is_kept: bool) -> None:
    assert module.request(PLAIN[:-2] + line + b"\r\n\r\n").keep_alive is is_kept


@each_twin
@pytest.mark.parametrize(
    "line",
    [
        b"Content-Length: 12",
        b"Content-Length: 13",
        b"Transfer-Encoding: chunked",
        b"Transfer-Encoding : chunked",
        b"Upgrade: h2c",
        b"Expect: 100-continue",
        b"Connection: close, x",
        b"Connection: close\r\nConnection: close",
        b"Connection: CLOSE",
        b"X : y",
        b" folded: x",
        b"\tfolded",
        b": no name",
        b"no colon",
        b"X: a\rb",
        b"X: a\nb",
        b"X: a\0b",
        b"X: a\x7fb",
        b"X\x80: a",
        b"TE: trailers",
    ],
)
def test_a_line_that_is_not_plain_leaves_the_head_to_llhttp(module: ModuleType, line: bytes) -> None:
    assert module.request(PLAIN[:-2] + line + b"\r\n\r\n") is None
    assert module.response(ANSWER[:-2] + line + b"\r\n\r\n") is None


@each_twin
@pytest.mark.parametrize("length", [b"", b"+1", b"-1", b"0x1", b"1 1", b"1,1", b"9" * 19, "\u0661".encode()])
def test_a_length_that_is_not_plain_leaves_the_head_to_llhttp(module: ModuleType, length: bytes) -> None:
    assert module.request(PLAIN.replace(b": 12", b": " + length)) is None
    assert module.response(ANSWER.replace(b": 12", b": " + length)) is None


@each_twin
@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"POST",
        PLAIN[:-2],
        PLAIN + b"\r\n",
        PLAIN.replace(b"POST", b"GET"),
        PLAIN.replace(b"1.1", b"1.0"),
        PLAIN.replace(b" /v1", b"  /v1"),
        PLAIN.replace(b" /v1", b" http://a/v1"),
        PLAIN.replace(b"/v1", b"/\x80"),
        PLAIN.replace(b"/v1", b"/\x7f"),
        PLAIN.replace(b"\r\n", b"\n"),
        b"POST / HTTP/1.1\r\nHost: a\r\n\r\n",
    ],
)
def test_another_request_is_left_to_llhttp(module: ModuleType, head: bytes) -> None:
    assert module.request(head) is None


@each_twin
@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"HTTP/1.1 200\r\n\r\n",
        ANSWER.replace(b"1.1", b"1.0"),
        ANSWER.replace(b"200", b"100"),
        ANSWER.replace(b"200", b"204"),
        ANSWER.replace(b"200", b"304"),
        ANSWER.replace(b"200", b"600"),
        ANSWER.replace(b"200", b"2 0"),
        ANSWER.replace(b"200", b"2000"),
        ANSWER.replace(b" OK", b" O\0K"),
        ANSWER.replace(b"HTTP", b"ICY"),
    ],
)
def test_another_response_is_left_to_llhttp(module: ModuleType, head: bytes) -> None:
    assert module.response(head) is None


names = st.one_of(
    st.sampled_from([b"Content-Length", b"content-length", b"Connection", b"Host", b"Transfer-Encoding", b"X-A"]),
    st.binary(max_size=6),
)
values = st.one_of(
    st.sampled_from([b"12", b"0", b"012", b"close", b"keep-alive", b"chunked", b"a b", b"\xff\x80", b"a,\tb"]),
    st.binary(max_size=8),
)
header_lines = st.tuples(
    names, st.sampled_from([b": ", b":", b":\t ", b" : "]), values, st.sampled_from([b"", b" ", b"\t "])
).map(b"".join)
firsts = {
    "request": [b"POST /v1/x HTTP/1.1", b"POST / HTTP/1.1", b"POST /a?b#c HTTP/1.1", b"POST /\xff HTTP/1.1"],
    "response": [b"HTTP/1.1 200 OK", b"HTTP/1.1 503 ", b"HTTP/1.1 404 N\xf6", b"HTTP/1.1 200", b"HTTP/1.1 299 \tx"],
}


@pytest.mark.parametrize("kind", ["request", "response"])
@given(which=st.integers(0, 3), said=st.lists(header_lines, max_size=4), length=st.booleans())
def test_what_is_plain_llhttp_reads_the_same(kind: str, which: int, said: list[bytes], length: bool) -> None:
    head = b"\r\n".join([firsts[kind][which], *said, *[b"Content-Length: 7"] * length, b"", b""])
    answers = [told(getattr(module, kind)(head)) for module in MODULES]
    assert all(answer == answers[0] for answer in answers)
    if answers[0] is not None:
        assert answers[0] == by_llhttp(head, kind)


@pytest.mark.parametrize("kind", ["request", "response"])
@given(st.binary(max_size=80))
def test_the_twins_agree_on_any_bytes(kind: str, rest: bytes) -> None:
    start = b"POST /v1/x HTTP/1.1\r\nContent-Length: 1\r\n" if kind == "request" else ANSWER[:-2]
    for head in (rest, start + rest, start + rest + b"\r\n\r\n"):
        answers = [told(getattr(module, kind)(head)) for module in MODULES]
        assert all(answer == answers[0] for answer in answers)


@pytest.mark.parametrize("place", [0, 1, 15, 16, 17, 31, 32, 47])
@each_twin
def test_of_a_long_value_every_byte_is_looked_at(module: ModuleType, place: int) -> None:
    for code in range(256):
        value = b"x" * place + bytes((code,)) + b"y" * (48 - place)
        head = module.request(b"POST / HTTP/1.1\r\nContent-Length: 0\r\na: " + value + b"\r\n\r\n")
        if code == ord("\t") or (code >= 32 and code != 127):
            assert head.fields[1] == (b"a", value.strip(b" \t"))
        else:
            assert head is None


@pytest.mark.parametrize("size", range(1, 20))
@each_twin
def test_of_a_short_value_every_byte_is_looked_at(module: ModuleType, size: int) -> None:
    for place in range(size):
        for code in (0, 31, 127):
            value = b"x" * place + bytes((code,)) + b"y" * (size - place - 1)
            assert module.request(b"POST / HTTP/1.1\r\nContent-Length: 0\r\na: " + value + b"\r\n\r\n") is None


@pytest.mark.parametrize("behind", [0, 40])
@pytest.mark.parametrize("size", [1, 2, 15, 16, 17, 31, 32, 33])
@each_twin
def test_of_a_name_every_byte_is_looked_at(module: ModuleType, size: int, behind: int) -> None:
    """Also where it stands near to the end of what there is."""
    tokens = b"!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
    for place in {0, size // 2, size - 1}:
        for code in range(256):
            if code == ord(":"):
                continue
            name = b"a" * place + bytes((code,)) + b"Z" * (size - place - 1)
            head = module.request(
                b"POST / HTTP/1.1\r\nContent-Length: 0\r\n" + name + b":" + b"v" * behind + b"\r\n\r\n"
            )
            if code in tokens:
                assert head.fields[1] == (name.lower(), b"v" * behind)
            else:
                assert head is None


@pytest.mark.parametrize("size", [1, 4, 63, 64, 65, 300])
@each_twin
def test_a_name_of_any_length_is_read_in_lower_case(module: ModuleType, size: int) -> None:
    name = (b"X-Long" * size)[:size]
    head = module.request(b"POST /a HTTP/1.1\r\n%b: 1\r\nContent-Length: 0\r\n\r\n" % name)
    assert head.fields == [(name.lower(), b"1"), (b"content-length", b"0")]


@each_twin
def test_common_names_are_themselves_however_they_are_written(module: ModuleType) -> None:
    common = [name for name in _lines.COMMON if name]
    assert len(common) > 20
    for name in common:
        if name in {b"content-length", b"connection", b"transfer-encoding"}:
            continue
        for written in (name, name.title(), name.upper()):
            head = module.request(b"POST /a HTTP/1.1\r\n%b: 1\r\nContent-Length: 0\r\n\r\n" % written)
            assert head.fields[0] == (name, b"1")
        # One that differs in the middle only is another, where the same place is looked at.
        other = name[:1] + name[1:-1].replace(name[1:2], b"_") + name[-1:]
        if other != name:
            head = module.request(b"POST /a HTTP/1.1\r\n%b: 1\r\nContent-Length: 0\r\n\r\n" % other)
            assert head.fields[0] == (other, b"1")
