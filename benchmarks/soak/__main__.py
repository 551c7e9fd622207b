"""The command line of the soak; exit status 1 where something was not as it should be."""

from __future__ import annotations

import argparse
import sys

import uvloop

from benchmarks import soak
from benchmarks.soak import course


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.soak", description=soak.__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=60.0, help="of load, warm-up included")
    parser.add_argument("--clients", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()

    result = uvloop.run(course.run(arguments.seconds, arguments.clients, arguments.seed))
    print(f"{sum(result.tally.turns.values()):,} turns of {arguments.clients} clients, {result.changes} changes of the")
    print(f"manifests, {result.cpu_seconds:.1f} s of the gateway's CPU")
    for name, count in result.tally.turns.most_common():
        print(f"  {count:8,} {name}")
    print("answers:", ", ".join(f"{count:,} x {status}" for status, count in sorted(result.tally.statuses.items())))
    for entry in result.entries:
        print(entry)
    for complaint in result.complaints:
        print("NOT AS IT SHOULD BE:", complaint)
    return 1 if result.complaints else 0


if __name__ == "__main__":
    sys.exit(main())
