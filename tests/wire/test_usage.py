"""What engines report, in their shapes, cut short, and with numbers that are none."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kthena_fast.wire import usage as usages
from kthena_fast.wire.usage import Tail, Usage


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ({"usage": {"prompt_tokens": 5, "completion_tokens": 7, "total_tokens": 12}}, Usage(5, 7)),
        ({"usage": {"prompt_tokens": 5, "total_tokens": 5}}, Usage(5, 0)),
        ({"usage": {"total_tokens": 5}}, Usage(5, 0)),
        ({"usage": {"input_tokens": 5, "input_tokens_details": {"cached_tokens": 2}, "output_tokens": 7}}, Usage(5, 7)),
        ({"response": {"usage": {"input_tokens": 5, "output_tokens": 7}}}, Usage(5, 7)),
        ({"message": {"usage": {"input_tokens": 5, "output_tokens": 1}}}, Usage(5, 1)),
        ({"usage": {"input_tokens": 1, "cache_creation_input_tokens": 2, "cache_read_input_tokens": 4}}, Usage(7, 0)),
        ({"usage": {"input_tokens": 1, "cache_creation_input_tokens": None}}, Usage(1, 0)),
        ({"usage": {"prompt_tokens": 0, "completion_tokens": 0}}, Usage(0, 0)),
        ({"usage": None}, None),
        ({"usage": {}}, None),
        ({"usage": [1]}, None),
        ({}, None),
        ([], None),
        ("usage", None),
    ],
    ids=str,
)
def test_each_shape_is_understood(document: object, expected: Usage | None) -> None:
    assert usages.of(document) == expected


@pytest.mark.parametrize("value", [-1, 2**31, 10**30, True, 1.0, float("nan"), "7", None, [7], {}], ids=str)
def test_a_count_that_is_none_is_as_good_as_absent(value: object) -> None:
    for names in (("prompt_tokens", "completion_tokens"), ("input_tokens", "output_tokens")):
        for name, expected in zip(names, (Usage(0, 3), Usage(3, 0)), strict=True):
            others = dict.fromkeys(names, 3)
            assert usages.parse({**others, name: value}) == expected
    assert usages.parse({"prompt_tokens": value}, Usage(1, 2)) == Usage(1, 2)


def test_a_sum_stays_within_what_a_count_may_be() -> None:
    assert usages.parse({"input_tokens": 2**31 - 1, "cache_read_input_tokens": 2**31 - 1}) == Usage(2**31 - 1, 0)


def test_what_is_not_reported_stays_as_it_was() -> None:
    before = Usage(5, 1)
    assert usages.parse({"output_tokens": 9}, before) == Usage(5, 9)
    assert usages.parse({"input_tokens": 6}, before) == Usage(6, 1)
    assert usages.of({"usage": None}, before) is before


VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=3)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.sampled_from(["usage", "response", "message", "prompt_tokens", "input_tokens", "total_tokens", "x"]),
            inner,
            max_size=4,
        ),
    ),
)


@given(VALUES)
def test_any_document_gives_sound_counts_or_none(document: object) -> None:
    found = usages.of(document)
    if found is not None:
        assert 0 <= found.input_tokens < 2**31
        assert 0 <= found.output_tokens < 2**31


def tail_of(body: bytes, *, piece: int, limit: int = 65536) -> Usage | None:
    tail = Tail(limit)
    for at in range(0, len(body), piece):
        tail.feed(body[at : at + piece])
    return tail.usage()


@pytest.mark.parametrize("separators", [(",", ":"), (" , ", " :\n")])
@pytest.mark.parametrize("piece", [1, 7, 1000, 10**7])
def test_a_body_tells_its_usage_at_the_end(piece: int, separators: tuple[str, str]) -> None:
    document = {
        "choices": [{"message": {"content": 'x"usage":{"prompt_tokens":9}' * 200, "usage": {"prompt_tokens": 8}}}],
        "usage": {"prompt_tokens": 5, "completion_tokens": 7, "details": {"a": "}"}},
        "name": "usage",
        "note": '"usage":{"prompt_tokens":1}',
    }
    assert tail_of(json.dumps(document, separators=separators).encode(), piece=piece, limit=1000) == Usage(5, 7)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b'{"usage":null}',
        b'{"usage":{"prompt_tokens":',
        b'{"usage":{"prompt_tokens":"5"}}',
        b'"usage"',
        b'"usage":',
        b'"usage":{bad}',
        b'"usage":{' * 10_000,
        b'{"text":"\\"usage\\":{\\"prompt_tokens\\":5}"}',
        b"\x1f\x8b\x00\xff",
    ],
    ids=lambda body: repr(body[:30]),
)
def test_a_body_without_usage_tells_none(body: bytes) -> None:
    assert tail_of(body, piece=100) is None


def test_a_usage_that_cannot_be_read_does_not_hide_the_one_before_it() -> None:
    assert tail_of(b'{"usage":{"prompt_tokens":5},"x":{"usage":{"y":1}}}', piece=10) == Usage(5, 0)


@given(st.lists(st.binary(max_size=50)), st.integers(1, 60))
def test_a_tail_keeps_the_last_bytes_and_little_more(pieces: list[bytes], limit: int) -> None:
    tail = Tail(limit)
    for piece in pieces:
        tail.feed(piece)
    kept: Any = tail._pieces
    joined = b"".join(kept)
    whole = b"".join(pieces)
    assert whole.endswith(joined)
    assert len(joined) >= min(limit, len(whole))
    assert sum(map(len, kept)) < limit + 50 or len(kept) == 1
