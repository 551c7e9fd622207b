"""Where the programs are that tests run beside Python, and what installs one that is missing (`make tools`)."""

import lzma
import os
import shutil
from pathlib import Path

CLONE = Path(os.environ.get("KTHENA_FAST_CLONE") or Path(__file__).parents[2])
"""The clone of the repository; .ci/test_wheel names it, since it runs the suite from a copy."""

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "kthena_fast" / "tools"
"""What `make tools` builds; the same folder as in .ci/tools."""

NEEDED = ("openssl", "curl")

HELM = "helm-v3.19.5"
SCHEMAS = "schemas-v1.19.1-v0.85.0"
"""Folders of the cache, with the versions that .ci/tools says."""


class Missing(Exception):
    """A program is not there; says which command installs it."""


def kube_apiserver() -> Path:
    """The folder that holds kube-apiserver: KUBEBUILDER_ASSETS, that of the packed one beside the clone, or `CACHE`."""
    for program in NEEDED:
        if shutil.which(program) is None:
            raise Missing(f"{program} is missing: apt-get install {program}")
    assets = os.environ.get("KUBEBUILDER_ASSETS")
    if shutil.which("etcd") is None and not (assets and Path(assets, "etcd").exists()):
        raise Missing("etcd is missing: make tools, or apt-get install etcd-server")
    if assets and Path(assets, "kube-apiserver").exists():
        return Path(assets)
    packed = CLONE.parent / "shared" / "kube" / "kube-apiserver.xz"
    if packed.exists():
        return _unpacked(packed)
    if (CACHE / "kube-apiserver").exists():
        return CACHE
    raise Missing("kube-apiserver is missing: make tools")


def helm() -> Path:
    """Helm 3."""
    program = CACHE / HELM / "helm"
    if not program.exists():
        raise Missing("Helm 3 is missing: make tools")
    return program


def schemas() -> Path:
    """The folder with the CRDs of cert-manager and of the Prometheus operator."""
    folder = CACHE / SCHEMAS
    if not folder.exists():
        raise Missing("the CRDs of cert-manager and the Prometheus operator are missing: make tools")
    return folder


def _unpacked(packed: Path) -> Path:
    """The folder in the cache that holds what `packed` packs."""
    state = packed.stat()
    folder = CACHE / f"packed-{state.st_size}-{int(state.st_mtime)}"
    program = folder / "kube-apiserver"
    if not program.exists():
        folder.mkdir(parents=True, exist_ok=True)
        # Unpacked aside and moved: two suites may do it at once, and one may be interrupted.
        aside = folder / f".kube-apiserver.{os.getpid()}"
        with lzma.open(packed) as source, aside.open("wb") as target:
            shutil.copyfileobj(source, target, 1 << 20)
        aside.chmod(0o755)
        aside.replace(program)
    return folder
