"""Both twins of the lane, and gateways that have one of them."""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import AsyncIterator
from types import ModuleType
from typing import Any

import pytest

from kthena_fast.core import _choice
from kthena_fast.gateway import _lane_py
from kthena_fast.mock_engine import EngineConfig
from tests.gateway import running

MODULES = [_lane_py if _choice.NO_EXTENSIONS else importlib.import_module("kthena_fast.gateway._lane_c"), _lane_py]


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
