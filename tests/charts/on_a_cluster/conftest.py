"""A real API server for each module, with the namespace of its releases and no CRDs of ours."""

from collections.abc import Iterator

import pytest

from kthena_fast.resources import crds
from tests.charts import cluster, helm
from tests.conftest import running_kube_apiserver
from tests.kube import apiserver
from tests.kube.apiserver import KubeApiServer


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KubeApiServer]:
    """One without CRDs of ours, which releases of a module bring and leave."""
    with running_kube_apiserver(tmp_path_factory.mktemp("charts")) as running:
        running.apply(apiserver.namespace(helm.NAMESPACE))
        yield running


@pytest.fixture
def bare(server: KubeApiServer) -> KubeApiServer:
    """The same without what the last test left of our CRDs, and so of their objects."""
    for definition in crds.all():
        server.delete(definition)
        apiserver.wait_until_gone(server, definition)
    return server


@pytest.fixture(scope="module")
def with_foreign_schemas(server: KubeApiServer) -> KubeApiServer:
    cluster.install_foreign_schemas(server)
    return server
