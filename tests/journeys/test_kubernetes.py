"""A gateway as a process of its own over a real API server: traffic follows the objects, and outlives the server."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator

import pytest

from kthena_fast.mock_engine import EngineConfig, MockEngine
from tests.gateway import processes, running
from tests.kube import apiserver
from tests.kube.apiserver import KubeApiServer
from tests.sources.kubernetes import watching

CLIENTS = 4


@contextlib.asynccontextmanager
async def two_engines() -> AsyncIterator[tuple[MockEngine, MockEngine, int]]:
    """Two engines at one port of two addresses, as pods of one ModelServer are."""
    engines = [MockEngine(EngineConfig(models=(running.MODEL,))) for _ in range(2)]
    async with engines[0].running("127.0.0.1") as first, engines[1].running("127.0.0.2", first.port):
        yield engines[0], engines[1], first.port


class Load:
    """Clients that ask one request after the other until they are told to stop."""

    def __init__(self, gateway: processes.Gateway) -> None:
        self.statuses: Counter[int] = Counter()
        self._gateway = gateway
        self._stopping = False

    async def run(self) -> None:
        await asyncio.gather(*(self._client() for _ in range(CLIENTS)))

    def stop(self) -> None:
        self._stopping = True

    async def _client(self) -> None:
        raw = await self._gateway.connect()
        while not self._stopping:
            raw.say(running.chat())
            self.statuses[(await raw.answer()).status] += 1

    async def goes_on(self, requests: int = 50) -> None:
        """Return when so many more were answered."""
        goal = self.statuses.total() + requests
        await processes.until(lambda: _now(self.statuses.total() >= goal))


async def _now(holds: bool) -> bool:
    return holds


async def readiness(gateway: processes.Gateway) -> dict[str, str]:
    answer = await gateway.get("/readyz", gateway.metrics_port)
    assert answer.status == 200
    said: dict[str, str] = answer.json()
    return said


@pytest.mark.slow
async def test_no_request_fails_while_the_api_server_is_away_and_changes_are_taken_in_when_it_is_back(
    own_kube_apiserver: KubeApiServer,
) -> None:
    server, do = own_kube_apiserver, asyncio.to_thread
    await do(server.install_crds)
    first = apiserver.pod("default", "first", "127.0.0.1", {"app": "s"})
    second = apiserver.pod("default", "second", "127.0.0.2", {"app": "s"})
    async with two_engines() as (stays, leaves, port):
        await do(
            server.apply,
            watching.model_route("default", "r", running.MODEL, "s"),
            watching.model_server("default", "s", workloadPort={"port": port}),
            first,
            second,
        )
        variables = {"KUBECONFIG": str(server.kubeconfig), "ACCESS_LOG_ENABLED": "false"}
        async with processes.gateway("--kubernetes", **variables) as gateway:
            load = Load(gateway)
            loading = asyncio.create_task(load.run())
            await load.goes_on()
            assert stays.requests
            assert leaves.requests

            await do(server.stop_apiserver)
            await gateway.says("pods of default cannot be read: ")
            assert "what was read before serves on" in (await readiness(gateway))["detail"]
            shown = (await gateway.get("/metrics", gateway.metrics_port)).body.decode()
            assert 'kthena_fast_source_faults{resource="pods"} 1.0' in shown
            await load.goes_on()

            # And again, while it is still being found again.
            for _ in range(2):
                await do(server.start)
                await load.goes_on()
                await do(server.stop_apiserver)
                await load.goes_on()

            await do(server.start)
            await do(server.set_status, second, apiserver.pod_status("127.0.0.2", is_ready=False))
            await gateway.says("pods can be read again")

            async def is_left() -> bool:
                before = len(leaves.requests)
                await load.goes_on(10)
                return len(leaves.requests) == before

            await processes.until(is_left)
            await processes.until(lambda: _is_current(gateway))
            load.stop()
            await loading
            assert set(load.statuses) == {200}
            assert not gateway.complaints


async def _is_current(gateway: processes.Gateway) -> bool:
    return "detail" not in await readiness(gateway)


async def test_traffic_follows_the_objects(kube_apiserver: KubeApiServer, kube_namespace: str) -> None:
    ns, do = kube_namespace, asyncio.to_thread
    async with two_engines() as (first, second, port):
        pods = [
            apiserver.pod(ns, name, f"127.0.0.{number}", {"app": name}) for number, name in enumerate(("one", "two"), 1)
        ]
        servers = [watching.model_server(ns, name, workloadPort={"port": port}) for name in ("one", "two")]
        await do(kube_apiserver.apply, watching.model_route(ns, "r", running.MODEL, "one"), *servers, *pods)
        async with processes.gateway(
            "--kubernetes", "--namespace", ns, KUBECONFIG=str(kube_apiserver.kubeconfig)
        ) as gateway:
            assert (await gateway.ask(running.chat())).status == 200
            assert (len(first.requests), len(second.requests)) == (1, 0)

            await do(kube_apiserver.apply, watching.model_route(ns, "r", running.MODEL, "two"))

            async def reaches_the_second() -> bool:
                assert (await gateway.ask(running.chat())).status == 200
                return len(second.requests) > 0

            await processes.until(reaches_the_second)
            await do(kube_apiserver.delete, pods[1])

            async def has_no_pod() -> bool:
                return (await gateway.ask(running.chat())).status == 503

            await processes.until(has_no_pod)
            dumped = (await gateway.get(f"/debug/config_dump/namespaces/{ns}/pods/one", gateway.debug_port)).json()
            assert dumped["podInfo"] == {"podIP": "127.0.0.1", "labels": {"app": "one"}}
            await do(kube_apiserver.delete, watching.model_route(ns, "r", running.MODEL, "two"))

            async def is_unknown() -> bool:
                return (await gateway.ask(running.chat())).status == 404

            await processes.until(is_unknown)


async def test_a_gateway_that_has_read_nothing_yet_says_what_is_missing(own_kube_apiserver: KubeApiServer) -> None:
    """No model is 404 before it is known which there are."""
    async with processes.starting_gateway("--kubernetes", KUBECONFIG=str(own_kube_apiserver.kubeconfig)) as gateway:

        async def is_told() -> bool:
            answer = await gateway.get("/readyz", gateway.metrics_port)
            assert answer.status == 503
            return "the CRD modelroutes.networking.serving.volcano.sh is missing" in answer.json()["detail"]

        await processes.until(is_told)
        refused = await gateway.ask(running.chat())
        assert (refused.status, refused.code) == (503, "not_synced")
        assert (await gateway.get("/healthz")).status == 200
        await asyncio.to_thread(own_kube_apiserver.install_crds)
        await processes.until(gateway.is_ready)
