"""The relay alone, when the engine breaks off, talks nonsense or refuses: at every cut, on both twins."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from kthena_fast.exchange.downstream import Framing
from kthena_fast.upstream.attempt import Outcome
from tests.upstream.attempts import CHUNKED, DONE, EVENT, LENGTH, STREAM, UNTIL_CLOSE, Begin
from tests.upstream.client import Client, chunked

# Answers that break off


def the_error(body: bytes) -> dict[str, Any]:
    """The error of the last event, which is all that follows the last blank line but one."""
    assert body.endswith(b"\n\n")
    event = body[:-2].rpartition(b"\n\n")[2]
    error = orjson.loads(event.removeprefix(b"data: "))["error"]
    assert sorted(error) == ["code", "message", "param", "type"]
    return dict(error)


async def test_a_stream_cut_at_any_byte_ends_with_an_error_event_and_no_last_chunk(attempt: Begin) -> None:
    said = STREAM + chunked(EVENT, EVENT)[:-1]
    for at in range(len(STREAM), len(said)):
        heard = attempt(strip_usage=True).hear(said[:at]).lose()
        assert heard.outcome is Outcome.CUT
        assert heard.client.end == "aborted"
        error = the_error(heard.client.body)
        assert (error["type"], error["code"]) == ("upstream_error", "protocol_error")
        assert b"[DONE]" not in heard.client.body
        assert heard.exchange.error is not None
        assert heard.exchange.error.message == error["message"]
        assert heard.exchange.bytes_out == len(heard.client.body)
        assert not heard.relay.is_reusable


async def test_a_blank_line_comes_before_the_error_only_inside_an_event(attempt: Begin) -> None:
    whole = attempt().hear(STREAM + chunked(EVENT)[:-5]).lose()
    assert whole.client.body.startswith(EVENT + b"data: {")
    inside = attempt().hear(STREAM + chunked(EVENT[:-5])[:-5]).lose()
    assert inside.client.body.startswith(EVENT[:-5] + b"\n\ndata: {")


async def test_a_stream_that_said_it_was_done_needs_no_error_event(attempt: Begin) -> None:
    heard = attempt().hear(STREAM + chunked(EVENT, DONE)[:-5]).lose()
    assert repr(heard) == f"CUT <200 CHUNKED {EVENT + DONE!r} aborted> reusable=False"


async def test_a_stream_that_breaks_says_so_to_an_http_1_0_client(attempt: Begin) -> None:
    heard = attempt(client=Client(accepts_chunked=False)).hear(STREAM + chunked(EVENT)[:-5]).lose()
    assert heard.client.body.startswith(EVENT)
    assert the_error(heard.client.body)["code"] == "protocol_error"
    assert heard.client.end == "aborted"


@pytest.mark.parametrize("said", [LENGTH % 10 + b"hello", CHUNKED + b"5\r\nhello\r\n", CHUNKED + b"a\r\nhello"])
async def test_any_other_answer_that_breaks_is_aborted_as_it_stands(attempt: Begin, said: bytes) -> None:
    heard = attempt().hear(said).lose()
    assert heard.outcome is Outcome.CUT
    assert heard.client.body == b"hello"
    assert heard.client.end == "aborted"
    assert heard.exchange.error is not None


async def test_a_reset_is_not_the_end_of_a_body_that_ends_with_the_connection(attempt: Begin) -> None:
    heard = attempt().hear(UNTIL_CLOSE + EVENT).lose()
    assert heard.outcome is Outcome.CUT
    assert the_error(heard.client.body)["code"] == "protocol_error"


async def test_broken_chunks_in_the_middle_cut_the_answer_after_what_was_whole(attempt: Begin) -> None:
    heard = attempt().hear(STREAM + chunked(EVENT)[:-5], chunked(EVENT)[:-5] + b"zz\r\n")
    assert heard.outcome is Outcome.CUT
    assert heard.client.body.startswith(EVENT + EVENT + b"data: {")
    assert heard.client.end == "aborted"


async def test_chunks_that_are_broken_from_the_first_are_an_error_the_client_can_still_be_told(attempt: Begin) -> None:
    heard = attempt().hear(CHUNKED + b"zz\r\n")
    assert heard.outcome is Outcome.MALFORMED
    assert not heard.client.started


async def test_what_was_abandoned_keeps_its_counts(attempt: Begin) -> None:
    heard = attempt().hear(STREAM, chunked(EVENT, EVENT)[:-5])
    heard.relay.abandon()
    assert (heard.exchange.events, heard.exchange.bytes_out) == (2, 2 * len(EVENT))
    assert heard.exchange.upstream_ended is not None
    assert heard.client.flow is None


# Heads


@pytest.mark.parametrize(
    "said",
    [
        b"SSH-2.0-OpenSSH_9\r\n",
        b"\x16\x03\x01\x02\x00",
        b"HTTP/1.1 OK\r\n",
        b"HTTP/1.1 200 OK\nContent-Length: 0\n\n",
        b"\r\n\r\nHTTP/1.1 200 OK\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nx",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 000000000000000000002\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nX: a\r\n folded\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: a\0b\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"a" * 65536 + b"\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n" * 3000,
    ],
)
async def test_what_is_not_an_answer_is_told_as_such_and_passes_nothing(attempt: Begin, said: bytes) -> None:
    heard = attempt().hear(said)
    assert heard.outcome is Outcome.MALFORMED
    assert heard.relay.detail
    assert not heard.client.started
    assert not heard.relay.is_reusable


async def test_a_head_that_never_ends_is_given_up_at_its_limit(attempt: Begin) -> None:
    heard = attempt().hear(b"HTTP/1.1 200 OK\r\n", *[b"X: y\r\n"] * 11_000)
    assert heard.outcome is Outcome.MALFORMED


async def test_a_connection_that_ends_inside_the_head_is_lost(attempt: Begin) -> None:
    head = LENGTH % 2
    for at in range(1, len(head)):
        heard = attempt().hear(head[:at]).lose(reused=True)
        assert heard.outcome is Outcome.LOST
        assert not heard.client.started


async def test_only_a_reused_connection_that_said_nothing_is_stale(attempt: Begin) -> None:
    assert attempt().lose(reused=True).outcome is Outcome.STALE
    assert attempt().lose(reused=False).outcome is Outcome.LOST
    assert attempt().hear(b"HTTP/1.1 100 Continue\r\n\r\n").lose(reused=True).outcome is Outcome.LOST


@pytest.mark.parametrize("status", [429, 502, 503])
async def test_an_answer_that_may_be_refused_is_not_shown(attempt: Begin, status: int) -> None:
    head = b"HTTP/1.1 %d Busy\r\nContent-Length: 2\r\n\r\n" % status
    heard = attempt(may_refuse=True).hear(head + b"no")
    assert heard.outcome is Outcome.REFUSED
    assert heard.relay.is_reusable
    assert not heard.client.started
    assert heard.exchange.upstream_status == status
    # The rest of its body is not waited for.
    assert not attempt(may_refuse=True).hear(head).relay.is_reusable
    assert attempt().hear(head + b"no").client.status == status


@pytest.mark.parametrize("status", [400, 404, 500, 504])
async def test_an_answer_that_no_other_pod_does_better_is_shown(attempt: Begin, status: int) -> None:
    heard = attempt(may_refuse=True).hear(b"HTTP/1.1 %d Error\r\nContent-Length: 2\r\n\r\nno" % status)
    assert repr(heard) == f"DONE <{status} LENGTH b'no' finished> reusable=True"


async def test_the_time_to_the_head_ends_with_the_head(attempt: Begin) -> None:
    assert attempt().relay.on_timeout()
    late = attempt()
    late.relay.on_timeout()
    late.hear(LENGTH % 2 + b"{}")
    assert late.outcome is Outcome.TIMED_OUT
    assert not late.client.started
    in_time = attempt().hear(CHUNKED)
    assert not in_time.relay.on_timeout()
    assert in_time.hear(chunked(b"hello")).outcome is Outcome.DONE


async def test_a_status_of_no_class_is_no_answer(attempt: Begin) -> None:
    heard = attempt().hear(b"HTTP/1.1 600 What\r\nContent-Length: 0\r\n\r\n")
    assert (heard.outcome, heard.relay.detail) == (Outcome.MALFORMED, "its status is 600")
    assert not heard.client.started


async def test_blanks_around_a_value_are_no_part_of_it_however_the_head_comes(attempt: Begin) -> None:
    head = b"HTTP/1.1 200 OK\r\nX-A:\t a \t\r\nContent-Length: 0 \r\n\r\n"
    lines = {attempt().hear(*pieces).client.lines for pieces in ((head,), (head[:9], head[9:]))}
    assert lines == {b"x-a: a\r\ncontent-length: 0\r\nx-request-id: r-1\r\n"}


async def test_the_framing_is_length_for_a_status_without_a_body(attempt: Begin) -> None:
    heard = attempt().hear(b"HTTP/1.1 304 Not Modified\r\nETag: x\r\n\r\n")
    assert heard.client.framing is Framing.LENGTH
    assert heard.client.end == "finished"
