"""Plain chunks, which need no parser: the client gets what he would get by way of the parser, on both twins."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kthena_fast.upstream.attempt import Outcome
from kthena_fast.wire import _chunks
from kthena_fast.wire.usage import Usage
from tests.upstream.attempts import DONE, EVENT, STREAM, USAGE, Begin, Tally
from tests.upstream.client import chunked, unchunked

LAST = b"0\r\n\r\n"


def chunk(body: bytes, size: bytes | None = None) -> bytes:
    return b"%b\r\n%b\r\n" % (b"%x" % len(body) if size is None else size, body)


async def test_a_piece_of_several_events_passes_as_it_came(attempt: Begin) -> None:
    tally = Tally()
    piece = chunk(EVENT) + chunk(EVENT, b"%X" % len(EVENT)) + chunk(EVENT, b"000%x" % len(EVENT))
    heard = attempt(tally=tally).hear(STREAM, piece)
    assert heard.client.writes[1] is piece
    assert tally.events == 3
    assert heard.hear(chunk(DONE) + LAST).outcome is Outcome.DONE
    assert heard.client.body == 3 * EVENT + DONE
    assert heard.exchange.bytes_out == len(3 * EVENT + DONE)


@pytest.mark.parametrize("before", [0, 1, 2])
@pytest.mark.parametrize("behind", [0, 1, 2])
async def test_usage_between_events_of_one_piece_is_taken_out(attempt: Begin, before: int, behind: int) -> None:
    tally = Tally()
    piece = before * chunk(EVENT) + chunk(USAGE) + behind * chunk(EVENT)
    heard = attempt(strip_usage=True, tally=tally).hear(STREAM, chunk(EVENT), piece, chunk(DONE) + LAST)
    assert heard.outcome is Outcome.DONE
    assert heard.client.body == (1 + before + behind) * EVENT + DONE
    assert tally.events == 1 + before + behind
    assert tally.usages == [Usage(7, 2)]
    assert heard.exchange.bytes_out == len(heard.client.body)


@pytest.mark.parametrize(
    "rest",
    [
        chunk(EVENT)[:1],
        chunk(EVENT)[:-1],
        b"5;a=b\r\ndata:\r\n",
        b"0\r\nX-Trailer: 1\r\n\r\n",
        chunk(EVENT[:20]) + chunk(EVENT[20:]),
        chunk(b"event: x\n" + EVENT),
        chunk(EVENT.replace(b"\n", b"\r\n")),
        chunk(EVENT + EVENT),
    ],
)
async def test_what_is_not_plain_behind_what_is(attempt: Begin, rest: bytes) -> None:
    whole = STREAM + chunk(EVENT) + rest + (b"" if rest.startswith(b"0") else chunk(EVENT)[len(rest) :])
    expected = attempt().hear(*[whole[at : at + 1] for at in range(len(whole))])
    at = len(STREAM + chunk(EVENT) + rest)
    heard = attempt().hear(*[piece for piece in (STREAM, whole[len(STREAM) : at], whole[at:]) if piece])
    assert heard.client.body == expected.client.body
    assert heard.outcome is expected.outcome
    assert heard.relay.is_reusable == expected.relay.is_reusable


@pytest.mark.parametrize("size", [b"", b"0x5", b"+5", b"-5", b" 5", b"5 ", b"g", b"123456789", b"fffffffffffffffff"])
async def test_a_size_that_is_no_plain_number_is_for_the_parser_to_judge(attempt: Begin, size: bytes) -> None:
    piece = chunk(EVENT) + chunk(b"data:", size)
    heard = attempt().hear(STREAM, piece)
    expected = attempt().hear(STREAM, *[piece[at : at + 1] for at in range(len(piece))])
    assert heard.outcome is expected.outcome
    # What is cut short is told by an event of the gateway's own.
    assert heard.client.body.startswith(EVENT)
    assert (heard.client.body, heard.client.end) == (expected.client.body, expected.client.end)


BODIES = st.lists(
    st.sampled_from([EVENT, USAGE, DONE, b": comment\n\n", b"\n", b"data: {}\n", EVENT[:9], EVENT[9:], EVENT + EVENT]),
    max_size=8,
)


@given(bodies=BODIES, cut=st.lists(st.integers(0, 600), max_size=6), strip=st.booleans())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_however_events_are_chunked_and_cut_the_client_gets_the_same(
    attempt: Begin, bodies: list[bytes], cut: list[int], strip: bool
) -> None:
    said = chunked(*bodies)
    ends = sorted({min(at, len(said)) for at in cut} | {len(said)})
    pieces = [said[begin:end] for begin, end in zip([0, *ends], ends, strict=False) if end > begin]
    heard, one_by_one = attempt(strip_usage=strip, tally=Tally()), attempt(strip_usage=strip, tally=Tally())
    heard.hear(STREAM, *pieces)
    one_by_one.hear(STREAM, *[said[at : at + 1] for at in range(len(said))])
    assert heard.client.body == one_by_one.client.body
    assert (heard.exchange.events, heard.exchange.bytes_out) == (
        one_by_one.exchange.events,
        one_by_one.exchange.bytes_out,
    )
    assert heard.exchange.output_tokens == one_by_one.exchange.output_tokens


@given(st.one_of(st.binary(max_size=40), BODIES.map(lambda bodies: chunked(*bodies))), st.integers(0, 40))
def test_a_plain_chunk_is_one(data: bytes, at: int) -> None:
    start = _chunks.body_start(data, at)
    if start >= 0:
        end = _chunks.body_end(data, at)
        assert unchunked(data[at : end + 2] + LAST, is_whole=True) == data[start:end]
