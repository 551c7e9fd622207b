"""`/debug/runtime`: what the process holds now. What grows here from one quiet hour to the next is a leak."""

from __future__ import annotations

import asyncio
import gc
import os
import threading
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import orjson
from aiohttp import web

if TYPE_CHECKING:
    from kthena_fast.gateway.inference import InferenceWay
    from kthena_fast.gateway.state import State
    from kthena_fast.upstream.deadlines import Deadlines
    from kthena_fast.upstream.pool import Pool

PATH = "/debug/runtime"


def page(
    state: State, way: InferenceWay, pool: Pool, deadlines: Deadlines
) -> Callable[[web.Request], Awaitable[web.Response]]:
    """The page's handler. `?collect=true` has Python's collector run first, which halts the process meanwhile."""

    async def runtime(request: web.Request) -> web.Response:
        if request.query.get("collect") == "true":
            gc.collect()
        document = {
            "requests": len(state.serving),
            "clientConnections": way.open_connections,
            "idleEngineConnections": pool.idle,
            "deadlines": len(deadlines),
            "tasks": len(asyncio.all_tasks()),
            "threads": threading.active_count(),
            "descriptors": _descriptors(),
            "objects": len(gc.get_objects()),
            "frozenObjects": gc.get_freeze_count(),
        }
        return web.Response(body=orjson.dumps(document), content_type="application/json")

    return runtime


def _descriptors() -> int:
    """Open ones, but for the one that counts them."""
    return len(os.listdir("/dev/fd")) - 1  # noqa: PTH208 - only the number is wanted
