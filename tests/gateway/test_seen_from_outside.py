"""What operators see of requests: metrics, the access log, health and the debug pages."""

from __future__ import annotations

import asyncio
import logging
import re
from pathlib import Path

import orjson
import pytest
from prometheus_client.parser import text_string_to_metric_families

from kthena_fast.gateway import observing
from kthena_fast.mock_engine import EngineConfig
from kthena_fast.resources import decoding
from kthena_fast.resources.core_v1 import Pod
from kthena_fast.resources.model_server import ModelServer
from kthena_fast.routing.objects import Objects
from tests.gateway import running


def value(shown: str, name: str, **labels: str) -> float:
    """The one sample of that name with exactly these labels."""
    (found,) = (
        sample.value
        for family in text_string_to_metric_families(shown)
        for sample in family.samples
        if sample.name == name and sample.labels == labels
    )
    return found


async def test_metrics_have_upstreams_names_and_labels() -> None:
    async with running.scene() as scene:
        await scene.ask(running.chat())
        await scene.ask(running.chat(stream=True))
        await scene.settled()
        shown = await scene.metrics()
        destination = {
            "model_route": "default/route",
            "backend_type": "model_server",
            "backend_name": "default/server",
            "upstream_model": "llama",
        }
        of_model = {"model": "llama", "path": "/v1/chat/completions"}
        ended = {"status_code": "200", "error_type": "successful_request"}
        assert value(shown, "kthena_router_requests_total", **of_model, **ended, **destination) == 2
        assert value(shown, "kthena_router_tokens_total", **of_model, token_type="output", **destination) == 32
        assert value(shown, "kthena_router_active_requests") == 0
        assert value(shown, "kthena_router_active_downstream_requests", model="llama") == 0


async def test_names_that_clients_invent_become_no_label_values() -> None:
    async with running.scene() as scene:
        for number in range(20):
            await scene.ask(running.chat(model=f"invented-{number}"))
            await scene.ask(running.request(running.body(), path=f"/v1/invented-{number}"))
            await scene.get(f"/invented-{number}")
        await scene.settled()
        shown = await scene.metrics()
        assert "invented" not in shown
        assert 'model="unknown"' in shown
        assert 'path="other"' in shown


async def test_metrics_are_on_the_inference_port_only_where_they_were_asked_for() -> None:
    async with running.scene() as scene:
        assert (await scene.get("/metrics")).status == 404
    async with running.scene(options={"metrics_on_inference_port": True}) as scene:
        answer = await scene.get("/metrics")
        assert (answer.status, answer.headers["content-type"].split(";")[0]) == (200, "text/plain")
        assert b"kthena_router_active_requests" in answer.body


async def test_health_is_on_both_ports_and_in_upstreams_words() -> None:
    async with running.scene() as scene:
        for port in (scene.gateway.port, scene.gateway.metrics_port):
            assert (await scene.get("/healthz", port)).json() == {"message": "ok"}
            assert (await scene.get("/readyz", port)).json() == {"message": "router is ready"}


async def test_pages_take_get_and_head_alone() -> None:
    async with running.scene() as scene:
        answer = await scene.ask(running.request(b"", path="/healthz"))
        assert (answer.status, answer.headers["allow"]) == (405, "GET, HEAD")


async def test_the_text_log_has_a_line_per_request_in_upstreams_layout(tmp_path: Path) -> None:
    log = tmp_path / "access.log"
    async with running.scene(access_log_enabled=True, access_log_output=str(log)) as scene:
        await scene.ask(running.chat("X-Request-Id: r-1", stream=True))
        await scene.ask(running.chat("X-Request-Id: r-2", model='no\n[2026] "POST'))
        await scene.get("/healthz")
    first, second = log.read_text().splitlines()
    pod = re.escape(f"127.0.0.1:{scene.servers[0].port}")
    assert re.fullmatch(
        r'\[\S+\] "POST /v1/chat/completions HTTP/1.1" 200 model_name=llama model_route=default/route'
        rf" model_server=default/server selected_pod=\S*{pod}\S* request_id=r-1 backend_type=model_server"
        r" backend_name=default/server upstream_model=llama upstream_status_code=200 upstream_attempts=1"
        r" tokens=2/16 timings=\d+ms\(\d+\+\d+\+\d+\)(?: user=\S+)? ttft=\d+ms bytes=\d+ client=127.0.0.1",
        first,
    ), first
    assert '"POST /v1/chat/completions HTTP/1.1" 404 error=route_not_found:"' in second
    assert r'model_name="no\n[2026] \"POST"' in second


