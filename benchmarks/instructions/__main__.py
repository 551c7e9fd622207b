"""The command line of the guard; exit status 1 where an operation got slower, 2 where none could be counted."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks import instructions
from benchmarks.instructions import accepted, counting, profile
from benchmarks.instructions.operations import OPERATIONS


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.instructions",
        description=instructions.__doc__,
        formatter_class=argparse.RawTextHelpFormatter,
    )
    parser.add_argument("operations", nargs="*", help=f"all unless named: {', '.join(OPERATIONS)}")
    parser.add_argument("--json", action="store_true", help="print one JSON object and nothing else")
    parser.add_argument("--accept", action="store_true", help="write this build's figures into accepted.json")
    parser.add_argument("--profile", metavar="OPERATION", choices=OPERATIONS, help="show where its instructions go")
    parser.add_argument("--lines", metavar="OPERATION", choices=OPERATIONS, help="show what it fetches from memory")
    arguments = parser.parse_args()
    unknown = set(arguments.operations) - set(OPERATIONS)
    if unknown:
        parser.error(f"{', '.join(sorted(unknown))}: none of {', '.join(OPERATIONS)}")
    try:
        if arguments.profile:
            profile.show(arguments.profile)
            return 0
        if arguments.lines:
            profile.show_lines(arguments.lines)
            return 0
        names = dict.fromkeys([accepted.CALIBRATION, *(arguments.operations or OPERATIONS)])
        with tempfile.TemporaryDirectory() as folder:
            figures = counting.counts(names, Path(folder))
        return _accept(figures) if arguments.accept else _judge(figures, as_json=arguments.json)
    except (counting.CannotCount, LookupError) as problem:
        print(problem, file=sys.stderr)
        return 2


def _accept(figures: dict[str, float]) -> int:
    build = accepted.this_build()
    accepted.Accepted().accept(build, figures)
    print(f"{accepted.PATH} has new figures of {build}")
    return 0


def _judge(figures: dict[str, float], *, as_json: bool) -> int:
    against, verdicts = accepted.Accepted().judge(accepted.this_build(), figures)
    slower = [verdict for verdict in verdicts if verdict.is_slower]
    if as_json:
        rows = {
            verdict.name: {
                "instructions": round(verdict.figure),
                "accepted": None if verdict.accepted is None else round(verdict.accepted),
                "change": round(verdict.change, 4),
            }
            for verdict in verdicts
        }
        calibration = round(figures[accepted.CALIBRATION])
        print(json.dumps({"against": against, "calibration": calibration, "operations": rows, "ok": not slower}))
    else:
        show(against, verdicts)
    return 1 if slower else 0


def show(against: str, verdicts: list[accepted.Verdict]) -> None:
    table = Table()
    for column in ("operation", "instructions", "accepted", "change", "allowed", ""):
        table.add_column(column, justify="left" if column in {"operation", ""} else "right")
    for verdict in verdicts:
        word = "SLOWER" if verdict.is_slower else "faster: accept it" if verdict.is_faster else ""
        if verdict.accepted is None:
            word = "new: accept it"
        table.add_row(
            verdict.name,
            f"{verdict.figure:,.0f}",
            "-" if verdict.accepted is None else f"{verdict.accepted:,.0f}",
            f"{verdict.change:+.1%}",
            f"{verdict.tolerance:.0%}",
            word,
        )
    console = Console()
    console.print(against, soft_wrap=True)
    console.print(table)
    if any(verdict.is_slower for verdict in verdicts):
        console.print("Where the time is meant: python -m benchmarks.instructions --accept, and commit accepted.json.")


if __name__ == "__main__":
    sys.exit(main())
