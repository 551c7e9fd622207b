"""Runs the measured process under callgrind and reads its counts."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Collection, Iterable
from pathlib import Path

# Requests to valgrind are instructions, so they need a compiler.
MARKS = """
#include <valgrind/callgrind.h>
void begin(void) { CALLGRIND_START_INSTRUMENTATION; }
void zero(void) { CALLGRIND_ZERO_STATS; }
void dump(const char *name) { CALLGRIND_DUMP_STATS_AT(name); }
void end(void) { CALLGRIND_STOP_INSTRUMENTATION; }
"""

LOOP_THREAD = "01"
"""What callgrind calls the thread of the loop. The access log's, which writes when time has passed, does not count."""

LIMIT = 600.0
"""Seconds that a run may take."""


class CannotCount(Exception):
    """Why there are no figures, in one line."""


def missing() -> str:
    """What has to be installed before anything can be counted; empty when nothing is."""
    lacking = [tool for tool, found in (("valgrind", shutil.which("valgrind")), ("gcc", _compiler())) if not found]
    return f"apt-get install {' '.join(lacking)}" if lacking else ""


INSTRUCTIONS = ("Ir",)

LINES = ("DLmr", "DLmw")
"""Lines of memory that are read and written and were in no cache."""

CACHES = ("--cache-sim=yes", "--I1=32768,8,64", "--D1=32768,8,64", "--LL=1048576,16,64")
"""Those of one core today, the same on every machine; what is beyond them is shared with others, and a hundred times as
far as a register."""


def counts(names: Iterable[str], folder: Path, environment: dict[str, str] | None = None) -> dict[str, float]:
    """Instructions of one of each operation; callgrind's files are left in `folder`, one for each count."""
    return _count(names, folder, environment or {}, (), INSTRUCTIONS)


def lines(names: Iterable[str], folder: Path) -> dict[str, float]:
    """Lines of memory that one of each operation fetches from beyond the caches; the same files are left."""
    return _count(names, folder, {}, CACHES, LINES)


def _count(
    names: Iterable[str], folder: Path, environment: dict[str, str], options: Iterable[str], events: Collection[str]
) -> dict[str, float]:
    if lacking := missing():
        raise CannotCount(f"a tool is missing: {lacking}")
    marks = _marks(folder)
    command = [
        *_without_randomness(),
        "valgrind",
        "--tool=callgrind",
        "--instr-atstart=no",
        "--quiet",
        "--separate-threads=yes",
        *options,
        f"--callgrind-out-file={folder / 'callgrind.out'}",
        sys.executable,
        "-m",
        "benchmarks.instructions.measured",
        str(marks),
        str(folder / "access.log"),
        *names,
    ]
    fixed = {**os.environ, "PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1", **environment}
    ran = subprocess.run(command, check=False, capture_output=True, text=True, env=fixed, timeout=LIMIT)
    if ran.returncode:
        raise CannotCount(f"the measured process failed:\n{ran.stdout}{ran.stderr}")
    return _figures(folder, events)


def dumps(folder: Path) -> dict[str, dict[int, Path]]:
    """Operation -> times -> callgrind's file of it, the last where there are two."""
    found: dict[str, dict[int, Path]] = {}
    for path in sorted(folder.glob(f"callgrind.out.*-{LOOP_THREAD}"), key=_number):
        trigger = re.search(r"^desc: Trigger: Client Request: (\S+) (\d+)$", path.read_text(), re.MULTILINE)
        if trigger is not None:
            found.setdefault(trigger[1], {})[int(trigger[2])] = path
    return found


def _number(path: Path) -> int:
    return int(path.suffix[1:].partition("-")[0])


def _figures(folder: Path, events: Collection[str]) -> dict[str, float]:
    figures: dict[str, float] = {}
    for name, paths in dumps(folder).items():
        (once, first), (twice, second) = sorted(paths.items())
        figures[name] = (_total(second, events) - _total(first, events)) / (twice - once)
    return figures


def _total(path: Path, events: Collection[str]) -> int:
    text = path.read_text()
    named, totals = (re.search(rf"^{key}: (.+)$", text, re.MULTILINE) for key in ("events", "totals"))
    assert named is not None, path
    assert totals is not None, path
    return sum(int(total) for event, total in zip(named[1].split(), totals[1].split(), strict=False) if event in events)


def _compiler() -> str | None:
    return shutil.which(os.environ.get("CC", "cc"))


def _marks(folder: Path) -> Path:
    source, library = folder / "marks.c", folder / "marks.so"
    source.write_text(MARKS)
    compiler = _compiler()
    assert compiler is not None
    subprocess.run([compiler, "-O1", "-shared", "-fPIC", "-o", library, source], check=True)
    return library


def _without_randomness() -> list[str]:
    """What makes addresses the same each time, where the system allows it: some containers do not."""
    setarch = shutil.which("setarch")
    if setarch is None or subprocess.run([setarch, "-R", "true"], check=False, capture_output=True).returncode:
        return []
    return [setarch, "-R"]
