"""What engines report, in their shapes, cut short, and with numbers that are none."""

import importlib
import json
from collections.abc import Callable
from types import ModuleType

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kthena_fast.core import _choice
from kthena_fast.wire import usage as chosen

Counts = tuple[int, int]


@pytest.fixture(scope="session")
def wire(twin: Callable[[str, str], ModuleType]) -> ModuleType:
    return twin("wire", "usage")


def counts(usage: chosen.Usage | None) -> Counts | None:
    return None if usage is None else (usage.input_tokens, usage.output_tokens)


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ({"usage": {"prompt_tokens": 5, "completion_tokens": 7, "total_tokens": 12}}, (5, 7)),
        ({"usage": {"prompt_tokens": 5, "total_tokens": 5}}, (5, 0)),
        ({"usage": {"total_tokens": 5}}, (5, 0)),
        ({"usage": {"input_tokens": 5, "input_tokens_details": {"cached_tokens": 2}, "output_tokens": 7}}, (5, 7)),
        ({"response": {"usage": {"input_tokens": 5, "output_tokens": 7}}}, (5, 7)),
        ({"message": {"usage": {"input_tokens": 5, "output_tokens": 1}}}, (5, 1)),
        ({"usage": {"input_tokens": 1, "cache_creation_input_tokens": 2, "cache_read_input_tokens": 4}}, (7, 0)),
        ({"usage": {"input_tokens": 1, "cache_creation_input_tokens": None}}, (1, 0)),
        ({"usage": {"prompt_tokens": 0, "completion_tokens": 0}}, (0, 0)),
        ({"usage": None}, None),
        ({"usage": {}}, None),
        ({"usage": [1]}, None),
        ({}, None),
        ([], None),
        ("usage", None),
    ],
    ids=str,
)
def test_each_shape_is_understood(wire: ModuleType, document: object, expected: Counts | None) -> None:
    assert counts(wire.of(document)) == expected


@pytest.mark.parametrize("value", [-1, 2**31, 10**30, True, 1.0, float("nan"), "7", None, [7], {}], ids=str)
def test_a_count_that_is_none_is_as_good_as_absent(wire: ModuleType, value: object) -> None:
    for names in (("prompt_tokens", "completion_tokens"), ("input_tokens", "output_tokens")):
        for name, expected in zip(names, ((0, 3), (3, 0)), strict=True):
            others = dict.fromkeys(names, 3)
            assert counts(wire.parse({**others, name: value})) == expected
    assert counts(wire.parse({"prompt_tokens": value}, wire.Usage(1, 2))) == (1, 2)


def test_a_sum_stays_within_what_a_count_may_be(wire: ModuleType) -> None:
    usage = {"input_tokens": 2**31 - 1, "cache_read_input_tokens": 2**31 - 1}
    assert counts(wire.parse(usage)) == (2**31 - 1, 0)


def test_what_is_not_reported_stays_as_it_was(wire: ModuleType) -> None:
    before = wire.Usage(5, 1)
    assert counts(wire.parse({"output_tokens": 9}, before)) == (5, 9)
    assert counts(wire.parse({"input_tokens": 6}, before)) == (6, 1)
    assert wire.of({"usage": None}, before) is before


def test_usages_are_compared_by_their_counts(wire: ModuleType) -> None:
    assert wire.Usage(1, 2) == wire.Usage(1, 2)
    assert wire.Usage(1, 2) != wire.Usage(2, 1)
    assert wire.Usage(1, 2) != (1, 2)
    assert repr(wire.Usage(1, 2)) == "Usage(1, 2)"
    with pytest.raises(TypeError):
        hash(wire.Usage(1, 2))


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
def test_any_document_gives_sound_counts_or_none(wire: ModuleType, document: object) -> None:
    found = wire.of(document)
    if found is not None:
        assert 0 <= found.input_tokens < 2**31
        assert 0 <= found.output_tokens < 2**31


def tail_of(wire: ModuleType, body: bytes, *, piece: int, limit: int = 65536) -> Counts | None:
    tail = wire.Tail(limit)
    for at in range(0, len(body), piece):
        tail.feed(body[at : at + piece])
    return counts(tail.usage())


