"""A short search in each property, by the same command as a long one, but each time the same one: what is found by
chance is found by `make fuzz`, and fails no change that has nothing to do with it."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

import pytest

from tests.fuzz import __main__ as command
from tests.fuzz import properties

SECONDS = 16 if os.environ.get("KTHENA_FAST_CI") else 4
"""At most; half of them on the pure twins, half on the compiled."""

INPUTS = 4_000


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", properties.NAMES)
def test_a_short_search_finds_nothing(name: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    if importlib.util.find_spec("atheris") is None:
        pytest.skip("atheris is missing: pip install atheris")
    status = command.search(name, SECONDS, tmp_path, same=INPUTS)
    told = capfd.readouterr()
    # What was broken is told on the one, what the search did on the other.
    assert status == 0, told.out[-4000:] + told.err[-4000:]
    found = [path.read_bytes() for path in (tmp_path / name / "found").iterdir()]
    assert not found
    # It was a search: inputs were tried, and some led further than those before.
    assert "stat::number_of_executed_units" in told.err
    assert any((tmp_path / name / "learned").iterdir())
