"""A mapping in parts is a mapping, and its copies stay what they were."""

from __future__ import annotations

import hypothesis.strategies as st
from hypothesis import given

from kthena_fast.routing import shards

KEYS = st.sampled_from([f"ns/pod-{number}" for number in range(100)])
CALLS = st.lists(st.tuples(st.sampled_from(("put", "drop", "copy")), KEYS, st.integers()), max_size=200)


@given(CALLS)
def test_it_is_a_dict_whose_copies_do_not_change(calls: list[tuple[str, str, int]]) -> None:
    kept: shards.Kept[int] = shards.Kept()
    model: dict[str, int] = {}
    copies: list[tuple[shards.Shards[int], dict[str, int]]] = []
    for call, key, value in calls:
        match call:
            case "put":
                kept.put(key, value)
                model[key] = value
            case "drop":
                assert kept.drop(key) == model.pop(key, None)
            case "copy":
                copies.append((kept.copy(), dict(model)))
        assert (kept == model, len(kept), kept.get(key), key in kept) == (
            True,
            len(model),
            model.get(key),
            key in model,
        )
    for copy, as_it_was in copies:
        assert copy == as_it_was
        assert sorted(copy.values()) == sorted(as_it_was.values())


def test_without_a_change_the_copy_is_the_same() -> None:
    kept: shards.Kept[int] = shards.Kept()
    kept.put("a", 1)
    first = kept.copy()
    assert kept.copy() is first
    kept.put("b", 2)
    assert kept.copy() is not first


@given(CALLS, CALLS)
def test_what_came_and_what_left_is_what_differs(
    before: list[tuple[str, str, int]], after: list[tuple[str, str, int]]
) -> None:
    kept: shards.Kept[object] = shards.Kept()
    copies: list[shards.Shards[object]] = []
    for calls in (before, after):
        for call, key, _ in calls:
            if call == "put":
                kept.put(key, object())
            elif call == "drop":
                kept.drop(key)
        copies.append(kept.copy())
    old, new = copies
    came, left = shards.differences(old, new)
    assert set(came) == set(new.values()) - set(old.values())
    assert set(left) == set(old.values()) - set(new.values())
    assert shards.differences(dict(old), new) == shards.differences(old, dict(new))
    assert (set(came), set(left)) == tuple(map(set, shards.differences(dict(old), dict(new))))
