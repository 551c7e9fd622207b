"""Which of each pair of twins runs: the compiled one, unless there is none or the environment says no."""

import os
import sys
from importlib.machinery import EXTENSION_SUFFIXES
from typing import Final, Literal

# Means the same at build (setup.py compiles nothing) and at import (the compiled twins are not looked at).
# The one variable that is read outside settings.py: the choice is made when modules are imported.
NO_EXTENSIONS: Final = bool(os.environ.get("KTHENA_FAST_NO_EXTENSIONS")) or sys.implementation.name != "cpython"

Core = Literal["compiled", "pure", "mixed"]


def loaded_core() -> Core:
    """Say which twins the modules imported so far have taken; before any of them was imported: ``"pure"``.

    ``"mixed"`` is an installation that went wrong: some twins are compiled and others missing.
    """
    compiled = pure = False
    for name, module in tuple(sys.modules.items()):
        package, _, stem = name.rpartition(".")
        if not (package.startswith("kthena_fast.") and stem.startswith("_")):
            continue
        file = getattr(module, "__file__", None) or ""
        if stem.endswith("_c") and file.endswith(tuple(EXTENSION_SUFFIXES)):
            compiled = True
        elif stem.endswith("_py"):
            pure = True
    if compiled:
        return "mixed" if pure else "compiled"
    return "pure"
