"""What is not exactly one well-formed request is refused, and never becomes one on its way to an engine."""

from __future__ import annotations

import pytest

from tests.gateway import running
from tests.gateway.running import Scene

BODY = running.body()
LENGTH = b"Content-Length: %d\r\n" % len(BODY)
SMUGGLED = running.request(running.body(messages=[{"role": "user", "content": "smuggled"}]))


def post(*, line: bytes = b"POST /v1/chat/completions HTTP/1.1", head: bytes, body: bytes = BODY) -> bytes:
    return line + b"\r\n" + head + b"\r\n" + body


def chunked(body: bytes) -> bytes:
    return b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)


HOST = b"Host: gateway.test\r\n"

MALFORMED = {
    "both lengths": post(head=HOST + LENGTH + b"Transfer-Encoding: chunked\r\n", body=chunked(BODY)),
    "both lengths, chunks first": post(head=HOST + b"Transfer-Encoding: chunked\r\n" + LENGTH, body=chunked(BODY)),
    "two lengths that differ": post(head=HOST + LENGTH + b"Content-Length: 5\r\n"),
    "two lengths that agree": post(head=HOST + LENGTH + LENGTH),
    "a list of lengths": post(head=HOST + b"Content-Length: %d, %d\r\n" % (len(BODY), len(BODY))),
    "a length with a plus": post(head=HOST + b"Content-Length: +%d\r\n" % len(BODY)),
    "a length with a minus": post(head=HOST + b"Content-Length: -%d\r\n" % len(BODY)),
    "a length in hexadecimal": post(head=HOST + b"Content-Length: 0x%x\r\n" % len(BODY)),
    "a length with a space in it": post(head=HOST + b"Content-Length: 1 0\r\n"),
    "an empty length": post(head=HOST + b"Content-Length: \r\n"),
    "a length beyond 64 bits": post(head=HOST + b"Content-Length: 18446744073709551716\r\n"),
    "a length in other digits": post(head=HOST + "Content-Length: \u0661\u0660\r\n".encode()),
    "a coding that is not chunked": post(head=HOST + b"Transfer-Encoding: xchunked\r\n", body=chunked(BODY)),
    "a coding with a vertical tab": post(head=HOST + b"Transfer-Encoding: \x0bchunked\r\n", body=chunked(BODY)),
    "chunked in quotes": post(head=HOST + b'Transfer-Encoding: "chunked"\r\n', body=chunked(BODY)),
    "chunked before another": post(head=HOST + b"Transfer-Encoding: chunked, identity\r\n", body=chunked(BODY)),
    "chunked after another": post(head=HOST + b"Transfer-Encoding: gzip, chunked\r\n", body=chunked(BODY)),
    "chunked twice": post(head=HOST + b"Transfer-Encoding: chunked, chunked\r\n", body=chunked(BODY)),
    "chunked in two headers": post(head=HOST + b"Transfer-Encoding: chunked\r\n" * 2, body=chunked(BODY)),
    "identity, then chunked": post(
        head=HOST + b"Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n", body=chunked(BODY)
    ),
    "chunks in HTTP/1.0": post(
        line=b"POST /v1/chat/completions HTTP/1.0", head=HOST + b"Transfer-Encoding: chunked\r\n", body=chunked(BODY)
    ),
    "a space before the colon": post(head=HOST + b"Content-Length : %d\r\n" % len(BODY)),
    "a tab before the colon": post(head=HOST + b"Content-Length\t: %d\r\n" % len(BODY)),
    "a space before the coding's colon": post(head=HOST + b"Transfer-Encoding : chunked\r\n", body=chunked(BODY)),
    "a header without a colon": post(head=HOST + LENGTH + b"Nonsense\r\n"),
    "a header without a name": post(head=HOST + LENGTH + b": nonsense\r\n"),
    "a folded header": post(head=HOST + LENGTH + b"X-A: one\r\n two\r\n"),
    "a folded length": post(head=HOST + b"Content-Length:\r\n %d\r\n" % len(BODY)),
    "a folded first header": post(head=b" X: y\r\n" + HOST + LENGTH),
    "a NUL in a value": post(head=HOST + LENGTH + b"X-A: one\0two\r\n"),
    "a NUL in a name": post(head=HOST + LENGTH + b"X-\0A: one\r\n"),
    "a bare CR in a value": post(head=HOST + LENGTH + b"X-A: one\rX-B: two\r\n"),
    "a bare CR at the end": post(head=HOST + LENGTH + b"X-A: one\r\r\n"),
    "a bare LF in a value": post(head=HOST + LENGTH + b"X-A: one\nX-B: two\r\n"),
    "bare LFs all through": post(head=HOST + LENGTH).replace(b"\r\n", b"\n"),
    "a control character in a value": post(head=HOST + LENGTH + b"X-A: \x01\r\n"),
    "a delete in a value": post(head=HOST + LENGTH + b"X-A: \x7f\r\n"),
    "two hosts": post(head=HOST + b"Host: other.test\r\n" + LENGTH),
    "no host": post(head=LENGTH),
    "an absolute target": post(line=b"POST http://other.test/v1/chat/completions HTTP/1.1", head=HOST + LENGTH),
    "an authority as target": post(line=b"POST other.test:80 HTTP/1.1", head=HOST + LENGTH),
    "a target without its slash": post(line=b"POST v1/chat/completions HTTP/1.1", head=HOST + LENGTH),
    "an asterisk": post(line=b"OPTIONS * HTTP/1.1", head=HOST, body=b""),
    "a tunnel": post(line=b"CONNECT other.test:443 HTTP/1.1", head=HOST, body=b""),
    "a space in the target": post(line=b"POST /v1/chat/completions /x HTTP/1.1", head=HOST + LENGTH),
    "a control character in the target": post(line=b"POST /v1/chat\x01completions HTTP/1.1", head=HOST + LENGTH),
    "a target that is not ASCII": post(line="POST /v1/chät HTTP/1.1".encode(), head=HOST + LENGTH),
    "no version": post(line=b"POST /v1/chat/completions", head=HOST + LENGTH),
    "another version": post(line=b"POST /v1/chat/completions HTTP/3.0", head=HOST + LENGTH),
    "another protocol": post(line=b"POST /v1/chat/completions SIP/2.0", head=HOST + LENGTH),
    "a method that is none": post(line=b"PO(ST /v1/chat/completions HTTP/1.1", head=HOST + LENGTH),
    "the hello of TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(32),
    "a compressed body": post(head=HOST + LENGTH + b"Content-Encoding: gzip\r\n"),
    "an expectation that is not known": post(head=HOST + LENGTH + b"Expect: the-unexpected\r\n"),
}


