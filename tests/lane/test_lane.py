"""The lane alone: pieces, order, bounds, and what is handed over."""

from __future__ import annotations

import asyncio
from types import ModuleType

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kthena_fast.gateway import _incoming_py, _lane_py, lane
from tests.gateway import running
from tests.lane.conftest import MODULES
from tests.lane.fakes import Stage

CHAT = running.chat()
GET = running.get("/v1/models")


def test_the_compiled_lane_is_used_where_there_is_one() -> None:
    assert lane.Lane is MODULES[0].Lane


def _outcome(module: ModuleType, pieces: list[bytes]) -> tuple[list[bytes], bytes, bytes, bool]:
    """What an engine would get, the answers, what was handed over, and whether the connection was ended."""

    async def play() -> tuple[list[bytes], bytes, bytes, bool]:
        stage = Stage(module)
        try:
            await stage.say(*pieces)
            written = stage.transport.written
            # Refusals have ids of their own, answers the second at which they were written.
            lines = [line for line in written.split(b"\r\n") if not line.startswith((b"X-Request-Id", b"Date"))]
            ended = stage.transport.closed or stage.transport.ended
            return stage.journey.requests(), b"\r\n".join(lines), stage.handed.data, ended
        finally:
            stage.leave()

    return asyncio.run(play())


def _cut(data: bytes, cuts: list[int]) -> list[bytes]:
    ends = sorted({min(cut, len(data)) for cut in cuts} | {len(data)})
    return [data[begin:end] for begin, end in zip([0, *ends], ends, strict=False) if end > begin]


TOKEN = st.text("abcdefghijklmnopqrstuvwxyzABC0123456789-_", min_size=1, max_size=12)
VALUE = st.text(st.characters(min_codepoint=32, max_codepoint=255, exclude_characters="\x7f"), max_size=20)
FIELDS = st.lists(st.tuples(TOKEN.map("X-{}".format), VALUE), max_size=6)
BODY = st.binary(max_size=300)
PATH = st.sampled_from(["/v1/chat/completions", "/v1/embeddings?a=b", "/v1/%63hat", "/v1/models"])


@st.composite
def requests(draw: st.DrawFn) -> bytes:
    """Any request that is for the lane."""
    lines = [f"{name}:{value}" for name, value in draw(FIELDS)]
    return running.request(draw(BODY), *lines, path=draw(PATH))


@given(st.lists(requests(), min_size=1, max_size=3), st.lists(st.integers(0, 2000), max_size=8))
def test_requests_cut_anywhere_are_the_same_requests(whole: list[bytes], cuts: list[int]) -> None:
    data = b"".join(whole)
    expected = _outcome(_lane_py, [data])
    assert len(expected[0]) == len(whole)
    for module in MODULES:
        assert _outcome(module, _cut(data, cuts)) == expected


HOSTILE = st.sampled_from(
    [b"\r", b"\n", b"\0", b" ", b"\t", b":", b"\r\n", b"\r\n ", b"\r\n\r\n", b"\x7f", b"\xff", b"0", b"-"]
)
LINES = st.sampled_from(
    [b"Host: b\r\n", b"Content-Length: 3\r\n", b"Transfer-Encoding: chunked\r\n", b"HTTP/1.0", GET, CHAT]
)
EDIT = st.tuples(st.integers(0, 400), st.integers(0, 6), HOSTILE | LINES)


@given(requests(), st.lists(EDIT, min_size=1, max_size=4), st.lists(st.integers(0, 600), max_size=4))
def test_whatever_comes_an_engine_gets_whole_requests_and_both_twins_agree(
    request: bytes, edits: list[tuple[int, int, bytes]], cuts: list[int]
) -> None:
    data = request + CHAT
    for at, gone, put in edits:
        data = data[:at] + put + data[at + gone :]
    outcomes = [_outcome(module, _cut(data, cuts)) for module in MODULES]
    assert outcomes[0] == outcomes[-1]
    reached, _, handed, _ = outcomes[0]
    for sent in reached:
        _is_one_request(sent)
    assert not handed or data.endswith(handed)


def _is_one_request(sent: bytes) -> None:
    """As h11 reads it, which knows nothing of llhttp."""
    connection = h11.Connection(h11.SERVER)
    connection.receive_data(sent)
    assert isinstance(connection.next_event(), h11.Request)
    while not isinstance(event := connection.next_event(), h11.EndOfMessage):
        assert isinstance(event, h11.Data)
    assert connection.trailing_data == (b"", False)


async def test_what_is_handed_over_has_all_its_bytes(module: ModuleType) -> None:
    for cut in range(1, len(GET)):
        stage = Stage(module)
        await stage.say(CHAT + GET[:cut], GET[cut:] + b"and more", b"and more")
        assert stage.handed.data == GET + b"and moreand more"
        assert stage.way.open_connections == 0, "it is counted by whom it was handed to"
        assert not stage.way.lanes
        assert len(stage.deadlines) == 0
        assert stage.transport.written.startswith(b"HTTP/1.1 200 OK\r\n")


