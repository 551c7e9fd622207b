"""Whatever bytes an engine answers, in whatever pieces: the client gets one well-formed answer, or one visibly broken.

Both twins of the relay say, note and keep the same.
"""

from __future__ import annotations

import asyncio
import importlib
import re
from types import ModuleType
from typing import Any

import h11

from kthena_fast.core import _choice
from kthena_fast.exchange.downstream import Framing
from kthena_fast.upstream import _relay_py
from kthena_fast.upstream.attempt import Outcome
from tests.fuzz.given import Given
from tests.upstream.attempts import Attempt, Tally
from tests.upstream.client import Client

MODULES: list[ModuleType] = [_relay_py]
if not _choice.NO_EXTENSIONS:
    MODULES.append(importlib.import_module("kthena_fast.upstream._relay_c"))

NOTED = ["status", "upstream_status", "bytes_out", "events", "input_tokens", "output_tokens"]

_LINES = re.compile(rb"(?:[!#$%&'*+\-.^_`|~0-9A-Za-z]+: [\t -~\x80-\xff]*\r\n)*")


def check(given: Given) -> None:
    """AssertionError where it does not hold; needs a running loop."""
    heard = [_heard(module, given, given.pieces) for module in MODULES]
    assert all(_said(other) == _said(heard[0]) for other in heard), [_said(other) for other in heard]
    attempt = heard[0]
    _client_is_told_one_answer(attempt)
    _what_is_kept_had_one_answer(attempt, given)
    whole = _heard(_relay_py, given, (given.data,))
    if attempt.outcome is whole.outcome is Outcome.DONE:
        assert attempt.client.body == whole.client.body
        assert attempt.client.lines == whole.client.lines
        assert attempt.relay.is_reusable == whole.relay.is_reusable


def _heard(module: ModuleType, given: Given, pieces: tuple[bytes, ...]) -> Attempt:
    to_head = given.chose(2)
    attempt = Attempt(
        module,
        client=Client(accepts_chunked=not given.chose(3), wants_body=not to_head),
        method="HEAD" if to_head else "POST",
        strip_usage=given.chose(0),
        may_refuse=given.chose(1),
        tally=Tally(),
    )
    for piece in pieces:
        attempt.hear(piece)
    if given.chose(4) and not attempt.relay.is_over:
        attempt.relay.on_eof()
    attempt.lose(reused=given.chose(5))
    return attempt


def _said(attempt: Attempt) -> list[Any]:
    exchange, client, relay = attempt.exchange, attempt.client, attempt.relay
    return [
        attempt.outcome,
        relay.detail,
        relay.is_reusable,
        client.end,
        client.lines,
        client.writes,
        repr(exchange.error),
        *(getattr(exchange, name) for name in NOTED),
    ]


def _client_is_told_one_answer(attempt: Attempt) -> None:
    client = attempt.client
    assert attempt.relay.is_over
    assert client.started == (attempt.outcome in {Outcome.DONE, Outcome.CUT})
    if not client.started:
        assert client.wire == b""
        return
    assert _LINES.fullmatch(client.lines), client.lines
    names = [line.partition(b":")[0].lower() for line in client.lines.split(b"\r\n")[:-1]]
    assert not {b"connection", b"transfer-encoding", b"upgrade", b"keep-alive"} & set(names)
    assert names.count(b"content-length") <= 1
    assert names.count(b"x-request-id") == 1
    if client.framing is Framing.CHUNKED:
        assert b"content-length" not in names
    if attempt.outcome is Outcome.DONE:
        assert client.end == "finished"
        assert _read_by_a_client(attempt) == client.body
    else:
        assert client.end == "aborted"
        # Raises where a chunk is not whole.
        assert client.body is not None


def _read_by_a_client(attempt: Attempt) -> bytes:
    """The answer as h11 reads it, which knows nothing of llhttp; AssertionError where anything is left behind it."""
    client = attempt.client
    framing = {
        Framing.CHUNKED: b"Transfer-Encoding: chunked\r\n",
        Framing.CLOSE: b"Connection: close\r\n",
        Framing.LENGTH: b"",
    }
    assert client.framing is not None
    connection = _asked(attempt)
    head = b"HTTP/1.1 %d \r\n%b%b\r\n" % (client.status, client.lines, framing[client.framing])
    connection.receive_data(head + client.wire)
    if client.framing is Framing.CLOSE:
        connection.receive_data(b"")
    assert isinstance(connection.next_event(), h11.Response)
    body = b""
    while not isinstance(event := connection.next_event(), h11.EndOfMessage):
        assert isinstance(event, h11.Data), f"{event} of {client.lines!r} {client.wire!r}"
        body += bytes(event.data)
    assert connection.trailing_data[0] == b"", connection.trailing_data
    return body


def _what_is_kept_had_one_answer(attempt: Attempt, given: Given) -> None:
    """A connection that is used again stands behind exactly one final answer, as h11 reads it."""
    if not attempt.relay.is_reusable:
        return
    connection = _asked(attempt)
    connection.receive_data(given.data)
    try:
        while not isinstance(event := connection.next_event(), h11.EndOfMessage):
            assert event is not h11.NEED_DATA, "less than an answer came"
    except h11.RemoteProtocolError:
        # Of what it does not read, llhttp may read some.
        return
    assert connection.trailing_data[0] == b"", connection.trailing_data


def _asked(attempt: Attempt) -> h11.Connection:
    connection = h11.Connection(h11.CLIENT)
    fields = [("host", "x"), ("content-length", "0")]
    connection.send(h11.Request(method=attempt.exchange.method, target="/", headers=fields))
    connection.send(h11.EndOfMessage())
    return connection


def run(given: Given) -> None:
    async def checked() -> None:
        check(given)

    _RUNNER.run(checked())


_RUNNER = asyncio.Runner()
