"""The debug port, on loopback only: what is in service, in upstream's schema, and what is not and why.

Upstream's `/debug/config_dump/*` keep their paths, keys and not-found answers; `rejected`, `unsupported`, `address` and
`inFlight` are ours. Lists are `[]` when they are empty, and in the order of their names. Of a pod's `metrics` only what
is waiting and what is running is known, and only where fairness asks the engine for it; the others are 0. Its `models`
are those that its ModelServers name: pods are not asked for theirs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import orjson
from aiohttp import web

from kthena_fast.queueing import report
from kthena_fast.resources import core_v1

if TYPE_CHECKING:
    from kthena_fast.gateway.fairness import Fairness
    from kthena_fast.gateway.state import State
    from kthena_fast.resources.model_route import ModelRoute
    from kthena_fast.resources.model_server import ModelServer
    from kthena_fast.routing.objects import PodObject
    from kthena_fast.routing.snapshot import Pod, Server, Snapshot
    from kthena_fast.scheduling.load import Load

DUMP = "/debug/config_dump"

INDEX = ("/debug", "/debug/")
"""Where the pages are listed."""

NOT_THERE = ("gateways", "httproutes", "inferencepools")
"""Upstream's lists of kinds that are not built here; empty, so that a script that reads all of them goes on."""

KINDS = {
    "modelroutes": "ModelRoute",
    "modelservers": "ModelServer",
    "pods": "Pod",
    "gateways": "Gateway",
    "httproutes": "HTTPRoute",
    "inferencepools": "InferencePool",
}


def application(state: State, queues: Fairness | None = None) -> web.Application:
    """The pages; GET only. `queues` is None where nobody waits."""
    served = web.Application()
    loads: Mapping[Pod, Load] = queues.loads if queues is not None else {}
    lists: dict[str, Callable[[Snapshot], list[dict[str, Any]]]] = {
        "modelroutes": lambda snapshot: [_route(route) for _, route in sorted(snapshot.objects.routes.items())],
        "modelservers": lambda snapshot: [
            _server(server, snapshot) for _, server in sorted(snapshot.objects.servers.items())
        ],
        "pods": lambda snapshot: _pods(snapshot, loads),
        **{name: lambda _: [] for name in NOT_THERE},
    }
    for name, make in lists.items():
        served.router.add_get(f"{DUMP}/{name}", _page(state, name, make))
    served.router.add_get(f"{DUMP}/rejected", _page(state, "rejected", _rejected))
    served.router.add_get(f"{DUMP}/unsupported", _page(state, "unsupported", _unsupported))

    async def one(request: web.Request) -> web.Response:
        kind = request.match_info["kind"]
        key = f"{request.match_info['namespace']}/{request.match_info['name']}"
        found = _one(state.snapshot, loads, kind, key)
        if found is None:
            return _json({"error": f"{KINDS.get(kind, kind)} not found"}, 404)
        return _json(found)

    async def fairness(request: web.Request) -> web.Response:
        if queues is None:
            return _json({"error": "fairness is off (ENABLE_FAIRNESS_SCHEDULING)"}, 404)
        now = asyncio.get_running_loop().time()
        return _json(report.document(queues.turns, now, request.query.get("model"), request.query.get("user")))

    async def index(_: web.Request) -> web.Response:
        # Asked for now: others add pages of theirs.
        return _json({"pages": sorted({page.canonical for page in served.router.resources()} - {*INDEX})})

    served.router.add_get("/debug/fairness", fairness)
    served.router.add_get(f"{DUMP}/namespaces/{{namespace}}/{{kind}}/{{name}}", one)
    for path in INDEX:
        served.router.add_get(path, index)
    return served


def _page(state: State, name: str, make: Callable[[Snapshot], list[dict[str, Any]]]) -> Callable[[web.Request], Any]:
    async def page(_: web.Request) -> web.Response:
        return _json({name: make(state.snapshot)})

    return page


