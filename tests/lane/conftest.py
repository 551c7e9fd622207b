"""Both twins of the lane."""

from __future__ import annotations

import importlib
from types import ModuleType

import pytest

from kthena_fast.core import _choice
from kthena_fast.gateway import _lane_py

MODULES = [_lane_py if _choice.NO_EXTENSIONS else importlib.import_module("kthena_fast.gateway._lane_c"), _lane_py]


@pytest.fixture(params=MODULES, ids=lambda module: module.__name__.rpartition("_")[2])
def module(request: pytest.FixtureRequest) -> ModuleType:
    found: ModuleType = request.param
    return found