@pytest.mark.parametrize("separators", [(",", ":"), (" , ", " :\n")])
@pytest.mark.parametrize("piece", [1, 7, 1000, 10**7])
def test_a_body_tells_its_usage_at_the_end(wire: ModuleType, piece: int, separators: tuple[str, str]) -> None:
    document = {
        "choices": [{"message": {"content": 'x"usage":{"prompt_tokens":9}' * 200, "usage": {"prompt_tokens": 8}}}],
        "usage": {"prompt_tokens": 5, "completion_tokens": 7, "details": {"a": "}"}},
        "name": "usage",
        "note": '"usage":{"prompt_tokens":1}',
    }
    assert tail_of(wire, json.dumps(document, separators=separators).encode(), piece=piece, limit=1000) == (5, 7)


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
def test_a_body_without_usage_tells_none(wire: ModuleType, body: bytes) -> None:
    assert tail_of(wire, body, piece=100) is None


@pytest.mark.parametrize("behind", range(40))
def test_the_last_usage_is_found_wherever_it_stands(wire: ModuleType, behind: int) -> None:
    one = b'{"usage":{"prompt_tokens":%d}}'
    for before in range(20):
        body = one % 1 + b'"' * before + one % 2 + b'"usage' * (behind % 4) + b'"e"' * behind
        assert counts(wire.last(body)) == (2, 0)
        assert counts(wire.last(one % 3 + b" " * behind)) == (3, 0)


def test_a_usage_that_cannot_be_read_does_not_hide_the_one_before_it(wire: ModuleType) -> None:
    assert tail_of(wire, b'{"usage":{"prompt_tokens":5},"x":{"usage":{"y":1}}}', piece=10) == (5, 0)


@given(st.lists(st.binary(max_size=50)), st.integers(1, 60))
def test_a_tail_keeps_the_last_bytes_and_little_more(wire: ModuleType, pieces: list[bytes], limit: int) -> None:
    tail = wire.Tail(limit)
    for piece in pieces:
        tail.feed(piece)
    kept = tail.pieces()
    joined = b"".join(kept)
    whole = b"".join(pieces)
    assert whole.endswith(joined)
    assert len(joined) >= min(limit, len(whole))
    assert sum(map(len, kept)) < limit + 50 or len(kept) == 1


FRAGMENTS = (b'"usage"', b":", b"{", b"}", b'"prompt_tokens":1', b'"', b"\\", b" ", b",", b"[", b"]", b"x")


if not _choice.NO_EXTENSIONS:

    @given(st.lists(st.sampled_from(FRAGMENTS), max_size=30).map(b"".join))
    def test_the_twins_agree_on_what_was_damaged(body: bytes) -> None:
        pure, compiled = (
            importlib.import_module(f"kthena_fast.wire.{name}").last(body) for name in ("_usage_py", "_usage_c")
        )
        assert counts(pure) == counts(compiled)

    def test_the_compiled_twin_is_the_one_in_use() -> None:
        assert chosen.Usage.__module__ == "kthena_fast.wire._usage_c"


@pytest.mark.parametrize(
    "usage",
    [
        b'{"prompt_tokens":9,"total_tokens":12,"completion_tokens":3}',
        b'{ "completion_tokens" : 3 ,\n"prompt_tokens" : 9 }',
        b'{"prompt_tokens":9,"prompt_tokens":8,"completion_tokens":3}',
        b'{"prompt_tokens":9,"prompt\\u005ftokens":8,"completion_tokens":3}',
        b'{"prompt_tokens":-9,"completion_tokens":3}',
        b'{"prompt_tokens":9.0,"completion_tokens":3}',
        b'{"prompt_tokens":9,"completion_tokens":3e0}',
        b'{"prompt_tokens":2147483647,"completion_tokens":2147483648}',
        b'{"prompt_tokens":9,"completion_tokens":null,"output_tokens":3}',
        b'{"prompt_tokens":"9","completion_tokens":3}',
        b'{"prompt_tokens":9,"completion_tokens":3,"prompt_tokens_details":{"cached_tokens":4,"prompt_tokens":1}}',
        b'{"input_tokens":9,"output_tokens":3,"cache_read_input_tokens":5}',
        b'{"total_tokens":9}',
        b"{}",
    ],
)
def test_a_usage_is_read_as_a_decoder_reads_it(wire: ModuleType, usage: bytes) -> None:
    body = b'{"choices":[],"usage":' + usage + b"}"
    assert repr(wire.last(body)) == repr(wire.of(orjson.loads(body)))


@pytest.mark.parametrize(
    "usage", [b'{"prompt_tokens":9,"completion_tokens":3', b'{"prompt_tokens":9,}', b'{"a" 1}', b"{1}"]
)
def test_a_usage_that_is_broken_is_none(wire: ModuleType, usage: bytes) -> None:
    assert wire.last(b'{"usage":' + usage) is None