def _json(document: Any, status: int = 200) -> web.Response:
    return web.Response(status=status, body=orjson.dumps(document), content_type="application/json")


def _one(snapshot: Snapshot, loads: Mapping[Pod, Load], kind: str, key: str) -> dict[str, Any] | None:
    objects = snapshot.objects
    if kind == "modelroutes" and key in objects.routes:
        return _route(objects.routes[key])
    if kind == "modelservers" and key in objects.servers:
        return _server(objects.servers[key], snapshot)
    if kind == "pods":
        for pod in _pods(snapshot, loads):
            if f"{pod['namespace']}/{pod['name']}" == key:
                return pod | _pod_info(objects.pods.get(key))
    return None


def _named(resource: ModelRoute | ModelServer) -> dict[str, Any]:
    return {
        "name": resource.metadata.name,
        "namespace": resource.metadata.namespace,
        "spec": resource.spec.as_object(),
    }


def _route(route: ModelRoute) -> dict[str, Any]:
    return _named(route)


def _server(server: ModelServer, snapshot: Snapshot) -> dict[str, Any]:
    in_service = snapshot.servers.get(server.metadata.key)
    pods = [f"{pod.namespace}/{pod.name}" for pod in in_service.pods] if in_service is not None else []
    return _named(server) | {"associatedPods": pods}


def _pods(snapshot: Snapshot, loads: Mapping[Pod, Load]) -> list[dict[str, Any]]:
    """A pod that several ModelServers select is one entry, as upstream has it."""
    entries: dict[tuple[str, str], dict[str, Any]] = {}
    for key, server in sorted(snapshot.servers.items()):
        for pod in server.pods:
            entry = entries.setdefault((pod.namespace, pod.name), _pod(pod, server))
            entry["modelServers"].append(key)
            entry["inFlight"] += pod.in_flight
            if server.model and server.model not in entry["models"]:
                entry["models"].append(server.model)
            load = loads.get(pod)
            if load is not None:
                # Each of the ModelServers is told the same by the one engine.
                entry["metrics"] |= {"requestWaitingNum": load.waiting, "requestRunningNum": load.running}
    return [entry for _, entry in sorted(entries.items())]


def _pod(pod: Pod, server: Server) -> dict[str, Any]:
    metrics = ("gpuCacheUsage", "requestWaitingNum", "requestRunningNum", "tpot", "ttft")
    return {
        "name": pod.name,
        "namespace": pod.namespace,
        "engine": server.engine,
        "address": pod.authority.decode("ascii", "replace"),
        "inFlight": 0,
        "metrics": dict.fromkeys(metrics, 0.0),
        "models": [],
        "modelServers": [],
    }


def _pod_info(pod: PodObject | None) -> dict[str, Any]:
    """Nothing for an engine that is given by address: there is no such object. Of others, what the source keeps."""
    if pod is None:
        return {}
    info: dict[str, Any] = {"podIP": pod.ip}
    optional: dict[str, Any] = {"labels": dict(pod.labels)}
    if isinstance(pod, core_v1.Pod):
        info |= {"nodeName": pod.spec.node_name, "phase": pod.status.phase}
        optional["startTime"] = pod.status.as_object().get("startTime")
    return {"podInfo": info | {key: value for key, value in optional.items() if value}}


def _rejected(snapshot: Snapshot) -> list[dict[str, Any]]:
    return [
        {
            "kind": entry.kind,
            "namespace": entry.namespace,
            "name": entry.name,
            "file": entry.file,
            "line": entry.line,
            "lastGoodVersionServes": entry.kept,
            "reasons": [
                {"path": reason.path, "message": reason.message, "line": reason.line} for reason in entry.reasons
            ],
        }
        for entry in snapshot.rejected
    ]


def _unsupported(snapshot: Snapshot) -> list[dict[str, Any]]:
    return [
        {
            "kind": entry.kind,
            "namespace": entry.namespace,
            "name": entry.name,
            "path": entry.path,
            "reason": entry.reason,
        }
        for entry in snapshot.unsupported
    ]
