"""Decides one thing: does this build compile the twins?

``KTHENA_FAST_NO_EXTENSIONS=1`` builds without them: one wheel for every Python, slower in the hot structures.
"""

import os
import re
import sys
from pathlib import Path

from setuptools import Extension, setup

# "room/name" stands for kthena_fast/room/_name_py.py (the source), kthena_fast/room/_name_c.pxd (its C types)
# and the extension module kthena_fast.room._name_c.
TWINS: tuple[str, ...] = (
    "auth/identity",
    "core/heap",
    "core/heap_line",
    "core/ledger",
    "core/ledger_index",
    "core/ledger_ring",
    "exchange/record",
    "gateway/bodies",
    "gateway/incoming",
    "gateway/journey",
    "gateway/lane",
    "gateway/state",
    "queueing/estimates",
    "queueing/gates",
    "queueing/queue",
    "queueing/turn",
    "queueing/turns",
    "routing/snapshot",
    "scheduling/least_requests",
    "telemetry/access_log",
    "telemetry/requests",
    "telemetry/text_line",
    "telemetry/values",
    "telemetry/writer",
    "transport/sockets",
    "transport/stream",
    "upstream/connection",
    "upstream/deadlines",
    "upstream/forward",
    "upstream/pool",
    "upstream/relay",
    "wire/fields",
    "wire/headers",
    "wire/heads",
    "wire/peek",
    "wire/peek_walk",
    "wire/sse",
    "wire/targets",
    "wire/usage",
)

MADE_FOR_EACH_REQUEST = frozenset(
    {
        "exchange/record",
        "gateway/journey",
        "telemetry/requests",
        "upstream/forward",
        "upstream/relay",
        "wire/fields",
        "wire/heads",
        "wire/peek_walk",
        "wire/usage",
    }
)
"""Twins whose objects come and go with each request: what was freed is kept for the next one."""

KEPT_FREE = 256
"""Objects of each of their classes."""

NO_EXTENSIONS = bool(os.environ.get("KTHENA_FAST_NO_EXTENSIONS")) or sys.implementation.name != "cpython"

C_FILES = Path("build/cython")


def is_out_of_date(c_file: Path, types: Path) -> bool:
    # Cython looks for _name_py.pxd beside _name_py.py, so a change in _name_c.pxd alone, or in one that it cimports,
    # would not rebuild (cython/cython#1428); and it does not follow a module that is cimported under another name. Nor
    # does it remember the directives, which stand here.
    newest = max(path.stat().st_mtime for path in (Path(__file__), *with_cimported(types, set())))
    return not c_file.exists() or c_file.stat().st_mtime < newest


def with_cimported(types: Path, found: set[Path]) -> set[Path]:
    found.add(types)
    for place, name in re.findall(r"^from (kthena_fast[\w.]*) cimport (\w+)", types.read_text(), re.MULTILINE):
        folder = Path(*place.split("."))
        for path in (folder.with_suffix(".pxd"), folder / f"{name}.pxd"):
            if path.exists() and path not in found:
                with_cimported(path, found)
    return found


def compiled_twins() -> list[Extension]:
    # Imported here so that a pure build needs no Cython.
    from Cython.Build import cythonize
    from Cython.Compiler import Options

    # Cython hears `@cython.freelist` on a class in a .pyx only, not in the .pxd of a .py, and knows no such directive
    # for a module; what is one for every class of it is obeyed all the same. A class that has another one for its base
    # says `@cython.freelist(0)`, since only the base could have one.
    Options.get_directive_defaults().setdefault("freelist", 0)
    extensions: list[Extension] = []
    for twin in TWINS:
        room, name = twin.split("/")
        source = Path("kthena_fast", room, f"_{name}_py.py")
        types = source.with_name(f"_{name}_c.pxd")
        if not types.exists():
            raise FileNotFoundError(f"{types} is missing: setup.py lists the twin {twin}")
        extensions += cythonize(
            # Debug information, which Python's own flags may ask for, makes a wheel five times as large.
            Extension(f"kthena_fast.{room}._{name}_c", [str(source)], extra_compile_args=["-g0"]),
            build_dir=str(C_FILES),
            quiet=True,
            force=is_out_of_date(C_FILES / source.with_suffix(".c"), types),
            compiler_directives={
                "language_level": 3,
                # C types come from the .pxd; annotations are for readers and mypy.
                "annotation_typing": False,
                # For who writes a twin (`cython -a`), not for who installs one.
                "show_performance_hints": False,
                "freelist": KEPT_FREE if twin in MADE_FOR_EACH_REQUEST else 0,
            },
        )
    return extensions


setup(
    ext_modules=[] if NO_EXTENSIONS else compiled_twins(),
    options={"build_ext": {"parallel": os.cpu_count() or 1}},
)
