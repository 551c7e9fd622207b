"""The soak as a test: 60 s in CI, shorter by hand, or `KTHENA_FAST_SOAK_SECONDS` and `KTHENA_FAST_SOAK_CLIENTS`."""

from __future__ import annotations

import os

import pytest

from benchmarks.soak import course, ledger

SECONDS = float(os.environ.get("KTHENA_FAST_SOAK_SECONDS", "60" if os.environ.get("KTHENA_FAST_CI") else "12"))
CLIENTS = int(os.environ.get("KTHENA_FAST_SOAK_CLIENTS", "500"))


@pytest.mark.slow
@pytest.mark.timeout(SECONDS + 180)
async def test_after_a_soak_the_gateway_holds_what_it_held_before() -> None:
    result = await course.run(SECONDS, CLIENTS, seed=0)
    assert result.complaints == []
    # It was a soak: every kind of turn was taken, and manifests changed meanwhile.
    assert min(result.tally.turns.values()) > 0
    assert result.changes > 0


def test_a_leak_is_told() -> None:
    entry = ledger.Entry("tasks", before=5, after=6, allowed=0)
    assert not entry.is_back
    assert "LEAK" in str(entry)
    assert ledger.Entry("objects", before=5, after=6, allowed=1).is_back
