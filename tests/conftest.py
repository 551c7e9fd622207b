"""Fixtures that every room may ask for, and the rule that CI skips nothing."""

import contextlib
import importlib
import os
import subprocess
import sys
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from types import ModuleType

import hypothesis
import pytest
import uvloop

from kthena_fast.core import _choice
from tests.kube import binaries
from tests.kube.apiserver import KubeApiServer

CI = bool(os.environ.get("KTHENA_FAST_CI"))

# No test depends on speed, so neither does an example of one. CI draws the same ones each time: what is found by chance
# is found while one writes, and fails no change that has nothing to do with it.
hypothesis.settings.register_profile(
    "patient",
    hypothesis.settings.default,
    deadline=None,
    derandomize=CI,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("patient")

# Without extensions there is one twin to test; an extension that should be there and is not fails its tests.
CORES = ("pure",) if _choice.NO_EXTENSIONS else ("compiled", "pure")


# The scope lets hypothesis share it between examples; a test runs once for each twin.
@pytest.fixture(scope="session", params=CORES)
def core(request: pytest.FixtureRequest) -> str:
    """``"compiled"``, then ``"pure"``."""
    name: str = request.param
    return name


@pytest.fixture(scope="session")
def twin(core: str) -> Callable[[str, str], ModuleType]:
    """``twin("wire", "sse")`` is the module ``kthena_fast.wire._sse_c``, then ``_sse_py``."""
    suffix = {"compiled": "c", "pure": "py"}[core]

    def load(room: str, name: str) -> ModuleType:
        return importlib.import_module(f"kthena_fast.{room}._{name}_{suffix}")

    return load


@pytest.fixture(scope="session")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the sdist and the wheel: those that this suite judges (.ci/test_wheel), or new ones."""
    if judged := os.environ.get("KTHENA_FAST_DIST"):
        return Path(judged)
    folder = tmp_path_factory.mktemp("dist")
    # The wheel is built from the sdist, so nothing of this tree that is not published gets in.
    subprocess.run(
        [sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, Path(__file__).parents[1]],
        check=True,
        capture_output=True,
    )
    return folder


@pytest.fixture(scope="session")
def kube_apiserver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KubeApiServer]:
    """A running Kubernetes API server with the product's CRDs; a test that stops it starts it again."""
    with running_kube_apiserver(tmp_path_factory.mktemp("kube")) as server:
        server.install_crds()
        yield server


@pytest.fixture
def kube_namespace(kube_apiserver: KubeApiServer) -> str:
    """A namespace of the test's own."""
    return kube_apiserver.create_namespace()


@pytest.fixture
def own_kube_apiserver(tmp_path: Path) -> Iterator[KubeApiServer]:
    """A Kubernetes API server that nobody else sees, without CRDs."""
    with running_kube_apiserver(tmp_path / "kube") as server:
        yield server


@contextlib.contextmanager
def running_kube_apiserver(folder: Path, flags: str = "") -> Iterator[KubeApiServer]:
    try:
        server = KubeApiServer(folder, flags=flags)
    except binaries.Missing as missing:
        pytest.skip(str(missing))
    try:
        server.start()
        yield server
    finally:
        server.stop()


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], uvloop.Loop]]:
    # What runs is what is tested: the gateway knows no other loop.
    return {"uvloop": uvloop.new_event_loop}


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what is about the compiled twins where the environment says that there are none.

    That is no skip: the same tests run, and may not skip, in the suite that has them.
    """
    if not _choice.NO_EXTENSIONS:
        return
    about = [item for item in items if item.get_closest_marker("extensions")]
    if about:
        config.hook.pytest_deselected(items=about)
        items[:] = [item for item in items if item not in about]


def _as_failure(report: pytest.TestReport | pytest.CollectReport) -> None:
    if CI and report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped, and KTHENA_FAST_CI=1 lets nothing skip: {report.longrepr}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    _as_failure(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    _as_failure(report)
    return report
