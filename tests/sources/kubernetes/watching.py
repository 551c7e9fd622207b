"""The Kubernetes source, running, and objects to give it through a real API server.

async with watching.source(server, namespace) as seen:
    server.apply(watching.server(namespace, "s"))
    await seen.until(lambda snapshot: f"{namespace}/s" in snapshot.servers)
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any

from kthena_fast.kube import configuration
from kthena_fast.resources.decoding import API_VERSION
from kthena_fast.resources.model_server import ENDPOINTS as ENDPOINTS
from kthena_fast.routing import build
from kthena_fast.routing.snapshot import Snapshot
from kthena_fast.sources import Observation
from kthena_fast.sources.kubernetes import pod_watches
from kthena_fast.sources.kubernetes.source import KINDS, KubernetesSource
from tests.kube.apiserver import KubeApiServer

PATIENCE = 30.0

Object = dict[str, Any]


class Seen:
    """What the source published."""

    def __init__(self) -> None:
        self.observations: list[Observation] = []
        self._told = asyncio.Condition()

    @property
    def last(self) -> Observation:
        return self.observations[-1]

    @property
    def snapshot(self) -> Snapshot:
        return self.last.snapshot or build.EMPTY

    def publish(self, observation: Observation) -> None:
        self.observations.append(observation)
        asyncio.get_running_loop().create_task(self._tell())

    async def _tell(self) -> None:
        async with self._told:
            self._told.notify_all()

    async def observed(self, holds: Callable[[Observation], bool], patience: float = PATIENCE) -> Observation:
        """The last observation, once it is as wanted."""
        try:
            async with asyncio.timeout(patience), self._told:
                await self._told.wait_for(lambda: bool(self.observations) and holds(self.last))
        except TimeoutError:
            shown = f"{self.snapshot!r} {self.last.faults} {self.last.rejected}" if self.observations else "nothing"
            raise AssertionError(f"not seen within {patience:g} s; seen last: {shown}") from None
        return self.last

    async def until(self, holds: Callable[[Snapshot], bool], patience: float = PATIENCE) -> Snapshot:
        """The snapshot, once it is as wanted."""
        observation = await self.observed(
            lambda observation: observation.snapshot is not None and holds(observation.snapshot), patience
        )
        assert observation.snapshot is not None
        return observation.snapshot

    async def pods(self, server: str, *names: str, patience: float = PATIENCE) -> Snapshot:
        """The snapshot, once the ModelServer has exactly these pods."""

        def holds(snapshot: Snapshot) -> bool:
            found = snapshot.servers.get(server)
            return found is not None and sorted(pod.name for pod in found.pods) == sorted(names)

        return await self.until(holds, patience)


@contextlib.asynccontextmanager
async def source(
    server: KubeApiServer,
    *namespaces: str,
    kubeconfig: Path | None = None,
    watched_namespaces: int = pod_watches.WATCHED_NAMESPACES,
) -> AsyncIterator[Seen]:
    seen = Seen()
    cluster = configuration.from_files([kubeconfig or server.kubeconfig])
    made = KubernetesSource(cluster, namespaces, watched_namespaces=watched_namespaces)
    task = asyncio.create_task(made.run(seen.publish))
    try:
        yield seen
    finally:
        task.cancel()
        await asyncio.wait((task,))
        if not task.cancelled():
            task.result()


def model_server(namespace: str, name: str, *, selector: Mapping[str, Any] | None = None, **spec: Any) -> Object:
    """A ModelServer that selects pods by the label `app: NAME`."""
    return {
        "apiVersion": API_VERSION,
        "kind": "ModelServer",
        "metadata": {"namespace": namespace, "name": name},
        "spec": {
            "inferenceEngine": "vLLM",
            "workloadSelector": selector or {"matchLabels": {"app": name}},
            "workloadPort": {"port": 8000},
            **spec,
        },
    }


def model_route(namespace: str, name: str, model: str, *servers: str) -> Object:
    return {
        "apiVersion": API_VERSION,
        "kind": "ModelRoute",
        "metadata": {"namespace": namespace, "name": name},
        "spec": {
            "modelName": model,
            "rules": [{"targetModels": [{"modelServerName": server} for server in servers]}],
        },
    }


def reader(namespace: str, account_namespace: str, account: str) -> tuple[Object, Object]:
    """A Role that lets a ServiceAccount read what the source reads in a namespace, and its binding."""
    name = {"namespace": namespace, "name": f"{account}-reads"}
    verbs = ["get", "list", "watch"]
    group = API_VERSION.partition("/")[0]
    rules = [
        {"apiGroups": [group], "resources": [kind.plural for kind in KINDS], "verbs": verbs},
        {"apiGroups": [""], "resources": ["pods"], "verbs": verbs},
    ]
    rbac = "rbac.authorization.k8s.io"
    return (
        {"apiVersion": f"{rbac}/v1", "kind": "Role", "metadata": name, "rules": rules},
        {
            "apiVersion": f"{rbac}/v1",
            "kind": "RoleBinding",
            "metadata": name,
            "roleRef": {"apiGroup": rbac, "kind": "Role", "name": name["name"]},
            "subjects": [{"kind": "ServiceAccount", "name": account, "namespace": account_namespace}],
        },
    )
