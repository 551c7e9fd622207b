from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.conftest import CORES
from tests.transport import ends


@pytest.fixture(params=CORES)
async def ours(request: pytest.FixtureRequest) -> AsyncIterator[ends.Ours]:
    """The transports of each twin."""
    async with ends.ours(request.param) as ours:
        yield ours


@pytest.fixture(params=("loop", *CORES))
async def maker(request: pytest.FixtureRequest) -> AsyncIterator[ends.Maker]:
    """The loop's transports, then those of each twin."""
    async with ends.maker(request.param) as maker:
        yield maker
