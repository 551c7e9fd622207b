"""Which of each pair of twins runs: the compiled one, unless there is none or the environment says no."""

import os
import sys
from collections.abc import Mapping
from importlib.machinery import EXTENSION_SUFFIXES
from types import ModuleType
from typing import Final, Literal

# Means the same at build (setup.py compiles nothing) and at import (the compiled twins are not looked at).
# The one variable that is read outside settings.py: the choice is made when modules are imported.
NO_EXTENSIONS: Final = bool(os.environ.get("KTHENA_FAST_NO_EXTENSIONS")) or sys.implementation.name != "cpython"

Core = Literal["compiled", "pure", "mixed"]


def loaded_core(modules: Mapping[str, ModuleType] = sys.modules) -> Core:
    """Say which twins the modules imported so far have taken; before any of them was imported: ``"pure"``.

    ``"mixed"`` is an installation that went wrong: some twins are compiled and others missing.
    """
    compiled: set[str] = set()
    pure: set[str] = set()
    for name, module in tuple(modules.items()):
        room, _, stem = name.rpartition("._")
        if not room.startswith("kthena_fast."):
            continue
        if stem.endswith("_c") and (getattr(module, "__file__", None) or "").endswith(tuple(EXTENSION_SUFFIXES)):
            compiled.add(f"{room}.{stem.removesuffix('_c')}")
        elif stem.endswith("_py"):
            pure.add(f"{room}.{stem.removesuffix('_py')}")
    # Beside its compiled twin the pure one is only being compared with it, by a test or a benchmark.
    pure -= compiled
    if compiled:
        return "mixed" if pure else "compiled"
    return "pure"
