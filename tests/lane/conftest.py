"""Both twins of the lane, and gateways that have one of them."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from types import ModuleType
from typing import Any

import pytest

from kthena_fast.gateway import _lane_py
from kthena_fast.mock_engine import EngineConfig
from tests.gateway import running
from tests.lane import ways

MODULES = [ways.IN_USE, _lane_py]


@pytest.fixture(params=MODULES, ids=lambda module: module.__name__.rpartition("_")[2])
def module(request: pytest.FixtureRequest) -> ModuleType:
    found: ModuleType = request.param
    return found


@contextlib.asynccontextmanager
async def scene(module: ModuleType, *configs: EngineConfig, **knobs: Any) -> AsyncIterator[running.Scene]:
    async with running.scene(*configs, **knobs) as made:
        assert made.gateway._way is not None
        made.gateway._way.lane = module.Lane
        yield made