async def test_the_json_log_tells_of_failures_and_of_clients_that_left(tmp_path: Path) -> None:
    log = tmp_path / "access.log"
    config = EngineConfig(models=(running.MODEL,))
    async with running.scene(
        config, access_log_enabled=True, access_log_format="json", access_log_output=str(log)
    ) as scene:
        await scene.ask(running.chat("X-Mock-Fault: garbage"))
        await scene.ask(running.chat("X-Mock-Fault: status:422"))
        raw = await scene.connect()
        raw.say(running.chat("X-Mock-Hold-After: 0"))
        await scene.engine.until(lambda: scene.engine.held == 1)
        await raw.leave()
        await scene.settled()
    broken, refused, left = (orjson.loads(line) for line in log.read_bytes().splitlines())
    assert (broken["status_code"], broken["error_origin"]) == (502, "upstream")
    assert (refused["status_code"], refused["upstream_status_code"]) == (422, 422)
    assert "error" not in refused
    assert (left["status_code"], left["error"]["type"]) == (499, "client_gone")
    for line in (broken, refused, left):
        assert line["client"] == "127.0.0.1"
        assert line["path"] == "/v1/chat/completions"
        assert line["request_id"]


async def test_behind_a_trusted_proxy_the_log_names_the_client_and_not_what_it_invents(tmp_path: Path) -> None:
    log = tmp_path / "access.log"
    async with running.scene(
        access_log_enabled=True,
        access_log_format="json",
        access_log_output=str(log),
        trusted_proxies="127.0.0.0/8,10.0.0.0/8",
    ) as scene:
        await scene.ask(running.chat("X-Forwarded-For: 6.6.6.6, 192.0.2.9, 10.0.0.1"))
    assert orjson.loads(log.read_bytes())["client"] == "192.0.2.9"


async def test_the_debug_pages_have_upstreams_schema() -> None:
    async with running.scene() as scene:
        port = scene.gateway.debug_port
        dump = "/debug/config_dump"
        (route,) = (await scene.get(f"{dump}/modelroutes", port)).json()["modelroutes"]
        assert (route["name"], route["namespace"]) == ("route", "default")
        assert route["spec"]["modelName"] == "llama"
        (server,) = (await scene.get(f"{dump}/modelservers", port)).json()["modelservers"]
        assert server["spec"]["inferenceEngine"] == "vLLM"
        (pod,) = (await scene.get(f"{dump}/pods", port)).json()["pods"]
        assert pod["modelServers"] == ["default/server"]
        assert pod["models"] == []
        assert pod["metrics"] == dict.fromkeys(
            ("gpuCacheUsage", "requestWaitingNum", "requestRunningNum", "tpot", "ttft"), 0
        )
        assert server["associatedPods"] == [f"{pod['namespace']}/{pod['name']}"]
        for empty in ("gateways", "httproutes", "inferencepools"):
            assert (await scene.get(f"{dump}/{empty}", port)).json() == {empty: []}
        one = await scene.get(f"{dump}/namespaces/default/modelroutes/route", port)
        assert one.json() == route
        missing = await scene.get(f"{dump}/namespaces/default/modelservers/nobody", port)
        assert (missing.status, missing.json()) == (404, {"error": "ModelServer not found"})


async def test_the_debug_pages_show_what_is_in_flight() -> None:
    async with running.scene() as scene:
        raw = await scene.connect()
        raw.say(running.chat("X-Mock-Hold-After: 0"))
        await scene.engine.until(lambda: scene.engine.held == 1)
        (pod,) = (await scene.get("/debug/config_dump/pods", scene.gateway.debug_port)).json()["pods"]
        assert pod["inFlight"] == 1
        scene.engine.release()
        assert (await raw.answer()).status == 200
        (pod,) = (await scene.get("/debug/config_dump/pods", scene.gateway.debug_port)).json()["pods"]
        assert pod["inFlight"] == 0


