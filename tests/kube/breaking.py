"""An API server that breaks in ways in which a real one cannot be made to: each answer is what the test says next.

async with breaking.server(breaking.listing("a", version="1"), breaking.watching(resets=True)) as api:
    async with Client(api.cluster) as kube: ...
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import orjson
from aiohttp import web

from kthena_fast.kube import credentials
from kthena_fast.kube.configuration import Cluster

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]

PATH = "/api/v1/things"


def thing(name: str, version: str, **more: Any) -> dict[str, Any]:
    return {"metadata": {"namespace": "ns", "name": name, "resourceVersion": version}, **more}


def event(kind: str, name: str, version: str, **more: Any) -> bytes:
    return orjson.dumps({"type": kind, "object": thing(name, version, **more)}) + b"\n"


def error(code: int, reason: str, **more: Any) -> bytes:
    """An event that tells of an error."""
    return orjson.dumps({"type": "ERROR", "object": {"kind": "Status", "code": code, "reason": reason, **more}}) + b"\n"


def raw(body: bytes, status: int = 200, **headers: str) -> Answer:
    async def answer(_: web.Request) -> web.Response:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return web.Response(status=status, body=body, headers=named)

    return answer


def listing(*names: str, version: str, token: str = "") -> Answer:
    return raw(
        orjson.dumps(
            {
                "metadata": {"resourceVersion": version, "continue": token},
                "items": [thing(name, version) for name in names],
            }
        )
    )


def refusal(status: int, reason: str, **headers: str) -> Answer:
    said = {"kind": "Status", "code": status, "reason": reason, "message": f"it is {reason}"}
    return raw(orjson.dumps(said), status, **headers)


def watching(*pieces: bytes, stays: bool = False, resets: bool = False) -> Answer:
    """A watch that says these pieces and ends, stays open without a word, or is reset."""

    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for piece in pieces:
            await response.write(piece)
            # So that each comes by itself.
            await asyncio.sleep(0)
        if stays:
            await asyncio.Event().wait()
        if resets:
            assert request.transport is not None
            request.transport.abort()
        return response

    return answer


class BreakingServer:
    """Gives its answers in turn; the last one again and again."""

    def __init__(self, answers: tuple[Answer, ...]) -> None:
        self._answers = list(answers)
        self.cluster = Cluster("", credentials.Anonymous())
        self.asked: list[dict[str, str]] = []
        """The queries, in their order."""
        self._asked = asyncio.Condition()

    async def answer(self, request: web.Request) -> web.StreamResponse:
        async with self._asked:
            self.asked.append(dict(request.query))
            self._asked.notify_all()
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        return await answer(request)

    async def until_asked(self, times: int) -> None:
        async with asyncio.timeout(20), self._asked:
            await self._asked.wait_for(lambda: len(self.asked) >= times)


@contextlib.asynccontextmanager
async def server(*answers: Answer) -> AsyncIterator[BreakingServer]:
    breaking = BreakingServer(answers)
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", breaking.answer)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    breaking.cluster = Cluster(f"http://127.0.0.1:{port}", credentials.Anonymous())
    try:
        yield breaking
    finally:
        await runner.cleanup()
