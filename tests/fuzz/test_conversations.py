"""Conversations by their grammar, most of them nearly right: hypothesis draws what atheris must stumble upon."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz import conversations
from tests.fuzz.given import cut
from tests.gateway import running

LINES = st.sampled_from(
    [
        b"Content-Type: application/json",
        b"Content-Type:application/json",
        b"Content-Length: 64",
        b"Content-Length: 3",
        b"Content-Length: 0",
        b"Content-Length:  64 ",
        b"Content-Length: +64",
        b"Content-Length: 6_4",
        b"Content-Length: 064",
        b"Content-Length: 64,64",
        b"Content-Length: 99999",
        b"Content-Length : 64",
        b"content-length: 64",
        b"Host: b",
        b"Host: a b",
        b"Host:",
        b"Transfer-Encoding: chunked",
        b"Transfer-Encoding: Chunked",
        b"Transfer-Encoding: gzip",
        b"Transfer-Encoding:\tchunked",
        b"Transfer_Encoding: chunked",
        b"Connection: close",
        b"Connection: Keep-Alive, X-A",
        b"Connection: content-length, host",
        b"Expect: 100-continue",
        b"Expect: x",
        b"Upgrade: h2c",
        b"Content-Encoding: identity",
        b"X-A: b",
        b"X-A: \xe9",
        b"X-A: b\r\n c",
        b"X-A: b\rc",
        b"X-A: b\nc",
        b"X-A:\0",
        b"X-A",
        b"X A: b",
        b" X-A: b",
        b": b",
        b"X-A: " + b"b" * 2048,
        b"X-Request-Id: a",
        b"X-Request-Id: a b",
        b"X-Forwarded-For: 192.0.2.9",
        b"Cookie: a=b",
        b"TE: trailers",
    ]
)
FIRST = st.sampled_from(
    [
        b"POST /v1/chat/completions HTTP/1.1",
        b"POST /v1/chat/completions?a=b HTTP/1.1",
        b"POST /v1/chat/completions HTTP/1.0",
        b"POST  /v1/chat/completions HTTP/1.1",
        b"POST /v1/%2e%2e/x HTTP/1.1",
        b"POST http://a/v1/chat/completions HTTP/1.1",
        b"POST * HTTP/1.1",
        b"GET /v1/models HTTP/1.1",
        b"HEAD /v1/models HTTP/1.1",
        b"GET /healthz HTTP/1.1",
        b"OPTIONS * HTTP/1.1",
        b"CONNECT a:1 HTTP/1.1",
        b"PRI * HTTP/2.0",
    ]
)
CHAT = running.body()
BODIES = st.sampled_from(
    [
        CHAT,
        running.body(stream=True),
        b"",
        b"{}",
        b"%x\r\n%b\r\n0\r\n\r\n" % (len(CHAT), CHAT),
        b"40;a=b\r\n%b\r\n0\r\nHost: x\r\n\r\n" % CHAT,
        b"0\r\n\r\n",
        b"POST /v1/models HTTP/1.1\r\n\r\n",
    ]
)
ENDS = st.sampled_from([b"\r\n", b"\r\n", b"\r\n", b"\r\n", b"\n", b"\r"])


@st.composite
def requests(draw: st.DrawFn) -> bytes:
    """One whose head is mostly that of a good request, with up to three lines more."""
    first = draw(st.one_of(st.just(b"POST /v1/chat/completions HTTP/1.1"), FIRST))
    lines = [b"Host: gateway.test"] if draw(st.integers(0, 9)) else []
    body = draw(BODIES)
    if draw(st.integers(0, 4)):
        lines.append(b"Content-Length: %d" % len(body))
    for line in draw(st.lists(LINES, max_size=3)):
        lines.insert(draw(st.integers(0, len(lines))), line)
    end = draw(ENDS)
    return end.join([first, *lines, b"", b""]) + body


@pytest.fixture(scope="module")
def ways() -> Iterator[conversations.Ways]:
    with conversations.Ways() as made:
        yield made


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(said=st.lists(requests(), min_size=1, max_size=3), cuts=st.lists(st.integers(0, 1500), max_size=5))
def test_nearly_right_conversations_end_the_same_on_every_way(
    ways: conversations.Ways, said: list[bytes], cuts: list[int]
) -> None:
    ways.agree(cut(b"".join(said), cuts))
