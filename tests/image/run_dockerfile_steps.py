"""Runs the Dockerfile's own steps where there is no Docker daemon: each stage in an empty root of its own.

    sudo python -m tests.image.run_dockerfile_steps [CONTEXT]

The operating system and the Python of the base image are this machine's, mounted read-only; everything else that a
stage sees was put there by its own steps. This does not build the image: that the base image exists and holds what is
assumed of it, only ``docker build`` can show.
"""

import contextlib
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from tests.image import dockerfile

# What a Debian root needs of the host's for a Python and a compiler to run.
_SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib64", "/etc")

_EMPTY = ("dev", "opt", "proc", "root", "tmp", "var")

# How this machine reaches its package index is no part of the image.
_INDEX = ("PIP_", "SSL_", "REQUESTS_CA_BUNDLE", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")

# The packages of the base image and those it installs are the host's own, which is mounted read-only.
_APT_GET = '#!/bin/sh\necho "apt-get $*: left to this machine, which has its own packages"\n'


class StepFailed(RuntimeError):
    """A ``RUN`` that did not exit with 0."""


def is_possible() -> bool:
    """Mounting and changing to the image's user need root, and in a container not every root may."""
    unshare = shutil.which("unshare")
    if unshare is None or os.geteuid() != 0:
        return False
    return subprocess.run([unshare, "--mount", "true"], check=False, capture_output=True).returncode == 0


class Root:
    """The root directory of one stage."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._python = Path(sys.base_prefix)
        for name in _EMPTY:
            (path / name).mkdir(parents=True)
        (path / "tmp").chmod(0o1777)
        # Stands where the base image has /usr/local/bin, with its python.
        base = path / "base/bin"
        base.mkdir(parents=True)
        for name in ("python", "python3"):
            (base / name).symlink_to(self._python / "bin" / f"python{sys.version_info.major}.{sys.version_info.minor}")
        (base / "apt-get").write_text(_APT_GET)
        (base / "apt-get").chmod(0o755)

    def inside(self, path: str) -> Path:
        """Where on this machine the stage's ``path`` lies."""
        return self.path / path.lstrip("/")

    def argv(
        self, command: Sequence[str], *, env: Mapping[str, str], workdir: str, user: str, read_only: bool = False
    ) -> list[str]:
        """The command line that runs ``command`` in this root and, when it ends, leaves no mount behind."""
        mounts = [f"mount --bind {shlex.quote(str(self.path))} {shlex.quote(str(self.path))}"]
        if read_only:
            mounts.append(f"mount -o remount,bind,ro {shlex.quote(str(self.path))}")
        binds = [*(name for name in _SYSTEM if Path(name).exists()), str(self._python)]
        for source in binds:
            target = self.inside(source)
            if not target.is_dir():
                target.mkdir(parents=True)
            mounts.append(f"mount --rbind {shlex.quote(source)} {shlex.quote(str(target))}")
            mounts.append(f"mount -o remount,bind,ro {shlex.quote(str(target))}")
        mounts.append(f"mount --rbind /dev {shlex.quote(str(self.inside('/dev')))}")
        mounts.append(f"mount -t proc proc {shlex.quote(str(self.inside('/proc')))}")
        path = env.get("PATH", "/usr/local/bin:/usr/bin:/bin").replace("/usr/local/bin", "/base/bin")
        road = {name: value for name, value in os.environ.items() if name.upper().startswith(_INDEX)}
        settings = {**road, "HOME": "/tmp", **env, "PATH": path}
        words = [
            *("chroot", f"--userspec={user}", str(self.path)),
            *("/usr/bin/env", "-i", *(f"{name}={value}" for name, value in settings.items())),
            *("/bin/sh", "-c", f'cd {shlex.quote(workdir)} && exec "$@"', "sh", *command),
        ]
        return ["unshare", "--mount", "sh", "-ec", "; ".join([*mounts, 'exec "$@"']), "sh", *words]


def _copy(step: dockerfile.Copy, origin: Path, root: Root) -> None:
    target = root.inside(step.destination)
    # As .dockerignore has it; what an earlier stage made is copied whole.
    left_out = shutil.ignore_patterns(*([] if step.stage else ["__pycache__", "*.so", "*.c"]))
    for source in step.sources:
        found = origin / source.lstrip("/")
        if found.is_dir():
            # The contents of a folder, as COPY does it; the links of a virtual environment stay links.
            shutil.copytree(found, target, symlinks=True, dirs_exist_ok=True, ignore=left_out)
        else:
            inside = target / found.name if step.destination.endswith("/") else target
            inside.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(found, inside)


def _carry_out(stage: dockerfile.Stage, root: Root, context: Path, earlier: Mapping[str | None, Root]) -> None:
    for step in stage.steps:
        if isinstance(step, dockerfile.Copy):
            _copy(step, earlier[step.stage].path if step.stage else context, root)
            continue
        print(f"RUN {step.command}", flush=True)
        root.inside(step.workdir).mkdir(parents=True, exist_ok=True)
        shell = ["/bin/sh", "-c", step.command]
        argv = root.argv(shell, env=step.env, workdir=step.workdir, user=step.user)
        if subprocess.run(argv, check=False).returncode:
            raise StepFailed(step.command)


@contextlib.contextmanager
def image(stages: Sequence[dockerfile.Stage], context: Path) -> Iterator[tuple[dockerfile.Stage, Root]]:
    """Run every step of every stage; yields the last stage and its root, which are gone afterwards.

    Raises:
        StepFailed: a command of the Dockerfile did not exit with 0.
    """
    with tempfile.TemporaryDirectory(prefix="kthena_fast_image.") as folder:
        # The image's user walks through here to its root.
        Path(folder).chmod(0o755)
        roots: dict[str | None, Root] = {}
        for number, stage in enumerate(stages):
            root = Root(Path(folder, str(number)))
            _carry_out(stage, root, context, roots)
            roots[stage.name] = root
        yield stages[-1], roots[stages[-1].name]


def main() -> None:
    """Run the steps on the tree in the current folder and ask what came out of them for its version."""
    context = Path(sys.argv[1] if len(sys.argv) > 1 else ".")
    with image(dockerfile.read((context / "Dockerfile").read_text()), context) as (stage, root):
        command = [*stage.entrypoint, "version"]
        argv = root.argv(command, env=stage.env, workdir=stage.workdir, user=stage.user, read_only=True)
        subprocess.run(argv, check=True)


if __name__ == "__main__":
    main()
