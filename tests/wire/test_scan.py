"""The steps that the pure twins take, held to a walk byte by byte."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from kthena_fast.wire import _scan as scan


def after_brackets(data: bytes) -> int:
    """After the object or list that `data` begins with: brackets are counted, not paired; -1: it does not end."""
    depth = 0
    at = 0
    while at < len(data):
        byte = data[at : at + 1]
        at += 1
        if byte == b'"':
            while at < len(data) and data[at : at + 1] != b'"':
                at += 2 if data[at : at + 1] == b"\\" else 1
            if at >= len(data):
                return -1
            at += 1
        elif byte in b"{[":
            depth += 1
        elif byte in b"}]":
            depth -= 1
            if not depth:
                return at
    return -1


PIECES = st.lists(st.sampled_from([b"{", b"[", b"}", b"]", b'"', b"\\", b'"a"', b"{}", b"1", b",", b"\n"]), max_size=24)


@given(st.sampled_from([b"{", b"["]), PIECES)
@example(b"{", [b"]"])
@example(b"{", [b"{", b'"', b"}", b'"', b"}", b"]"])
@example(b"[", [b"{", b"[", b"{}", b"]", b"}", b"]", b"]"])
@example(b"{", [b'"', b"\\", b'"', b"}"])
def test_an_object_ends_where_its_brackets_do(first: bytes, rest: list[bytes]) -> None:
    data = first + b"".join(rest)
    assert scan.value_end(data, 0, len(data)) == after_brackets(data)


@given(st.binary(min_size=scan.BLOCK, max_size=scan.BLOCK + 8))
def test_marks_are_where_text_is_not_plain(data: bytes) -> None:
    at = len(data) - scan.BLOCK
    marks = scan.marks(data, at)
    places = [place for place in range(scan.BLOCK) if scan.plain_end(data, at + place, at + place + 1) == at + place]
    assert [place for place in range(scan.BLOCK) if marks >> place & 1] == places
    assert not places or scan.first(marks) == places[0]
