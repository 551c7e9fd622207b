"""The measurement of the webhook, small: that it runs, and that every part of it says something."""

from __future__ import annotations

import pytest

from benchmarks import webhook


async def test_every_part_is_measured(capsys: pytest.CaptureFixture[str]) -> None:
    await webhook.run(rate=50.0, seconds=0.5, seed=0, size=50_000)
    said = capsys.readouterr().out
    for part in ("idle:", "50 reviews/s for", "25 callers, flat out:", "header conditions", "the large ones:"):
        assert part in said


@pytest.mark.timeout(180)  # It starts eight programs.
async def test_every_peak_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    await webhook.peaks(rate=50.0, seconds=0.5, seed=0, size=50_000)
    assert capsys.readouterr().out.count("at most ") == webhook.FROM_AN_API_SERVER + 3
