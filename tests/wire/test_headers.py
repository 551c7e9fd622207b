"""What crosses the gateway and what does not; nothing written is ever more than one line."""

import contextlib
import importlib
import multiprocessing
from collections.abc import Callable
from multiprocessing.connection import Connection
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kthena_fast.core import _choice
from kthena_fast.wire import _headers_py, _lines
from kthena_fast.wire import headers as wire
from kthena_fast.wire.headers import Headers, Unsafe

TWIN = _headers_py if _choice.NO_EXTENSIONS else importlib.import_module("kthena_fast.wire._headers_c")


def to_engine(
    headers: Headers,
    *,
    length: int = 3,
    request_id: bytes = b"id-1",
    client: str = "192.0.2.7",
    scheme: str = "http",
    trusted_proxy: bool = False,
    strip_credentials: bool = False,
) -> bytes:
    return wire.to_engine(
        headers,
        length=length,
        request_id=request_id,
        client=client,
        scheme=scheme,
        trusted_proxy=trusted_proxy,
        strip_credentials=strip_credentials,
    )


SET = [
    (b"content-length", b"3"),
    (b"x-forwarded-for", b"192.0.2.7"),
    (b"x-forwarded-proto", b"http"),
    (b"x-request-id", b"id-1"),
]


def parsed(lines: bytes) -> Headers:
    assert lines.endswith(b"\r\n")
    pairs = [line.split(b": ", 1) for line in lines[:-2].split(b"\r\n")]
    return sorted((name, value) for name, value in pairs)


def test_the_request_lines_of_the_api_are_written_as_others_are() -> None:
    for path in (b"/v1/chat/completions", b"/v1/chat/completions/x", b"/v1/models"):
        for method in (b"POST", b"GET"):
            assert TWIN.request_line(method, path) == b"%b %b HTTP/1.1\r\n" % (method, path)


