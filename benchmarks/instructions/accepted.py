"""The accepted figures, and what a new one may be beside them.

1. A build that has accepted figures is held to them, within `TOLERANCE`.
2. One that has none is held to the nearest build's ratios to the calibration, within `RATIO_TOLERANCE`: what Python
   needs for the same work differs from one compiler to the next, but for all of the work alike.
3. The nearest has the same twins, and the same minor version of Python where there is one.
"""

from __future__ import annotations

import importlib.metadata
import json
import platform
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kthena_fast.core import _choice

PATH = Path(__file__).with_name("accepted.json")

TOLERANCE = 0.05
RATIO_TOLERANCE = 0.10
"""Between Debian's Python and one built without training, instructions differ by 15 %, these ratios by 3 %."""

CALIBRATION = "calibration"
"""The operation that others are compared with; nothing of ours is in it, so it is held to nothing."""

LIBRARIES = ("aiohttp", "httptools", "orjson", "uvloop", "xxhash")
"""Whose instructions are counted with ours: a figure may change with their release."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """One operation beside what is accepted."""

    name: str
    figure: float
    """Instructions of one."""
    accepted: float | None
    """In this build's instructions, also where they follow from a ratio; None for what is new."""
    tolerance: float

    @property
    def change(self) -> float:
        """0.2: a fifth more than accepted."""
        return self.figure / self.accepted - 1 if self.accepted else 0.0

    @property
    def is_slower(self) -> bool:
        return self.change > self.tolerance

    @property
    def is_faster(self) -> bool:
        return self.change < -self.tolerance


@dataclass(frozen=True, slots=True)
class Build:
    """What decides how many instructions the same work takes."""

    python: str
    compiler: str
    machine: str
    twins: str

    def __str__(self) -> str:
        return f"CPython {self.python}, {self.compiler}, {self.machine}, {self.twins}"

    @property
    def minor(self) -> str:
        return ".".join(self.python.split(".")[:2])


def this_build() -> Build:
    # Of two builds by one compiler, the one that was trained needs a fifth less, and does not say that it was.
    _, date = platform.python_build()
    return Build(
        platform.python_version(),
        f"{platform.python_compiler()} on {date}",
        platform.machine(),
        _choice.loaded_core(),
    )


def versions() -> dict[str, str]:
    return {library: importlib.metadata.version(library) for library in LIBRARIES}


class Accepted:
    """What `accepted.json` says."""

    def __init__(self, path: Path = PATH) -> None:
        self._path = path
        self._builds: list[dict[str, Any]] = json.loads(path.read_text()) if path.exists() else []

    def accept(self, build: Build, figures: dict[str, float]) -> None:
        """From now on these are the build's figures; operations that were not counted keep theirs."""
        entry = self._entry(build)
        if entry is None:
            entry = {"python": build.python, "compiler": build.compiler, "machine": build.machine, "twins": build.twins}
            self._builds.append(entry | {"figures": {}})
            entry = self._builds[-1]
        entry["libraries"] = versions()
        entry["figures"] |= {name: round(figure) for name, figure in figures.items()}
        self._builds.sort(key=lambda entry: [entry[key] for key in ("twins", "machine", "python", "compiler")])
        self._path.write_text(json.dumps(self._builds, indent=2) + "\n")

    def judge(self, build: Build, figures: dict[str, float]) -> tuple[str, list[Verdict]]:
        """What the figures were compared with, in words, and how they stand; LookupError where there is nothing."""
        entry = self._entry(build)
        if entry is not None:
            return f"accepted for {build}{_changes(entry['libraries'])}", [
                Verdict(name, figure, entry["figures"].get(name), TOLERANCE)
                for name, figure in figures.items()
                if name != CALIBRATION
            ]
        entry = self._nearest(build)
        accepted = entry["figures"]
        scale = figures[CALIBRATION] / accepted[CALIBRATION]
        return f"{build} has no accepted figures: by their ratio to the calibration, those of {_build_of(entry)}", [
            Verdict(name, figure, accepted[name] * scale if name in accepted else None, RATIO_TOLERANCE)
            for name, figure in figures.items()
            if name != CALIBRATION
        ]

    def _entry(self, build: Build) -> dict[str, Any] | None:
        return next((entry for entry in self._builds if _build_of(entry) == build), None)

    def _nearest(self, build: Build) -> dict[str, Any]:
        alike = [entry for entry in self._builds if entry["twins"] == build.twins]
        if not alike:
            raise LookupError(f"{self._path.name} has no figures of {build.twins} twins")
        return max(alike, key=lambda entry: (_build_of(entry).minor == build.minor, entry["machine"] == build.machine))


def _build_of(entry: dict[str, Any]) -> Build:
    return Build(entry["python"], entry["compiler"], entry["machine"], entry["twins"])


def _changes(libraries: dict[str, str]) -> str:
    """Libraries that are not of the release that was counted then."""
    changed = [
        f"{name} {libraries.get(name)} -> {now}" for name, now in versions().items() if libraries.get(name) != now
    ]
    return f" ({', '.join(changed)})" if changed else ""
