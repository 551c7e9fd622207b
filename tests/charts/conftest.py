from collections.abc import Iterator

import pytest

from tests.charts import running
from tests.charts.running import Engines, Program, Release
from tests.conftest import running_kube_apiserver
from tests.kube import binaries
from tests.kube.apiserver import KubeApiServer


@pytest.fixture(autouse=True, scope="session")
def _helm() -> None:
    """Nothing here goes without Helm."""
    try:
        binaries.helm()
    except binaries.Missing as missing:
        pytest.skip(str(missing))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KubeApiServer]:
    with running_kube_apiserver(tmp_path_factory.mktemp("end-to-end"), running.AGGREGATOR_ROUTING) as started:
        yield started


@pytest.fixture(scope="module")
def release(server: KubeApiServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Release]:
    installed = Release(server, tmp_path_factory.mktemp("release"))
    yield installed
    installed.close()


@pytest.fixture(scope="module")
def webhook(release: Release) -> Iterator[Program]:
    release.route_webhook()
    with release.running(release.webhook) as program:
        yield program


@pytest.fixture(scope="module")
def gateway(release: Release, webhook: Program) -> Iterator[Program]:
    with release.running(release.gateway) as program:
        yield program


@pytest.fixture(scope="module")
def engines() -> Iterator[Engines]:
    started = Engines()
    yield started
    started.close()


@pytest.fixture
def namespace(server: KubeApiServer) -> str:
    return server.create_namespace()