async def test_nothing_is_handed_over_before_the_answer_is_whole(module: ModuleType) -> None:
    stage = Stage(module)
    stage.journey.go.clear()
    await stage.say(CHAT + GET)
    assert stage.transport.protocol is None
    stage.journey.go.set()
    await stage.rest()
    assert stage.handed.data == GET
    stage.leave()


async def test_answers_come_in_the_order_of_their_requests(module: ModuleType) -> None:
    stage = Stage(module)
    await stage.say(CHAT * 3)
    for _ in range(3):
        await stage.rest()
    bodies = [answer.rpartition(b"\r\n")[2] for answer in stage.transport.written.split(b"HTTP/1.1 200 OK")[1:]]
    assert bodies == [b"1", b"2", b"3"]
    stage.leave()


async def test_reading_pauses_while_much_waits_behind_a_request(module: ModuleType) -> None:
    stage = Stage(module)
    stage.journey.go.clear()
    many = CHAT * 200
    await stage.say(CHAT, many)
    said = 1
    while stage.transport.is_reading():
        await stage.say(many)
        said += 1
    assert (said - 1) * len(many) <= 64 * 1024
    stage.journey.go.set()
    for _ in range(4):
        await stage.rest()
    assert stage.transport.is_reading()
    assert len(stage.journey.exchanges) >= 2
    stage.leave()


async def test_slow_heads_cost_one_deadline_and_no_task(module: ModuleType) -> None:
    stage = Stage(module)
    tasks = asyncio.all_tasks()
    before = len(stage.deadlines)
    await stage.say(*(CHAT[at : at + 1] for at in range(60)))
    assert len(stage.deadlines) == before + 1
    assert asyncio.all_tasks() == tasks
    await stage.say(CHAT[60:])
    assert len(stage.deadlines) == before, "it was in time"
    assert len(stage.journey.exchanges) == 1
    stage.leave()


async def test_a_quick_request_sets_no_deadline(module: ModuleType) -> None:
    stage = Stage(module)
    stage.journey.go.clear()
    before = len(stage.deadlines)
    await stage.say(CHAT)
    assert len(stage.deadlines) == before
    stage.leave()
    await stage.rest()


async def test_a_client_that_leaves_cancels_its_request(module: ModuleType) -> None:
    stage = Stage(module)
    stage.journey.go.clear()
    tasks = asyncio.all_tasks()
    await stage.say(CHAT)
    (task,) = asyncio.all_tasks() - tasks
    stage.leave()
    await stage.rest()
    assert task.cancelled()
    assert stage.way.budget.held == 0


async def test_the_body_counts_until_the_request_is_settled(module: ModuleType) -> None:
    stage = Stage(module)
    stage.journey.go.clear()
    await stage.say(CHAT)
    assert stage.way.budget.held == len(running.body())
    stage.journey.go.set()
    await stage.rest()
    assert stage.way.budget.held == 0
    stage.leave()


async def test_while_the_process_drains_answers_end_their_connection(module: ModuleType) -> None:
    stage = Stage(module)
    stage.journey.go.clear()
    await stage.say(CHAT)
    stage.way.state.draining = True
    stage.way.close()
    assert stage.transport.written == b""
    stage.journey.go.set()
    await stage.rest()
    assert b"\r\nConnection: close\r\n" in stage.transport.written
    assert stage.transport.closed
    stage.leave()


async def test_a_drain_closes_what_waits_for_a_request(module: ModuleType) -> None:
    stage = Stage(module)
    stage.way.close()
    assert stage.transport.closed
    stage.leave()


async def test_connections_beyond_their_number_are_closed_unheard(module: ModuleType) -> None:
    stage = Stage(module, max_connections=1)
    stage.way.connection_made()
    other = module.Lane(stage.way)
    other.connection_made(stage.transport)
    assert stage.transport.closed
    other.data_received(CHAT)
    await stage.rest()
    assert not stage.journey.exchanges
    other.connection_lost(None)
    stage.leave()


@pytest.mark.parametrize("size", [3, 100_000, _incoming_py.MOST_AT_ONCE + 1, 3 * _incoming_py.MOST_AT_ONCE])
def test_a_body_in_pieces_is_one_body(module: ModuleType, size: int) -> None:
    body = (bytes(range(256)) * (size // 256 + 1))[:size]
    data = running.request(body)
    head = len(data) - size
    for cuts in ([head], [head + 1], [head + 1, head + size // 2], [head - 1, head + 2, len(data) - 1]):
        engine_got, _, _, _ = _outcome(module, _cut(data, cuts))
        assert len(engine_got) == 1
        assert engine_got[0].endswith(body)


async def test_a_request_is_served_when_the_last_piece_of_its_body_comes(module: ModuleType) -> None:
    stage = Stage(module)
    await stage.say(CHAT[:-1])
    assert not stage.transport.written
    stage.lane.data_received(CHAT[-1:] + CHAT)
    assert stage.transport.written.count(b"HTTP/1.1 200 OK\r\n") == 1, "without a task, and before what is behind it"
    await stage.rest()
    assert stage.transport.written.count(b"HTTP/1.1 200 OK\r\n") == 2
    assert stage.way.budget.held == 0
    stage.leave()
