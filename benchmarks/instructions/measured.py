"""The process that is counted: `python -m benchmarks.instructions.measured MARKS LOG OPERATION...`, under callgrind.

Callgrind is off until the first operation, so that start-up costs nothing; each count is a dump of its own.

KTHENA_FAST_PLANTED={"OPERATION": N, ...} has an operation go N times round an empty loop besides: so the guard is shown
to fail.
"""

from __future__ import annotations

import asyncio
import ctypes
import gc
import itertools
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

from benchmarks.instructions import operations
from tests.gateway import in_memory

PLANTED: dict[str, int] = json.loads(os.environ.get("KTHENA_FAST_PLANTED", "{}"))


def planted(rounds: int) -> Callable[[], object]:
    def burn() -> None:
        # Each time round costs the same, which numbers would not.
        for _ in itertools.repeat(None, rounds):
            pass

    return burn


async def count(marks: ctypes.CDLL, log: Path, names: list[str]) -> None:
    for name in names:
        setup = operations.OPERATIONS[name]
        async with operations.gateway(log, setup) as gateway:
            operation = setup.make(gateway, planted(PLANTED.get(name, 0)))
            await operation.prepare(operation.times)
            await operation.run(operation.times)
            # It looks at everything every 20,000 objects: whether that falls into what is counted is chance.
            gc.collect()
            gc.disable()
            marks.begin()
            # What runs for the first time since counting began is translated then, which counts for nothing.
            for times in (operation.times, operation.times, 2 * operation.times):
                await operation.prepare(times)
                marks.zero()
                await operation.run(times)
                marks.dump(f"{name} {times}".encode())
            marks.end()
            gc.enable()


def main() -> None:
    marks, log, *names = sys.argv[1:]
    with asyncio.Runner(loop_factory=in_memory.Loop) as runner:
        runner.run(count(ctypes.CDLL(marks), Path(log), names))


if __name__ == "__main__":
    main()
