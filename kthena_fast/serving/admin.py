"""The metrics port, which has the health pages as well: probes need no certificate there."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from aiohttp import web

if TYPE_CHECKING:
    from kthena_fast.telemetry.registry import Registry

Page = Callable[[], tuple[int, bytes, bytes]]
"""Makes one answer: status, content type, body."""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def metrics_application(registry: Registry, pages: dict[str, Page]) -> web.Application:
    """`/metrics` and the health pages."""
    application = web.Application()

    async def metrics(_: web.Request) -> web.Response:
        registry.refresh()
        # Rendering many children takes milliseconds that the inference port should not wait for.
        body, content_type = await asyncio.to_thread(registry.render)
        return web.Response(body=body, headers={"Content-Type": content_type})

    application.router.add_get("/metrics", metrics)
    for path, page in pages.items():
        application.router.add_get(path, _handler(page))
    return application


def _handler(page: Page) -> Handler:
    async def handle(_: web.Request) -> web.Response:
        status, content_type, body = page()
        return web.Response(status=status, body=body, headers={"Content-Type": content_type.decode()})

    return handle
