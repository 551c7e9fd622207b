"""A body that is put together as it comes is what came, in both twins."""

from hypothesis import given
from hypothesis import strategies as st

from kthena_fast.gateway import _whole


@given(st.lists(st.binary(min_size=1, max_size=9), min_size=1))
def test_the_pieces_in_their_places_are_the_body(pieces: list[bytes]) -> None:
    whole = _whole.blank(sum(map(len, pieces)))
    at = 0
    for piece in pieces:
        _whole.put(whole, at, piece)
        at += len(piece)
    assert _whole.sealed(whole) == b"".join(pieces)


@given(st.binary(max_size=9), st.binary(min_size=1, max_size=9))
def test_what_was_put_is_there_when_there_is_more_room(first: bytes, last: bytes) -> None:
    whole = _whole.blank(len(first))
    _whole.put(whole, 0, first)
    whole = _whole.grown(whole, len(first + last))
    _whole.put(whole, len(first), last)
    assert _whole.sealed(whole) == first + last
