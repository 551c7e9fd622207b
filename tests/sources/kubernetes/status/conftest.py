"""Writers of the test's own; test_lease.py has replicas of another kind."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest_asyncio

from tests.kube.apiserver import KubeApiServer
from tests.sources.kubernetes.status.writing import Replica, Replicas


@pytest_asyncio.fixture
async def replica(kube_apiserver: KubeApiServer, kube_namespace: str) -> AsyncIterator[Replicas]:
    made: list[Replica] = []

    def make(*namespaces: str, server: KubeApiServer = kube_apiserver, token: str | None = None) -> Replica:
        made.append(Replica(server, *(namespaces or (kube_namespace,)), token=token))
        return made[-1]

    yield make
    for one in made:
        await one.kube.close()
