"""The relay alone: bytes in, what the client gets out, at every cut, on both twins."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kthena_fast.upstream.attempt import Outcome
from kthena_fast.wire.usage import Usage
from tests.upstream.attempts import CHUNKED, DONE, EVENT, LENGTH, STREAM, UNTIL_CLOSE, USAGE, Begin, Tally, cuts
from tests.upstream.client import Client, chunked

# Bodies that are whole


async def test_a_length_answer_passes_as_it_came(attempt: Begin) -> None:
    heard = attempt().hear(LENGTH % 5 + b"hello")
    assert repr(heard) == "DONE <200 LENGTH b'hello' finished> reusable=True"
    assert heard.client.header(b"content-length") == b"5"
    assert heard.client.writes == [b"hello"]


async def test_a_length_answer_is_the_same_at_every_cut(attempt: Begin) -> None:
    for pieces in cuts(LENGTH % 5 + b"hello"):
        assert repr(attempt().hear(*pieces)) == "DONE <200 LENGTH b'hello' finished> reusable=True"


async def test_an_empty_answer_is_over_with_its_head(attempt: Begin) -> None:
    assert repr(attempt().hear(LENGTH % 0)) == "DONE <200 LENGTH b'' finished> reusable=True"
    assert repr(attempt().hear(b"HTTP/1.1 204 No Content\r\n\r\n")) == "DONE <204 LENGTH b'' finished> reusable=True"


async def test_whole_chunks_pass_untouched(attempt: Begin) -> None:
    pieces = [b"5\r\nhello\r\n", b"3\r\nyou\r\n1\r\n!\r\n", b"0\r\n\r\n"]
    heard = attempt().hear(CHUNKED, *pieces)
    assert repr(heard) == "DONE <200 CHUNKED b'helloyou!' finished> reusable=True"
    assert all(given is said for given, said in zip(heard.client.writes[1:], pieces, strict=True))


async def test_chunks_are_the_same_body_at_every_cut_and_the_client_is_always_between_two(attempt: Begin) -> None:
    said = CHUNKED + chunked(b"hello", b"\r\n", b"0\r\n\r\n", b"x" * 300)
    for pieces in cuts(said):
        heard = attempt()
        for piece in pieces:
            heard.hear(piece)
            if heard.client.started:
                # Raises where the client would stand inside a chunk.
                assert heard.client.body is not None
        assert heard.outcome is Outcome.DONE
        assert heard.client.body == b"hello\r\n0\r\n\r\n" + b"x" * 300
        assert heard.relay.is_reusable


async def test_chunk_extensions_and_trailers_do_not_break_the_framing(attempt: Begin) -> None:
    said = CHUNKED + b"5;a=b\r\nhello\r\n0\r\nX-Trailer: 0\r\n\r\n"
    for pieces in [[said], *cuts(said)]:
        heard = attempt().hear(*pieces)
        assert heard.outcome is Outcome.DONE
        assert b"X-Trailer" not in heard.client.wire


async def test_chunks_for_an_http_1_0_client_end_with_the_connection(attempt: Begin) -> None:
    for pieces in cuts(CHUNKED + chunked(b"hello", b"you")):
        heard = attempt(client=Client(accepts_chunked=False)).hear(*pieces)
        assert repr(heard) == "DONE <200 CLOSE b'helloyou' finished> reusable=True"


async def test_a_body_that_ends_with_the_connection_is_chunked_for_the_client(attempt: Begin) -> None:
    heard = attempt().hear(UNTIL_CLOSE, EVENT)
    assert heard.outcome is None
    heard.relay.on_eof()
    heard.lose()
    assert repr(heard) == f"DONE <200 CHUNKED {EVENT!r} finished> reusable=False"
    assert heard.exchange.events == 1
    assert heard.exchange.error is None


async def test_a_body_that_ends_with_the_connection_does_so_for_an_http_1_0_client(attempt: Begin) -> None:
    heard = attempt(client=Client(accepts_chunked=False)).hear(UNTIL_CLOSE + b"hel", b"lo")
    heard.relay.on_eof()
    assert repr(heard) == "DONE <200 CLOSE b'hello' finished> reusable=False"


async def test_the_answer_to_head_has_no_body(attempt: Begin) -> None:
    heard = attempt(method="HEAD", client=Client(wants_body=False)).hear(LENGTH % 5)
    # The parser waits for five bytes that never come.
    assert repr(heard) == "DONE <200 LENGTH b'' finished> reusable=False"
    assert heard.client.header(b"content-length") == b"5"


async def test_interim_answers_are_not_passed_on(attempt: Begin) -> None:
    said = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" + LENGTH % 2 + b"{}"
    for pieces in [[said], *cuts(said)]:
        heard = attempt().hear(*pieces)
        assert repr(heard) == "DONE <200 LENGTH b'{}' finished> reusable=True"
        assert heard.client.header(b"link") is None


async def test_an_answer_that_closes_its_connection_is_not_reusable(attempt: Begin) -> None:
    heard = attempt().hear(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 1\r\n\r\n1")
    assert repr(heard) == "DONE <200 LENGTH b'1' finished> reusable=False"


@pytest.mark.parametrize(
    "end", [LENGTH % 2 + b"{}", CHUNKED + b"2\r\n{}\r\n0\r\n\r\n", STREAM + b"2\r\n{}\r\n0\r\n\r\n"]
)
@pytest.mark.parametrize("extra", [b"HTTP/1.1 200 OK\r\n\r\n", b"H", b"x", b"\0"])
async def test_what_stands_behind_the_end_is_not_passed_on_and_spends_the_connection(
    attempt: Begin, end: bytes, extra: bytes
) -> None:
    for pieces in ([end + extra], [end[:-1], end[-1:] + extra], [end, extra]):
        heard = attempt().hear(*pieces)
        assert heard.outcome is Outcome.DONE
        assert heard.client.body == b"{}"
        assert heard.client.end == "finished"
        assert not heard.relay.is_reusable


async def test_a_blank_line_behind_the_last_chunk_does_not_reach_the_client(attempt: Begin) -> None:
    heard = attempt().hear(CHUNKED + b"2\r\n{}\r\n0\r\n\r\n\r\n")
    assert heard.client.wire == chunked(b"{}")


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), body=st.lists(st.binary(min_size=1, max_size=40), max_size=6))
async def test_the_client_gets_the_same_body_however_chunks_are_cut(
    attempt: Begin, data: st.DataObject, body: list[bytes]
) -> None:
    said = CHUNKED + chunked(*body)
    ends = sorted(data.draw(st.sets(st.integers(1, len(said) - 1), max_size=12)))
    heard = attempt().hear(*(said[start:end] for start, end in zip([0, *ends], [*ends, len(said)], strict=True)))
    assert repr(heard) == f"DONE <200 CHUNKED {b''.join(body)!r} finished> reusable=True"


# Streams


async def test_usage_is_taken_out_at_every_cut_and_leaves_no_stray_byte(attempt: Begin) -> None:
    for said in (chunked(EVENT, EVENT, USAGE, DONE), chunked(EVENT + EVENT, USAGE + DONE)):
        for pieces in cuts(STREAM + said):
            heard = attempt(strip_usage=True).hear(*pieces)
            assert repr(heard) == f"DONE <200 CHUNKED {EVENT + EVENT + DONE!r} finished> reusable=True"
            assert (heard.exchange.input_tokens, heard.exchange.output_tokens, heard.exchange.events) == (7, 2, 2)
            assert heard.exchange.bytes_out == len(heard.client.body)


async def test_usage_is_taken_out_for_a_client_that_knows_no_chunks(attempt: Begin) -> None:
    for pieces in cuts(STREAM + chunked(EVENT, USAGE, DONE)):
        heard = attempt(strip_usage=True, client=Client(accepts_chunked=False)).hear(*pieces)
        assert repr(heard) == f"DONE <200 CLOSE {EVENT + DONE!r} finished> reusable=True"


async def test_usage_is_taken_out_of_a_stream_that_ends_with_its_connection(attempt: Begin) -> None:
    for pieces in cuts(UNTIL_CLOSE + EVENT + USAGE):
        heard = attempt(strip_usage=True).hear(*pieces)
        heard.relay.on_eof()
        assert repr(heard) == f"DONE <200 CHUNKED {EVENT!r} finished> reusable=False"
        assert heard.exchange.output_tokens == 2


async def test_an_event_that_is_still_held_at_the_end_is_passed_on(attempt: Begin) -> None:
    unfinished = b'data: {"object":"ping"}'
    for pieces in cuts(STREAM + chunked(EVENT, unfinished)):
        heard = attempt(strip_usage=True).hear(*pieces)
        assert repr(heard) == f"DONE <200 CHUNKED {EVENT + unfinished!r} finished> reusable=True"
        assert heard.exchange.bytes_out == len(EVENT + unfinished)


async def test_usage_that_the_client_asked_for_stays(attempt: Begin) -> None:
    pieces = [chunked(EVENT)[:-5], chunked(USAGE)[:-5], chunked(DONE)]
    heard = attempt().hear(STREAM, *pieces)
    assert heard.client.body == EVENT + USAGE + DONE
    assert all(given is said for given, said in zip(heard.client.writes[1:], pieces, strict=True))
    assert heard.exchange.output_tokens == 2


async def test_events_before_the_usage_pass_untouched(attempt: Begin) -> None:
    first = chunked(EVENT)[:-5]
    heard = attempt(strip_usage=True).hear(STREAM, first, chunked(USAGE)[:-5], chunked(DONE))
    assert heard.client.writes[1] is first
    assert heard.client.body == EVENT + DONE


async def test_a_length_answer_is_never_edited(attempt: Begin) -> None:
    body = EVENT + USAGE + DONE
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: %d\r\n\r\n" % len(body)
    for pieces in cuts(head + body):
        heard = attempt(strip_usage=True).hear(*pieces)
        assert heard.client.body == body
        assert heard.exchange.output_tokens == 2


async def test_an_encoded_body_is_passed_on_and_not_understood(attempt: Begin) -> None:
    head = STREAM.replace(b"\r\n\r\n", b"\r\nContent-Encoding: gzip\r\n\r\n")
    heard = attempt(strip_usage=True).hear(head + chunked(EVENT, USAGE))
    assert heard.client.body == EVENT + USAGE
    assert heard.client.header(b"content-encoding") == b"gzip"
    assert (heard.exchange.events, heard.exchange.output_tokens) == (0, 0)


async def test_usage_is_read_from_the_end_of_a_json_answer(attempt: Begin) -> None:
    body = b'{"choices":[{"text":"%b"}],"usage":{"prompt_tokens":7,"completion_tokens":9}}' % (b"x" * 200_000)
    for said in (
        LENGTH % len(body) + body,
        CHUNKED.replace(b"Tr", b"Content-Type: application/json\r\nTr") + chunked(body),
    ):
        heard = attempt().hear(*(said[at : at + 1000] for at in range(0, len(said), 1000)))
        assert heard.client.body == body
        assert (heard.exchange.input_tokens, heard.exchange.output_tokens) == (7, 9)


async def test_the_tally_hears_of_events_while_they_stream_and_of_usage(attempt: Begin) -> None:
    tally = Tally()
    heard = attempt(tally=tally).hear(STREAM, chunked(EVENT, EVENT)[:-5])
    assert tally.events == 2
    heard.hear(chunked(EVENT)[:-5])
    assert tally.events == 3
    heard.hear(chunked(USAGE, DONE))
    assert tally.events == 3
    assert tally.usages == [Usage(7, 2)]


async def test_the_tally_hears_of_an_answer_that_came_at_once(attempt: Begin) -> None:
    tally = Tally()
    attempt(tally=tally).hear(STREAM + chunked(EVENT, USAGE, DONE))
    assert (tally.events, tally.usages) == (1, [Usage(7, 2)])
    tally = Tally()
    body = b'{"usage":{"prompt_tokens":1,"completion_tokens":2}}'
    attempt(tally=tally).hear(LENGTH % len(body) + body)
    assert (tally.events, tally.usages) == (0, [Usage(1, 2)])
