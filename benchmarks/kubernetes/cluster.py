"""Objects in an API server, made and changed through the gateway's own client."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Iterable
from dataclasses import dataclass, field
from typing import Any

from kthena_fast.kube.client import Client
from kthena_fast.resources.decoding import API_VERSION

AT_ONCE = 64
"""Requests under way while the cluster is filled."""

Object = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Change:
    """One change, and how it is recognised once it is in service."""

    at: float
    """When the API server had answered it, by the machine's monotonic clock."""
    kind: str
    key: str
    """`namespace/name` of the ModelServer or ModelRoute."""
    pod: str = ""
    """The pod that is no longer ready."""
    generation: int = 0
    """Of an object that is no pod."""


@dataclass(slots=True)
class Cluster:
    """The objects that the benchmark knows."""

    kube: Client
    namespaces: list[str]
    servers: int
    pods: int
    """Of each ModelServer."""
    changes: list[Change] = field(default_factory=list)

    def _namespace(self, server: int) -> str:
        return self.namespaces[server % len(self.namespaces)]

    async def fill(self) -> None:
        """Create everything."""
        core = "/api/v1/namespaces"
        await _all(
            self.kube.create(core, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
            for name in self.namespaces
        )
        await _all(self._server(number) for number in range(self.servers))
        await _all(self._pod(number, pod) for number in range(self.servers) for pod in range(self.pods))

    async def _server(self, number: int) -> None:
        namespace, name = self._namespace(number), f"server-{number}"
        meta = {"name": name, "namespace": namespace}
        group = f"/apis/{API_VERSION}/namespaces/{namespace}"
        selector = {"matchLabels": {"modelserving.volcano.sh/name": name, "modelserving.volcano.sh/entry": "true"}}
        spec = {
            "inferenceEngine": "vLLM",
            "workloadSelector": selector,
            "workloadPort": {"port": 8000},
            "trafficPolicy": {"timeout": "60s", "retry": {"attempts": 2}},
        }
        rules = [{"name": "default", "targetModels": [{"modelServerName": name}]}]
        made = {"apiVersion": API_VERSION, "metadata": meta}
        await self.kube.create(f"{group}/modelservers", made | {"kind": "ModelServer", "spec": spec})
        route = made | {"kind": "ModelRoute", "spec": {"modelName": f"model-{number}", "rules": rules}}
        await self.kube.create(f"{group}/modelroutes", route)

    async def _pod(self, server: int, number: int) -> None:
        namespace, name = self._namespace(server), f"server-{server}-{number}"
        path = f"/api/v1/namespaces/{namespace}/pods"
        await self.kube.create(path, _engine_pod(namespace, name, f"server-{server}"))
        address = server * self.pods + number
        ip = f"10.{address >> 16}.{address >> 8 & 255}.{address & 255}"
        status = {"phase": "Running", "podIP": ip, "podIPs": [{"ip": ip}], "conditions": _conditions(is_ready=True)}
        await self.kube.patch(f"{path}/{name}/status", {"status": status})

    async def churn(self, seconds: float, a_second: float) -> None:
        """Change something so many times a second, at even distances, and note each change."""
        loop = asyncio.get_running_loop()
        # No pod twice, so that it is plain which change was seen.
        pods = random.sample(range(self.servers * self.pods), int(seconds * a_second))
        began = loop.time()
        async with asyncio.TaskGroup() as tasks:
            for number, pod in enumerate(pods):
                await asyncio.sleep(began + number / a_second - loop.time())
                tasks.create_task(self._change(*divmod(pod, self.pods), number % 20))

    async def _change(self, server: int, number: int, turn: int) -> None:
        namespace, name = self._namespace(server), f"server-{server}"
        group = f"/apis/{API_VERSION}/namespaces/{namespace}"
        if turn == 0:
            spec: Object = {"trafficPolicy": {"timeout": f"{random.randint(1, 3600)}s"}}
            answer = await self.kube.patch(f"{group}/modelservers/{name}", {"spec": spec})
            self._note("ModelServer", f"{namespace}/{name}", generation=answer["metadata"]["generation"])
        elif turn == 1:
            rules = [{"name": f"r{random.random()}", "targetModels": [{"modelServerName": name}]}]
            answer = await self.kube.patch(f"{group}/modelroutes/{name}", {"spec": {"rules": rules}})
            self._note("ModelRoute", f"{namespace}/{name}", generation=answer["metadata"]["generation"])
        else:
            pod = f"{name}-{number}"
            status = {"conditions": _conditions(is_ready=False)}
            await self.kube.patch(f"/api/v1/namespaces/{namespace}/pods/{pod}/status", {"status": status})
            self._note("Pod", f"{namespace}/{name}", pod=pod)

    def _note(self, kind: str, key: str, **more: Any) -> None:
        self.changes.append(Change(time.monotonic(), kind, key, **more))


async def _all(works: Iterable[Awaitable[Any]]) -> None:
    works = iter(works)

    async def worker() -> None:
        for work in works:
            await work

    async with asyncio.TaskGroup() as tasks:
        for _ in range(AT_ONCE):
            tasks.create_task(worker())


def _conditions(*, is_ready: bool) -> list[Object]:
    return [
        {"type": kind, "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}
        for kind in ("PodScheduled", "Initialized", "ContainersReady")
    ] + [{"type": "Ready", "status": "True" if is_ready else "False"}]


def _engine_pod(namespace: str, name: str, server: str) -> Object:
    """A pod as a ModelServing makes it: about 7 KiB once it is stored."""
    labels = {
        "modelserving.volcano.sh/name": server,
        "modelserving.volcano.sh/entry": "true",
        "modelserving.volcano.sh/group-name": f"{server}-0",
        "modelserving.volcano.sh/role": "leader",
        "modelserving.volcano.sh/role-id": name,
        "modelserving.volcano.sh/revision": "5d8c7b9f6d",
        "app.kubernetes.io/managed-by": "kthena",
    }
    variables = [{"name": f"VLLM_SETTING_{number}", "value": "x" * 40} for number in range(25)]
    container = {
        "name": "engine",
        "image": "vllm/vllm-openai:v0.11.0",
        "command": ["python3", "-m", "vllm.entrypoints.openai.api_server"],
        "args": ["--model=/models/" + server, "--served-model-name=" + server, "--tensor-parallel-size=8"],
        "env": variables,
        "ports": [{"containerPort": 8000, "name": "http"}],
        "resources": {"limits": {"cpu": "16", "memory": "256Gi"}, "requests": {"cpu": "8", "memory": "128Gi"}},
        "readinessProbe": {"httpGet": {"path": "/health", "port": 8000}, "periodSeconds": 5},
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"namespace": namespace, "name": name, "labels": labels},
        "spec": {"containers": [container]},
    }
