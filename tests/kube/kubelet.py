"""What the kubelet does with the volumes of a pod: there is none here."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

DATA = "..data"


def fill(folder: Path, files: Mapping[str, bytes]) -> None:
    """Fill a folder as the volume of a Secret, a ConfigMap or a ServiceAccount is filled; again: with what is so now.

    Each name is a link through `..data`, itself a link to a hidden folder that has the files. What changes is a new
    folder, to which `..data` is moved in one step; then the old one goes. What did not change is left alone.
    (Kubernetes' pkg/volume/util/atomic_writer.go)
    """
    folder.mkdir(parents=True, exist_ok=True)
    data = folder / DATA
    before = data.resolve() if data.is_symlink() else None
    if before is not None and {path.name: path.read_bytes() for path in before.iterdir()} == dict(files):
        return
    fresh = Path(tempfile.mkdtemp(prefix=time.strftime("..%Y_%m_%d_%H_%M_%S."), dir=folder))
    fresh.chmod(0o755)
    for name, content in files.items():
        (fresh / name).write_bytes(content)
    moving = folder / "..data_tmp"
    moving.symlink_to(fresh.name)
    moving.rename(data)
    shown = {path.name for path in folder.iterdir() if not path.name.startswith("..")}
    for name in files.keys() - shown:
        (folder / name).symlink_to(Path(DATA) / name)
    for name in shown - files.keys():
        (folder / name).unlink()
    if before is not None:
        shutil.rmtree(before)
