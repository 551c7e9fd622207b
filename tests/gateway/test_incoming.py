"""What has come of a body: pieces, rooms, and what is counted."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kthena_fast.core import _choice
from kthena_fast.errors import GatewayError
from kthena_fast.gateway import _incoming_py, incoming
from kthena_fast.gateway.bodies import Budget

MOST = 100


@pytest.fixture
def make(twin: Callable[[str, str], ModuleType]) -> Callable[[Budget], Any]:
    return lambda budget: twin("gateway", "incoming").Incoming(budget, MOST)


def test_the_compiled_one_is_used_where_there_is_one() -> None:
    assert incoming.Incoming.__module__.endswith("_py" if _choice.NO_EXTENSIONS else "_c")


def test_a_body_in_one_piece_is_that_piece(make: Callable[[Budget], Any]) -> None:
    budget = Budget(MOST)
    body = make(budget)
    piece = bytes(range(10))
    body.begin(10)
    assert not body.is_ready()
    body.take(piece)
    assert body.room() is None
    assert body.is_ready()
    assert budget.held == 10
    assert body.whole() is piece
    assert body.whole() == b"", "it is not kept"
    assert not body.forget(), "there was no room"
    assert budget.held == 0


def test_one_that_is_too_large_is_counted_and_not_kept(make: Callable[[Budget], Any]) -> None:
    body = make(Budget(10 * MOST))
    body.begin(MOST + 1)
    body.take(bytes(MOST))
    assert (body.is_too_large(), body.missing, body.room()) == (True, 1, None)
    body.take(b"x")
    assert (body.missing, body.is_ready(), body.whole()) == (0, False, b"")


def test_what_came_is_counted_once_and_given_back_once(make: Callable[[Budget], Any]) -> None:
    budget = Budget(50)
    body = make(budget)
    body.begin(60)
    body.take(bytes(20))
    body.hold()
    body.hold()
    assert budget.held == 20
    body.take(bytes(20))
    body.hold()
    assert budget.held == 40
    body.take(bytes(20))
    with pytest.raises(GatewayError, match="MAX_BUFFERED_BYTES"):
        body.hold()
    assert not body.is_ready()
    assert budget.held == 40
    assert body.forget(), "there was a room"
    assert not body.forget()
    assert budget.held == 0
    assert body.whole() == b""


def test_what_is_beyond_the_budget_is_not_ready(make: Callable[[Budget], Any]) -> None:
    budget = Budget(9)
    body = make(budget)
    body.begin(10)
    body.take(bytes(10))
    assert not body.is_ready()
    assert budget.held == 0


@given(
    pieces=st.lists(st.binary(min_size=1, max_size=9), min_size=1, max_size=8),
    in_place=st.lists(st.booleans(), min_size=8, max_size=8),
    at_once=st.integers(1, 12),
)
def test_pieces_however_they_come_are_the_body(
    core: str, twin: Callable[[str, str], ModuleType], pieces: list[bytes], in_place: list[bool], at_once: int
) -> None:
    module = twin("gateway", "incoming")
    with pytest.MonkeyPatch.context() as patch:
        if core == "pure":
            # In C it is a constant, and what is larger is for the tests of the lane.
            patch.setattr(_incoming_py, "MOST_AT_ONCE", at_once)
        budget = Budget(MOST)
        body = module.Incoming(budget, MOST)
        whole = b"".join(pieces)
        body.begin(len(whole))
        for piece, is_placed in zip(pieces, in_place, strict=False):
            if is_placed and core == "pure" and body.room() is not None:
                _place(body, piece)
            else:
                body.take(piece)
            body.hold()
            assert budget.held == body.came()
        assert body.missing == 0
        assert body.whole() == whole
        body.forget()
        assert budget.held == 0


def _place(body: Any, piece: bytes) -> None:
    """As a stream receives it: no more at once than there is room for."""
    while piece:
        room, at = body.room(), body.came()
        size = min(len(room) - at, len(piece))
        room[at : at + size] = piece[:size]
        is_full = body.received(size)
        assert is_full == (body.missing > 0 and at + size == len(room))
        piece = piece[size:]
    assert body.is_in_place
