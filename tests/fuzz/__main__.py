"""The search: `python -m tests.fuzz PROPERTY... --seconds 60`; exit status 1 where an input was found."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

from tests import fuzz
from tests.fuzz import kept, properties

FOUND = Path(".fuzz")
"""Where the search keeps what it learns and what it finds, below the current folder."""


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.fuzz", description=fuzz.__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    every = ", ".join(properties.NAMES)
    parser.add_argument("properties", nargs="*", metavar="PROPERTY", help=f"all unless named: {every}")
    parser.add_argument("--seconds", type=int, default=60, help="for each property")
    parser.add_argument("--one", metavar="FILE", type=Path, help="check this input alone, and show what it breaks")
    arguments = parser.parse_args()
    unknown = set(arguments.properties) - set(properties.NAMES)
    if unknown:
        parser.error(f"{', '.join(sorted(unknown))}: none of {every}")
    names = arguments.properties or properties.NAMES
    if arguments.one is not None:
        for name in names:
            with properties.opened(name) as check:
                check(arguments.one.read_bytes())
        return 0
    # Each of them, also where one has found something.
    failed = [name for name in names if search(name, arguments.seconds)]
    if failed:
        print("inputs that break a property:", ", ".join(f"{FOUND}/{name}/found" for name in failed))
    return 1 if failed else 0


def search(name: str, seconds: int, folder: Path = FOUND, *, same: int = 0) -> int:
    """Search for so long in processes of their own, which end where an input is found; the exit status of the last.

    `same`: try so many inputs at most, and each time the same.

    Half of the time on the pure twins, whose coverage leads; then on the compiled ones, from what was learned.
    """
    learned, found, seeds = (folder / name / kind for kind in ("learned", "found", "seeds"))
    for made in (learned, found, seeds):
        made.mkdir(parents=True, exist_ok=True)
    kept.write_seeds(name, seeds)
    command = [
        sys.executable,
        "-m",
        "tests.fuzz.searching",
        name,
        f"-max_total_time={max(seconds // 2, 1)}",
        "-timeout=20",
        "-max_len=4096",
        "-print_final_stats=1",
        f"-artifact_prefix={found}/",
        f"-dict={kept.DICTIONARY}",
        str(learned),
        str(seeds),
    ]
    if same:
        command[4:4] = ["-seed=1", f"-runs={same}"]
    # Coverage, which leads the search, depends on the order of sets.
    hashing = {"PYTHONHASHSEED": "0"} if same else {}
    for twins in ({"KTHENA_FAST_NO_EXTENSIONS": "1"}, {}):
        status = subprocess.run(command, check=False, env={**os.environ, **twins, **hashing}).returncode
        if status:
            return status
    return 0


if __name__ == "__main__":
    sys.exit(main())