def test_what_a_client_says_of_the_api_reaches_the_engine() -> None:
    passed = [
        (b"content-type", b"application/json"),
        (b"traceparent", b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
        (b"x-session", b"a"),
        (b"x-session", b"b"),
        (b"user-agent", b"caf\xc3\xa9\t1"),
        (b"authorization", b"Bearer k"),
        (b"x-api-key", b"k"),
        (b"empty", b""),
    ]
    assert parsed(to_engine(passed)) == sorted(passed + SET)


@pytest.mark.parametrize(
    "name",
    [
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
        b"cookie",
        b"expect",
        b"accept-encoding",
        b"forwarded",
        b"x-real-ip",
        b"x-forwarded-host",
    ],
)
def test_what_is_between_two_neighbours_stays_there(name: bytes) -> None:
    assert parsed(to_engine([(name, b"x")])) == SET


@pytest.mark.parametrize(
    "name", [b"host", b"content-length", b"x-request-id", b"x-forwarded-for", b"x-forwarded-proto"]
)
def test_what_the_gateway_sets_a_client_cannot_set(name: bytes) -> None:
    assert parsed(to_engine([(name, b"1"), (name, b"2")])) == SET


def test_headers_named_by_connection_go_with_it() -> None:
    headers = [
        (b"connection", b"close, X-One ,x-two"),
        (b"connection", b"X-THREE, host, content-length"),
        (b"x-one", b"1"),
        (b"x-two", b"2"),
        (b"x-three", b"3"),
        (b"x-four", b"4"),
    ]
    assert parsed(to_engine(headers)) == sorted([*SET, (b"x-four", b"4")])


def test_a_request_without_a_body_has_no_length() -> None:
    assert b"content-length" not in to_engine([], length=-1)
    assert b"content-length: 0\r\n" in to_engine([], length=0)


def test_credentials_are_stripped_when_asked() -> None:
    headers = [(b"authorization", b"Bearer k"), (b"x-api-key", b"k")]
    assert parsed(to_engine(headers, strip_credentials=True)) == SET


def test_a_trusted_proxys_tale_is_continued() -> None:
    headers = [
        (b"x-forwarded-for", b"203.0.113.1"),
        (b"x-forwarded-for", b"203.0.113.2, 203.0.113.3"),
        (b"x-forwarded-proto", b"https"),
        (b"x-forwarded-host", b"api.example"),
    ]
    found = dict(parsed(to_engine(headers, trusted_proxy=True)))
    assert found[b"x-forwarded-for"] == b"203.0.113.1, 203.0.113.2, 203.0.113.3, 192.0.2.7"
    assert found[b"x-forwarded-proto"] == b"https"
    assert found[b"x-forwarded-host"] == b"api.example"


def test_a_trusted_proxy_that_says_nothing_is_the_origin() -> None:
    found = dict(parsed(to_engine([], trusted_proxy=True, client="2001:db8::1", scheme="https")))
    assert (found[b"x-forwarded-for"], found[b"x-forwarded-proto"]) == (b"2001:db8::1", b"https")


BYTES = st.one_of(
    st.binary(max_size=6), st.sampled_from([b"a\r\nb: c", b"a\nb", b"a\rb", b"\x00", b"\x7f", b"a b", b"a:b"])
)


@given(st.lists(st.tuples(BYTES, BYTES), max_size=4), BYTES, st.booleans())
def test_nothing_written_is_more_than_its_lines(headers: Headers, request_id: bytes, trusted: bool) -> None:
    written: list[bytes] = []
    with contextlib.suppress(Unsafe):
        written.append(to_engine(headers, request_id=request_id, trusted_proxy=trusted))
    with contextlib.suppress(Unsafe):
        written.append(wire.to_client(headers, request_id))
    for lines in written:
        assert lines.count(b"\r") == lines.count(b"\n") == lines.count(b"\r\n")
        assert len(lines.split(b"\r\n")) <= len(headers) + 6
        assert b"\x00" not in lines
        for line in lines[:-2].split(b"\r\n"):
            assert wire.is_token(line.partition(b":")[0])


@pytest.mark.parametrize("value", [b"a\r\nb", b"a\n", b"a\r", b"\x00", b"\x1b[1m", b"\x7f"])
def test_a_value_with_a_control_character_is_refused(value: bytes) -> None:
    with pytest.raises(Unsafe):
        to_engine([(b"x", value)])
    with pytest.raises(Unsafe):
        wire.to_client([(b"x", value)], b"id")
    with pytest.raises(Unsafe):
        to_engine([], request_id=value)


@pytest.mark.parametrize("place", [*range(34), 47, 48])
def test_of_a_long_value_every_byte_is_looked_at(place: int) -> None:
    for code in range(256):
        value = b"x" * place + bytes((code,)) + b"\t" * (48 - place)
        if code == ord("\t") or (code >= 32 and code != 127):
            assert b"a: " + value + b"\r\n" in wire.to_client([(b"a", value)], b"id")
        else:
            with pytest.raises(wire.Unsafe):
                wire.to_client([(b"a", value)], b"id")


@pytest.mark.parametrize("name", [b"", b"a b", b"a:", b"a\r\n", b"\xc3\xa9", b"(a)"])
def test_a_name_that_is_no_token_is_refused(name: bytes) -> None:
    with pytest.raises(Unsafe):
        to_engine([(name, b"x")])
    with pytest.raises(Unsafe):
        wire.to_client([(name, b"x")], b"id")


def test_an_answer_keeps_what_is_the_engines_to_say() -> None:
    headers = [
        (b"date", b"Mon, 01 Jan 2024 00:00:00 GMT"),
        (b"server", b"uvicorn"),
        (b"content-type", b"text/event-stream"),
        (b"content-length", b"3"),
        (b"set-cookie", b"a=1"),
        (b"set-cookie", b"b=2"),
        (b"x-request-id", b"engine"),
        (b"transfer-encoding", b"chunked"),
        (b"connection", b"keep-alive, X-Hop, Content-Length"),
        (b"keep-alive", b"timeout=5"),
        (b"x-hop", b"1"),
    ]
    kept = [
        pair for pair in headers if pair[0] in {b"date", b"server", b"content-type", b"content-length", b"set-cookie"}
    ]
    assert parsed(wire.to_client(headers, b"mine")) == sorted([*kept, (b"x-request-id", b"mine")])


@pytest.mark.parametrize(
    ("method", "target"),
    [
        (b"GET X", b"/"),
        (b"", b"/"),
        (b"GET", b""),
        (b"GET", b"*"),
        (b"GET", b"http://other/"),
        (b"GET", b"/a b"),
        (b"GET", b"/\r\nx: y"),
        (b"GET", b"/\x00"),
        (b"GET", b"/\xff"),
    ],
)
def test_a_request_line_that_would_be_two_is_refused(method: bytes, target: bytes) -> None:
    with pytest.raises(Unsafe):
        wire.request_line(method, target)


def test_a_request_line_is_method_target_and_version() -> None:
    assert wire.request_line(b"POST", b"/v1/x?a=%20") == b"POST /v1/x?a=%20 HTTP/1.1\r\n"


@pytest.mark.parametrize("value", [b"a", b"A-1_b.2", b"x" * 128])
def test_a_clients_id_is_kept(value: bytes) -> None:
    assert wire.valid_request_id(value)
    assert wire.request_id([(b"x-request-id", value)]) == value


@pytest.mark.parametrize("value", [b"", b"x" * 129, b"a b", b"a\n", b"\xc3\xa9", b'"', b"a/b", b"a,b"])
def test_an_id_that_is_none_is_replaced(value: bytes) -> None:
    assert not wire.valid_request_id(value)
    assert wire.valid_request_id(wire.request_id([(b"x-request-id", value)]))
    assert wire.request_id([(b"x-request-id", value)]) != value


def test_two_ids_are_none() -> None:
    assert wire.request_id([(b"x-request-id", b"a"), (b"x-request-id", b"a")]) != b"a"


def test_new_ids_are_new() -> None:
    ids = {wire.new_request_id() for _ in range(10_000)}
    assert len(ids) == 10_000
    assert all(len(value) == 32 and not value.translate(None, b"0123456789abcdef") for value in ids)


def _send_ids(pipe: Connection) -> None:
    pipe.send([wire.new_request_id() for _ in range(10)])


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_forked_process_has_ids_of_its_own() -> None:
    context = multiprocessing.get_context("fork")
    here, there = context.Pipe(duplex=False)
    child = context.Process(target=_send_ids, args=(there,))
    child.start()
    theirs = here.recv()
    child.join()
    assert not set(theirs) & {wire.new_request_id() for _ in range(10)}


def test_the_compiled_twin_is_used_where_there_is_one() -> None:
    assert wire.to_engine is TWIN.to_engine


def written_by(module: ModuleType, headers: Headers) -> bytes:
    lines: bytes = module.to_engine(
        headers, length=-1, request_id=b"id", client="c", scheme="http", trusted_proxy=False, strip_credentials=True
    )
    return lines


@pytest.mark.parametrize("module", [_headers_py, TWIN])
def test_of_many_headers_the_last_is_dropped_as_the_first_is(module: ModuleType) -> None:
    kept = [(b"x-%d" % number, b"v") for number in range(200)]
    added = b"x-request-id: id\r\nx-forwarded-for: c\r\nx-forwarded-proto: http\r\n"
    lines = b"".join(b"%b: %b\r\n" % header for header in kept) + added
    for at in (0, 1, 126, 127, 128, 129, 200):
        headers = [*kept[:at], (b"cookie", b"a=b"), *kept[at:]]
        assert written_by(module, headers) == lines
        headers = [*kept[:at], (b"x-own", b"a"), *kept[at:], (b"connection", b"x-own")]
        assert written_by(module, headers) == lines


@pytest.mark.parametrize("module", [_headers_py, TWIN])
def test_a_name_at_the_place_of_one_that_is_dropped_is_kept(module: ModuleType) -> None:
    dropped, _ = _headers_py._DROPPED[1]
    for name in dropped - {b"te"}:
        others = [bytes((code,)) + name[1:] for code in b"abcdefghijklmnopqrstuvwxyz-0123456789" if code != name[0]]
        others += [name[:1] + bytes((code,)) + name[2:] for code in b"abcdefghij" if code != name[1]]
        others = [other for other in others if other not in dropped]
        assert any(_lines.place(other) == _lines.place(name) for other in others)
        lines = written_by(module, [(name, b"v"), *((other, b"v") for other in others)])
        assert lines.startswith(b"".join(b"%b: v\r\n" % other for other in others))


if not _choice.NO_EXTENSIONS:

    @pytest.mark.parametrize("header", [b"name", ("name", b"v"), (b"name", "v"), (b"name",), [b"name", b"v"]])
    def test_what_is_no_header_is_an_error(header: Any) -> None:
        with pytest.raises(TypeError):
            TWIN.to_client([header], b"id")


@pytest.mark.parametrize("module", [_headers_py, TWIN])
@pytest.mark.parametrize("length", [0, 1, 9, 10, 99, 100, 2**31, 2**63 - 1])
def test_a_length_is_told_in_digits(module: ModuleType, length: int) -> None:
    lines = module.to_engine([], length, b"id", "c", "http", False, False)
    assert lines.startswith(b"content-length: %d\r\n" % length)


HEADERS = st.lists(
    st.tuples(
        st.sampled_from([b"a", b"connection", b"content-length", b"cookie", b"x-forwarded-for", b"", b"b d"]),
        st.sampled_from([b"", b"v", b"close", b"a, b", b"\r\n", b"\0", b"\xff"]) | st.binary(max_size=4),
    ),
    max_size=5,
)


@given(HEADERS, st.booleans(), st.booleans())
def test_both_twins_write_or_refuse_the_same(headers: Headers, trusted: bool, strip: bool) -> None:
    def said(module: ModuleType) -> list[object]:
        calls: list[Callable[[], object]] = [
            lambda: module.to_client(headers, b"id"),
            lambda: module.request_line(b"POST", b"".join(value for _, value in headers)),
            lambda: module.is_token(b"".join(name for name, _ in headers)),
            lambda: module.to_engine(
                headers,
                length=3,
                request_id=b"id",
                client="192.0.2.7",
                scheme="http",
                trusted_proxy=trusted,
                strip_credentials=strip,
            ),
        ]
        results: list[object] = []
        for call in calls:
            try:
                results.append(call())
            except module.Unsafe as unsafe:
                results.append(str(unsafe))
        return results

    assert said(_headers_py) == said(TWIN)
