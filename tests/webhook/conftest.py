"""A namespace of the test's own in a real API server, for a webhook that certifies itself."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.kube.apiserver import KubeApiServer
from tests.webhook.registered import Cluster


@pytest.fixture
def cluster(kube_apiserver: KubeApiServer, kube_namespace: str) -> Iterator[Cluster]:
    given = Cluster(kube_apiserver, kube_namespace)
    yield given
    given.unregister()