def a_pod_of_kubernetes(_: list[str]) -> Objects:
    meta = {"name": "p", "labels": {"app": "x"}}
    status = {
        "phase": "Running",
        "podIP": "127.0.0.9",
        "startTime": "2026-01-31T12:00:00Z",
        "conditions": [{"type": "Ready", "status": "True"}],
    }
    pod = decoding.decode(
        {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": {"nodeName": "n"}, "status": status}
    )
    spec = {"inferenceEngine": "vLLM", "model": "weights", "workloadPort": {"port": 8000}}
    selector = {"workloadSelector": {"matchLabels": {"app": "x"}}}
    server = decoding.decode(
        {
            "apiVersion": decoding.API_VERSION,
            "kind": "ModelServer",
            "metadata": {"name": "server"},
            "spec": spec | selector,
        }
    )
    assert isinstance(pod, Pod)
    assert isinstance(server, ModelServer)
    return Objects(servers={server.metadata.key: server}, pods={pod.metadata.key: pod})


async def test_the_debug_page_of_one_pod_says_where_it_runs() -> None:
    async with running.scene(given=a_pod_of_kubernetes) as scene:
        port = scene.gateway.debug_port
        (entry,) = (await scene.get("/debug/config_dump/pods", port)).json()["pods"]
        assert entry["models"] == ["weights"]
        one = (await scene.get("/debug/config_dump/namespaces/default/pods/p", port)).json()
        assert one.pop("podInfo") == {
            "podIP": "127.0.0.9",
            "nodeName": "n",
            "phase": "Running",
            "startTime": "2026-01-31T12:00:00Z",
            "labels": {"app": "x"},
        }
        assert one == entry


async def test_the_debug_pages_show_what_engines_say_of_themselves_where_they_are_asked() -> None:
    async with running.scene(enable_fairness_scheduling=True, metrics_scrape_interval=0.01) as scene:
        raw = await scene.connect()
        raw.say(running.chat("X-Mock-Hold-After: 0"))
        await scene.engine.until(lambda: scene.engine.held == 1)
        shown: dict[str, float] = {}
        async with asyncio.timeout(running.PATIENCE):
            while not shown.get("requestRunningNum"):
                (pod,) = (await scene.get("/debug/config_dump/pods", scene.gateway.debug_port)).json()["pods"]
                shown = pod["metrics"]
        assert (shown["requestRunningNum"], shown["requestWaitingNum"]) == (1, 0)
        scene.engine.release()
        assert (await raw.answer()).status == 200


async def test_the_access_log_names_the_user_also_where_nobody_waits(tmp_path: Path) -> None:
    log = tmp_path / "access.log"
    async with running.scene(
        access_log_enabled=True,
        access_log_format="json",
        access_log_output=str(log),
        enable_fairness_scheduling=False,
        fairness_user_sources=("body:user",),
    ) as scene:
        assert (await scene.ask(running.chat(user="alice"))).status == 200
    assert orjson.loads(log.read_bytes())["user"] == "alice"


async def test_the_debug_port_lists_its_pages() -> None:
    async with running.scene() as scene:
        index, same = [(await scene.get(path, scene.gateway.debug_port)).json() for path in ("/debug", "/debug/")]
        assert index == same
        assert {"/debug/config_dump/pods", "/debug/fairness", "/debug/runtime"} <= set(index["pages"])
        for page in index["pages"]:
            if "{" not in page and page != "/debug/fairness":
                assert (await scene.get(page, scene.gateway.debug_port)).status == 200, page


async def test_a_change_of_what_is_in_service_is_one_line_in_plain_words(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    async with running.scene() as scene:
        assert not [line for line in caplog.messages if line.startswith("in service")], (
            "the start says when it is ready"
        )
        assert observing.describe(scene.gateway.state.snapshot) == "1 model, 1 ModelServer, 1 pod"
        scene.source.change(running.objects(["127.0.0.1:1", "127.0.0.1:2"], adapters=["tuned"]))
        (line,) = (line for line in caplog.messages if line.startswith("in service"))
        assert line == "in service: 2 models, 1 ModelServer, 2 pods"
