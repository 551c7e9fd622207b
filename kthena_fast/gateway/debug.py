"""The debug port, on loopback only: what is in service, in upstream's schema, and what is not and why.

Upstream's `/debug/config_dump/*` keep their paths, keys and not-found answers; `rejected`, `unsupported` and `inFlight`
are ours. Lists are `[]` when they are empty, and in the order of their names.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import orjson
from aiohttp import web

from kthena_fast.queueing import report

if TYPE_CHECKING:
    from kthena_fast.gateway.state import State
    from kthena_fast.queueing.turns import Turns
    from kthena_fast.resources import core_v1
    from kthena_fast.resources.model_route import ModelRoute
    from kthena_fast.resources.model_server import ModelServer
    from kthena_fast.routing.snapshot import Pod, Snapshot

DUMP = "/debug/config_dump"

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


def application(state: State, turns: Turns | None = None) -> web.Application:
    """The pages; GET only. `turns` is None where nobody waits."""
    served = web.Application()
    lists: dict[str, Callable[[Snapshot], list[dict[str, Any]]]] = {
        "modelroutes": lambda snapshot: [_route(route) for _, route in sorted(snapshot.objects.routes.items())],
        "modelservers": lambda snapshot: [
            _server(server, snapshot) for _, server in sorted(snapshot.objects.servers.items())
        ],
        "pods": _pods,
        **{name: lambda _: [] for name in NOT_THERE},
    }
    for name, make in lists.items():
        served.router.add_get(f"{DUMP}/{name}", _page(state, name, make))
    served.router.add_get(f"{DUMP}/rejected", _page(state, "rejected", _rejected))
    served.router.add_get(f"{DUMP}/unsupported", _page(state, "unsupported", _unsupported))

    async def one(request: web.Request) -> web.Response:
        kind = request.match_info["kind"]
        key = f"{request.match_info['namespace']}/{request.match_info['name']}"
        found = _one(state.snapshot, kind, key)
        if found is None:
            return _json({"error": f"{KINDS.get(kind, kind)} not found"}, 404)
        return _json(found)

    async def fairness(request: web.Request) -> web.Response:
        if turns is None:
            return _json({"error": "fairness is off (ENABLE_FAIRNESS_SCHEDULING)"}, 404)
        now = asyncio.get_running_loop().time()
        return _json(report.document(turns, now, request.query.get("model"), request.query.get("user")))

    served.router.add_get("/debug/fairness", fairness)
    served.router.add_get(f"{DUMP}/namespaces/{{namespace}}/{{kind}}/{{name}}", one)
    return served


def _page(state: State, name: str, make: Callable[[Snapshot], list[dict[str, Any]]]) -> Callable[[web.Request], Any]:
    async def page(_: web.Request) -> web.Response:
        return _json({name: make(state.snapshot)})

    return page


def _json(document: Any, status: int = 200) -> web.Response:
    return web.Response(status=status, body=orjson.dumps(document), content_type="application/json")


def _one(snapshot: Snapshot, kind: str, key: str) -> dict[str, Any] | None:
    objects = snapshot.objects
    if kind == "modelroutes" and key in objects.routes:
        return _route(objects.routes[key])
    if kind == "modelservers" and key in objects.servers:
        return _server(objects.servers[key], snapshot)
    if kind == "pods":
        for pod in _pods(snapshot):
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


def _pods(snapshot: Snapshot) -> list[dict[str, Any]]:
    """A pod that several ModelServers select is one entry, as upstream has it."""
    entries: dict[tuple[str, str], dict[str, Any]] = {}
    for key, server in sorted(snapshot.servers.items()):
        for pod in server.pods:
            entry = entries.setdefault((pod.namespace, pod.name), _pod(pod, server.engine))
            entry["modelServers"].append(key)
            entry["inFlight"] += pod.in_flight
    return [entry for _, entry in sorted(entries.items())]


def _pod(pod: Pod, engine: str) -> dict[str, Any]:
    return {
        "name": pod.name,
        "namespace": pod.namespace,
        "engine": engine,
        "address": pod.authority.decode("ascii", "replace"),
        "inFlight": 0,
        "modelServers": [],
    }


def _pod_info(pod: core_v1.Pod | None) -> dict[str, Any]:
    if pod is None:
        return {}
    return {"podInfo": {"podIP": next(iter(pod.ips), ""), "labels": dict(pod.metadata.labels)}}


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