def _only_well_formed(scene: Scene) -> None:
    """What reached the engine, if anything did, is the one request that the bytes say and nothing behind it."""
    for record in scene.engine.requests:
        assert (record.method, record.path, record.body) == ("POST", "/v1/chat/completions", BODY)
        assert [name.lower() for name, _ in record.headers].count(b"content-length") == 1
        assert record.header("Transfer-Encoding") is None
    assert scene.engine.arrivals <= 1


@pytest.mark.parametrize("what", MALFORMED)
async def test_it_is_400_in_openais_shape_and_the_end_of_the_connection(what: str) -> None:
    async with running.scene() as scene:
        raw = await scene.connect()
        # What would be smuggled follows at once: it must go down with the connection.
        raw.say(MALFORMED[what] + SMUGGLED)
        answer = await raw.answer()
        assert (answer.status, answer.error["type"]) == (400, "invalid_request_error")
        assert answer.code == "bad_request"
        assert answer.headers["connection"] == "close"
        assert await raw.rest() == b""
        await scene.settled()
        assert scene.engine.arrivals == 0


BROKEN_CHUNKS = {
    "a size that is no number": b"zz\r\nabc\r\n0\r\n\r\n",
    "a size with a sign": b"+5\r\nhello\r\n0\r\n\r\n",
    "a negative size": b"-5\r\nhello\r\n0\r\n\r\n",
    "a size with 0x": b"0x5\r\nhello\r\n0\r\n\r\n",
    "a space before the size": b" 5\r\nhello\r\n0\r\n\r\n",
    "a size beyond 64 bits": b"10000000000000005\r\nhello\r\n0\r\n\r\n",
    "more than the size says": b"4\r\nhello\r\n0\r\n\r\n",
    "less than the size says": b"6\r\nhello\r\n0\r\n\r\n",
    "a bare LF behind the size": b"5\nhello\r\n0\r\n\r\n",
    "a bare LF behind the data": b"5\r\nhello\n0\r\n\r\n",
    "a bare CR behind the size": b"5\rhello\r\n0\r\n\r\n",
    "a NUL in an extension": b"5;a=\0\r\nhello\r\n0\r\n\r\n",
    "a line end in an extension": b"5;a\nb\r\nhello\r\n0\r\n\r\n",
}


@pytest.mark.parametrize("what", BROKEN_CHUNKS)
async def test_chunks_that_are_broken_are_400_and_the_end_of_the_connection(what: str) -> None:
    async with running.scene() as scene:
        raw = await scene.connect()
        raw.say(post(head=HOST + b"Transfer-Encoding: chunked\r\n", body=BROKEN_CHUNKS[what]) + SMUGGLED)
        answer = await raw.answer()
        assert (answer.status, answer.code) == (400, "bad_request")
        assert await raw.rest() == b""
        assert scene.engine.arrivals == 0


async def test_a_chunked_body_reaches_the_engine_as_one_body_with_its_length() -> None:
    async with running.scene() as scene:
        half = len(BODY) // 2
        pieces = b"%x;ext=1\r\n%b\r\n%X\r\n%b\r\n0\r\nX-Trailer: lost\r\n\r\n" % (
            half,
            BODY[:half],
            len(BODY) - half,
            BODY[half:],
        )
        request = post(head=HOST + b"Transfer-Encoding: chunked\r\n", body=pieces)
        assert (await scene.ask(request)).status == 200
        _only_well_formed(scene)
        (record,) = scene.engine.requests
        assert record.header("Content-Length") == str(len(BODY))
        assert record.header("X-Trailer") is None


async def test_a_request_cut_anywhere_by_the_network_is_the_same_request() -> None:
    async with running.scene() as scene:
        raw = await scene.connect()
        request = running.chat()
        for at in range(0, len(request), 7):
            raw.say(request[at : at + 7])
            await raw.writer.drain()
        assert (await raw.answer()).status == 200
        _only_well_formed(scene)


async def test_bytes_behind_the_announced_length_are_the_next_request() -> None:
    async with running.scene() as scene:
        raw = await scene.connect()
        raw.say(running.chat("X-Mock-Hold-After: 0"))
        await scene.engine.until(lambda: scene.engine.held == 1)
        raw.say(b"GARBAGE\r\n\r\n" + SMUGGLED)
        scene.engine.release()
        assert (await raw.answer()).status == 200
        assert (await raw.answer()).status == 400
        assert await raw.rest() == b""
        _only_well_formed(scene)


async def test_a_body_that_the_client_never_finishes_reaches_no_engine() -> None:
    async with running.scene() as scene:
        raw = await scene.connect()
        raw.say(running.chat()[:-1])
        raw.writer.write_eof()
        await raw.rest()
        await scene.settled()
        assert scene.engine.arrivals == 0
