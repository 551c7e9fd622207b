from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from types import ModuleType
from typing import Any

import pytest

from tests.upstream.attempts import Attempt, Begin
from tests.upstream.engine import Engine, StartEngine, an_engine
from tests.upstream.forwarding import Gateway


@pytest.fixture
async def gateway() -> AsyncIterator[Gateway]:
    gateway = Gateway()
    yield gateway
    await gateway.close()
    # Whatever a test did, what it lent came back.
    assert gateway.gauge.active == 0
    assert len(gateway.deadlines) == 0


@pytest.fixture
async def engines() -> AsyncIterator[StartEngine]:
    async with AsyncExitStack() as stack:

        async def start(name: str, **options: Any) -> Engine:
            return await stack.enter_async_context(an_engine(name, **options))

        yield start


@pytest.fixture
async def attempt(twin: Callable[[str, str], ModuleType]) -> Begin:
    module = twin("upstream", "relay")
    return lambda **options: Attempt(module, **options)
