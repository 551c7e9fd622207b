"""When it is decided which pods are watched."""

from __future__ import annotations

import asyncio

import orjson
import pytest
from aiohttp import web

from kthena_fast.sources import Observation
from kthena_fast.sources.kubernetes.pod_watches import PodWatches
from kthena_fast.sources.kubernetes.source import KubernetesSource
from tests.kube import breaking
from tests.sources.kubernetes import watching

PATIENCE = 20.0


def page(namespace: str, token: str = "") -> breaking.Answer:
    server = watching.model_server(namespace, "s")
    return breaking.raw(orjson.dumps({"metadata": {"resourceVersion": "1", "continue": token}, "items": [server]}))


async def test_no_pods_are_read_before_all_that_select_some_are_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """They would be read again with each page of them, with other labels, and of other namespaces."""
    is_at_second_page, is_told, is_planned = asyncio.Event(), asyncio.Event(), asyncio.Event()
    plans: list[list[str]] = []

    async def answer(request: web.Request) -> web.StreamResponse:
        if "watch" in request.query:
            return await breaking.watching(stays=True)(request)
        match request.path.rpartition("/")[2], request.query.get("continue"):
            case "modelservers", None:
                return await page("first", "t")(request)
            case "modelservers", _:
                is_at_second_page.set()
                await is_told.wait()
                return await page("second")(request)
            case "modelroutes", _:
                # So that something is told while half of the servers is known.
                await is_at_second_page.wait()
                return await breaking.refusal(403, "Forbidden")(request)
        return await breaking.listing(version="1")(request)

    def plan(watches: PodWatches) -> None:
        plans.append(sorted(watches._inventory.selected()))
        is_planned.set()

    def publish(observation: Observation) -> None:
        if observation.faults:
            is_told.set()

    monkeypatch.setattr(PodWatches, "plan", plan)
    async with breaking.server(answer) as api, asyncio.timeout(PATIENCE):
        running = asyncio.create_task(KubernetesSource(api.cluster).run(publish))
        await is_planned.wait()
        assert is_told.is_set()
        assert plans == [["first", "second"]]
        running.cancel()
        await asyncio.wait((running,))
