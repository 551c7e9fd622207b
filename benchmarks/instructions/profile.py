"""Where the instructions of an operation go, as callgrind tells it, and the time of its interpreted functions."""

from __future__ import annotations

import asyncio
import cProfile
import pstats
import re
import subprocess
import tempfile
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.instructions import counting, operations
from tests.gateway import in_memory

SHOWN = 45
"""Functions in each table."""

NATIVE_TIMES = 5_000

_LINE = re.compile(r"^\s*([\d,]+) \(\s*[\d.]+%\)\s+(.*)$")
_PAIR = re.compile(r"^\s*([\d,.]+)(?: \(\s*[\d.]+%\))?\s+([\d,.]+)(?: \(\s*[\d.]+%\))?\s+(.*)$")


def show(name: str) -> None:
    console = Console()
    with tempfile.TemporaryDirectory() as path:
        folder = Path(path)
        figures = counting.counts([name], folder)
        times, file = max(counting.dumps(folder)[name].items())
        console.print(f"{name}: {figures[name]:,.0f} instructions")
        for title, flag in (("in the function itself", "no"), ("with what it calls", "yes")):
            table = Table(title=f"instructions of C functions, {title}", title_justify="left")
            table.add_column("instructions", justify="right")
            table.add_column("function")
            for count, function in _annotated(file, flag)[:SHOWN]:
                table.add_row(f"{count / times:,.0f}", function)
            console.print(table)
        _show_interpreted(console, name, folder)


def show_lines(name: str) -> None:
    console = Console()
    with tempfile.TemporaryDirectory() as path:
        folder = Path(path)
        found = counting.lines([name], folder)[name]
        times, file = max(counting.dumps(folder)[name].items())
        console.print(f"{name}: {found:.1f} lines of memory from beyond the caches")
        table = Table(title="of them in the function itself", title_justify="left")
        table.add_column("read", justify="right")
        table.add_column("written", justify="right")
        table.add_column("function")
        for read, written, function in sorted(_missed(file), key=lambda row: -row[0] - row[1])[:SHOWN]:
            if read + written >= times / 10:
                table.add_row(f"{read / times:.1f}", f"{written / times:.1f}", function)
        console.print(table)


def _missed(file: Path) -> list[tuple[int, int, str]]:
    events = ",".join(counting.LINES)
    told = _told(file, _PAIR, f"--show={events}", f"--sort={events}", "--threshold=100")
    return [(_whole(row[1]), _whole(row[2]), readable(row[3])) for row in told]


def _told(file: Path, row: re.Pattern[str], *options: str) -> list[re.Match[str]]:
    """What callgrind_annotate tells of each function, as `row` has its lines."""
    command = ["callgrind_annotate", "--auto=no", *options, str(file)]
    told = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return [found for line in told.splitlines() if "PROGRAM TOTALS" not in line and (found := row.match(line))]


def _whole(number: str) -> int:
    """As callgrind_annotate writes it; a point is nothing."""
    return 0 if number == "." else int(number.replace(",", ""))


def _annotated(file: Path, inclusive: str) -> list[tuple[int, str]]:
    told = _told(file, _LINE, f"--inclusive={inclusive}", "--threshold=99.9")
    return [(_whole(row[1]), readable(row[2])) for row in told]


def readable(function: str) -> str:
    """`kthena_fast.gateway._lane_py.Lane._judge` for what Cython made of it; others lose their source file."""
    name, _, library = function.partition(" [")
    name = name.rpartition(":")[2]
    mangled = re.match(r"__pyx_(?:f|pw|pf|gb|pymod)_(.*)", name)
    if mangled is None:
        return f"{name} [{Path(library.rstrip(']')).name}]" if library else name
    rest = mangled[1]
    parts: list[str] = []
    # Each part has its length before it; a wrapper's last has its number.
    while (length := re.match(r"\d+", rest)) is not None:
        end = length.end() + int(length[0])
        if rest[end : end + 1] != "_":
            break
        parts.append(rest[length.end() : end])
        rest = rest[end + 1 :]
    return ".".join([*parts, rest.lstrip("0123456789")]) if parts else name


def _show_interpreted(console: Console, name: str, folder: Path) -> None:
    profile = cProfile.Profile()
    with asyncio.Runner(loop_factory=in_memory.Loop) as runner:
        runner.run(_natively(name, folder, profile))
    table = Table(title="time of interpreted functions, without what they call", title_justify="left")
    for column in ("calls", "us", "function"):
        table.add_column(column, justify="left" if column == "function" else "right")
    stats = pstats.Stats(profile).stats  # type: ignore[attr-defined]  # typeshed does not know it
    rows = sorted(stats.items(), key=lambda row: -row[1][2])
    for (file, line, function), (_, calls, own, _, _) in rows[:SHOWN]:
        where = f"{Path(file).name}:{line} " if line else ""
        table.add_row(f"{calls / NATIVE_TIMES:.1f}", f"{own / NATIVE_TIMES * 1e6:.2f}", where + function)
    console.print(table)


async def _natively(name: str, folder: Path, profile: cProfile.Profile) -> None:
    setup = operations.OPERATIONS[name]
    async with operations.gateway(folder / "access.log", setup) as gateway:
        operation = setup.make(gateway, int)
        await operation.prepare(NATIVE_TIMES)
        profile.enable()
        await operation.run(NATIVE_TIMES)
        profile.disable()
