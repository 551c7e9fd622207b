"""What was found before stays found: every kept input is replayed, and the readers that judge are themselves judged."""

from __future__ import annotations

import pytest

from kthena_fast.gateway import _lane_py
from kthena_fast.upstream import _relay_py
from kthena_fast.wire import targets
from tests.fuzz import conversations, given, kept, properties, strict
from tests.gateway import in_memory

CHAT = (
    b"POST /v1/chat/completions HTTP/1.1\r\nHost: 10.0.0.1:8000\r\nContent-Length: 2\r\nX-Request-Id: a\r\n"
    b"X-A: b\r\n\r\n{}"
)
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Request-Id: a\r\n\r\n{}"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX-Request-Id: a\r\n\r\n2\r\n{}\r\n0\r\n\r\n"


@pytest.mark.parametrize("name", properties.NAMES)
def test_no_kept_input_breaks_its_property(name: str) -> None:
    inputs = dict(kept.inputs(name))
    assert inputs
    with properties.opened(name) as check:
        for called, raw in inputs.items():
            try:
                check(raw)
            except Exception as problem:
                problem.add_note(f"the input is {called}")
                raise


@pytest.mark.parametrize(
    ("was", "becomes"),
    [
        (b"Length: 2", b"Length: 1"),
        (b"Length: 2", b"Length: 3"),
        (b"Length: 2", b"Length: +2"),
        (b"Length: 2", b"Length: 02"),
        (b"Content-Length: 2\r\n", b""),
        (b"Content-Length: 2\r\n", b"Content-Length: 2\r\nContent-Length: 2\r\n"),
        (b"X-A: b", b"Transfer-Encoding: chunked"),
        (b"X-A: b", b"Host: b"),
        (b"X-A: b", b"X-A : b"),
        (b"X-A: b", b"X-A: b\r\n c"),
        (b"X-A: b", b"X-A: b\nHost: c"),
        (b"X-A: b", b"X-A: b\rc"),
        (b"X-A: b", b"X-A: b\0"),
        (b"X-A: b", b": b"),
        (b"X-A: b", b"Connection: x"),
        (b"HTTP/1.1", b"HTTP/1.0"),
        (b"POST /v1", b"POST http://a/v1"),
        (b"completions HTTP", b"completions /x HTTP"),
        (b"\r\n", b"\n"),
        (b"{}", b"{}" + CHAT),
    ],
)
def test_the_reader_of_requests_forgives_nothing(was: bytes, becomes: bytes) -> None:
    assert strict.request(CHAT).body == b"{}"
    with pytest.raises(AssertionError):
        strict.request(CHAT.replace(was, becomes))


@pytest.mark.parametrize(
    "data",
    [
        OK[:-1],
        OK + b"x",
        OK.replace(b"Content-Length: 2\r\n", b""),
        OK.replace(b"X-Request-Id: a", b"X-Request-Id: a\r\nContent-Length: 2"),
        OK.replace(b"X-Request-Id: a\r\n", b""),
        CHUNKED[:-2],
        CHUNKED.replace(b"2\r\n{}", b"3\r\n{}"),
        CHUNKED.replace(b"2\r\n{}", b"2;a=b\r\n{}"),
        CHUNKED.replace(b"Transfer", b"Content-Length: 2\r\nTransfer"),
    ],
)
def test_the_reader_of_answers_forgives_nothing(data: bytes) -> None:
    assert [answer.body for answer in strict.answers(OK + CHUNKED + OK)] == [b"{}"] * 3
    with pytest.raises(AssertionError):
        strict.answers(data)


def test_a_lane_that_lets_any_host_pass_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_lane_py, "targets", type("Lax", (), {**vars(targets), "valid_host": lambda _: True}))
    raw = dict(kept.inputs("conversations"))["hostile-a-host-with-a-space.http"]
    with properties.opened("conversations") as check, pytest.raises(AssertionError, match="pure"):
        check(raw)


def test_bytes_behind_a_request_are_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    write = in_memory.Transport.write

    def smuggle(self: in_memory.Transport, data: bytes) -> None:
        write(self, data + b"GET / HTTP/1.1\r\n\r\n" if data.startswith(b"POST") else data)

    monkeypatch.setattr(in_memory.Transport, "write", smuggle)
    raw = dict(kept.inputs("conversations"))["good-a-chat.http"]
    with properties.opened("conversations") as check, pytest.raises(AssertionError, match="announced"):
        check(raw)


def test_an_answer_that_splits_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    class Lax:
        Unsafe = ValueError

        @staticmethod
        def to_client(fields: list[tuple[bytes, bytes]], _: bytes) -> bytes:
            return b"x-request-id: a\r\n" + b"".join(b"%b: %b\r\n" % field for field in fields)

    monkeypatch.setattr(_relay_py, "headers", Lax)
    raw = given.write(b"HTTP/1.1 200 OK\r\nConnection: x\r\nContent-Length: 0\r\n\r\n")
    with properties.opened("answers") as check, pytest.raises(AssertionError):
        check(raw)


def test_an_input_is_read_as_it_was_written() -> None:
    read = given.read(given.write(b"abcdef", options=5, cuts=(2, 4)))
    assert (read.data, read.pieces) == (b"abcdef", (b"ab", b"cd", b"ef"))
    assert [read.chose(option) for option in range(3)] == [True, False, True]
    assert given.read(b"").pieces == ()


def test_ways_that_keep_something_are_found_out() -> None:
    with conversations.Ways() as ways:
        ways._ways[1]._way.budget.hold(1)
        with pytest.raises(AssertionError, match="bytes held"):
            ways.agree([CHAT])
        ways._ways[1]._way.budget.release(1)
