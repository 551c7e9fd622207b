from __future__ import annotations

from typing import Any

import pytest

from kthena_fast.resources import size
from tests.resources import corpus


@pytest.mark.parametrize(
    "spec",
    [
        None,
        1,
        "x" * 2_000_000,
        {},
        corpus.route()["spec"],
        {"rules": [{"targetModels": [{"modelServerName": "s", "weight": 1}] * 16}] * 16},
        {"a": list(range(size.MAX_VALUES - 2))},
    ],
)
def test_what_anybody_has_a_use_for_is_not_too_large(spec: Any) -> None:
    assert not size.is_too_large(spec)


@pytest.mark.parametrize(
    "spec",
    [
        {"a": list(range(size.MAX_VALUES - 1))},
        {str(number): "v" for number in range(size.MAX_VALUES)},
        {"a": [{"b": [{}] * 50}] * 100},
        [[[]] * 3000] * 3000,
    ],
)
def test_what_takes_long_to_read_is(spec: Any) -> None:
    assert size.is_too_large(spec)
