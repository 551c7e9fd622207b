from __future__ import annotations

import json
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kthena_fast.wire import nesting

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(alphabet='a"\\[]{},:\n\u00e9'),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(alphabet='k"\\[{}'), inner, max_size=3),
)


def nested(levels: int, value: bytes = b"1") -> bytes:
    return b'{"a":' * levels + value + b"}" * levels


@pytest.mark.parametrize("levels", [1000, 1100, 50_000])
def test_what_is_too_deep_is_cut_and_the_rest_is_read(levels: int) -> None:
    text = b'{"before":[1],"deep":' + nested(levels) + b',"after":{"b":"]}\\"["}}'
    value, is_cut = nesting.loads(text)
    assert is_cut == (levels > 1023)
    assert (value["before"], value["after"]) == ([1], {"b": ']}"['})
    deep = value["deep"]
    for _ in range(nesting.DEEPEST - 1):
        deep = deep["a"]
    if is_cut:
        assert deep is None


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{",
        b'"',
        b"}" * 2000,
        b"[" * 2000,
        nested(2000)[:-1],
        nested(2000) + b"}",
        nested(2000) + b"x",
        b'{"a":nonsense,"b":' + nested(2000) + b"}",
    ],
)
def test_what_is_no_json_stays_none(text: bytes) -> None:
    with pytest.raises(orjson.JSONDecodeError):
        nesting.loads(text)


@given(VALUES, VALUES)
def test_beside_what_is_cut_nothing_changes(one: Any, other: Any) -> None:
    text = b'{"one":' + json.dumps(one).encode() + b',"deep":' + b"[" * 2000 + b"]" * 2000 + b',"other":'
    value, is_cut = nesting.loads(text + json.dumps(other).encode() + b"}")
    assert is_cut
    assert (value["one"], value["other"]) == (one, other)
