"""A Dockerfile as a list of stages, as far as this project's own uses the format.

What it does not know it refuses, so that the steps that are run can never be fewer than those that are written.
"""

import json
import shlex
from dataclasses import dataclass, field
from pathlib import Path

# What describes the image without changing what is in it.
_METADATA = frozenset({"EXPOSE", "LABEL"})


class NotUnderstood(ValueError):
    """An instruction, or a form of one, that this reader was never taught."""


@dataclass(frozen=True)
class Run:
    """``RUN``: a shell command, in the environment and as the user of the instructions above it."""

    command: str
    workdir: str
    env: dict[str, str]
    user: str


@dataclass(frozen=True)
class Copy:
    """``COPY``: from the build context, or from the stage that ``--from`` names."""

    sources: tuple[str, ...]
    destination: str
    stage: str | None


@dataclass
class Stage:
    """``FROM`` and all that follows; ``workdir``, ``env`` and ``user`` are those at its end."""

    base: str
    name: str | None
    workdir: str = "/"
    env: dict[str, str] = field(default_factory=dict)
    user: str = "0:0"
    entrypoint: tuple[str, ...] = ()
    steps: list[Run | Copy] = field(default_factory=list)

    def _resolve(self, path: str) -> str:
        resolved = str(Path(self.workdir, path))
        return f"{resolved}/" if path.endswith("/") else resolved

    def add(self, instruction: str, rest: str) -> None:
        """Apply one instruction other than ``FROM``.

        Raises:
            NotUnderstood: the instruction, or a flag of it, is none that this reader knows.
        """
        match instruction:
            case "RUN" if not rest.startswith(("--", "[")):
                self.steps.append(Run(rest, self.workdir, dict(self.env), self.user))
            case "COPY" if not rest.startswith("["):
                words = shlex.split(rest)
                stage = words.pop(0).removeprefix("--from=") if words[0].startswith("--from=") else None
                if words[0].startswith("--"):
                    raise NotUnderstood(f"COPY {words[0]}")
                self.steps.append(Copy(tuple(words[:-1]), self._resolve(words[-1]), stage))
            case "ENV":
                self.env |= dict(word.split("=", 1) for word in shlex.split(rest))
            case "WORKDIR":
                self.workdir = self._resolve(rest)
            case "USER":
                self.user = rest
            case "ENTRYPOINT" if rest.startswith("["):
                self.entrypoint = tuple(json.loads(rest))
            case _ if instruction not in _METADATA:
                raise NotUnderstood(f"{instruction} {rest}")


def read(text: str) -> list[Stage]:
    """Read the stages of a Dockerfile.

    Raises:
        NotUnderstood: it uses more of the format than this reader knows.
    """
    lines = (line.strip() for line in text.splitlines())
    joined = "\n".join(line for line in lines if line and not line.startswith("#")).replace("\\\n", "")
    stages: list[Stage] = []
    for line in joined.splitlines():
        instruction, _, rest = line.partition(" ")
        match instruction, rest.split():
            case "FROM", [base]:
                stages.append(Stage(base, None))
            case "FROM", [base, ("AS" | "as"), name]:
                stages.append(Stage(base, name))
            case _ if stages:
                stages[-1].add(instruction, rest.strip())
            case _:
                raise NotUnderstood(f"{line} before the first FROM")
    return stages
