"""Life inside one process: from the first moment, through what is not read yet, to the last byte of a drain."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kthena_fast.gateway import app, router_config
from kthena_fast.gateway.inference import InferenceWay
from kthena_fast.mock_engine import EngineConfig
from kthena_fast.routing.objects import Objects
from kthena_fast.serving import listening
from kthena_fast.settings import Settings
from kthena_fast.sources import Fault, Observation
from tests.gateway import running

OPTIONS = app.Options(host="127.0.0.1", port=0, metrics_port=0, debug_port=0)
QUIET = Settings(access_log_enabled=False)


def nothing_yet(_: list[str]) -> None:
    return None


def test_a_gateway_that_was_not_told_otherwise_listens_on_both_families() -> None:
    assert app.Options().host == "::"


async def test_health_is_there_before_anything_was_read_and_readiness_says_what_is_missing() -> None:
    async with running.scene(given=nothing_yet) as scene:
        for port in (scene.gateway.port, scene.gateway.metrics_port):
            assert (await scene.get("/healthz", port)).status == 200
            ready = await scene.get("/readyz", port)
            assert (ready.status, ready.json()["detail"]) == (503, "no objects have been read yet")


async def test_before_the_first_sync_a_model_is_503_not_synced_and_never_404() -> None:
    async with running.scene(given=nothing_yet) as scene:
        answers = [await scene.ask(running.chat()), await scene.get("/v1/models"), await scene.get("/v1/models/llama")]
        for answer in answers:
            assert (answer.status, answer.code) == (503, "not_synced")
            assert "retry-after" in answer.headers
        address = scene.servers[0].url.removeprefix("http://")
        scene.source.change(running.objects([address]))
        assert (await scene.get("/readyz")).status == 200
        assert (await scene.ask(running.chat())).status == 200


async def test_what_cannot_be_read_is_told_and_what_was_read_before_serves_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    pods, servers = (Fault(resource, "", "the server is away") for resource in ("pods", "modelservers"))
    with caplog.at_level(logging.INFO):
        async with running.scene() as scene:
            objects = running.objects([scene.servers[0].url.removeprefix("http://")])
            scene.source.change(objects, pods)
            scene.source.change(objects, pods, servers)
            ready = await scene.get("/readyz")
            assert ready.status == 200
            assert ready.json()["detail"] == (
                "pods cannot be read: the server is away; modelservers cannot be read: the server is away; "
                "what was read before serves on"
            )
            shown = await scene.metrics()
            assert 'kthena_fast_source_faults{resource="pods"} 1.0' in shown
            assert (await scene.ask(running.chat())).status == 200
            scene.source.change(objects, servers)
            assert 'kthena_fast_source_faults{resource="pods"} 0.0' in await scene.metrics()
            scene.source.change(objects)
            assert (await scene.get("/readyz")).json() == {"message": "router is ready"}
    said = [record.message for record in caplog.records if "can be read again" in record.message]
    assert said == ["pods can be read again", "modelservers can be read again"]
    assert caplog.text.count("pods cannot be read: the server is away; what was read before serves on") == 1


async def test_before_the_first_sync_readiness_says_what_cannot_be_read(caplog: pytest.LogCaptureFixture) -> None:
    async with running.scene(given=nothing_yet) as scene:
        scene.source.change(Objects(), Fault("pods", "team", "it is forbidden"), synced=False)
        ready = await scene.get("/readyz")
        assert (ready.status, ready.json()["detail"]) == (503, "pods of team cannot be read: it is forbidden")
        assert (await scene.ask(running.chat())).code == "not_synced"
    assert "pods of team cannot be read: it is forbidden; the gateway is not ready before it was read" in caplog.text


class Failing:
    async def run(self, publish: Callable[[Observation], None]) -> None:
        raise RuntimeError("the disk is gone")


async def test_a_source_that_fails_at_once_is_told_by_readiness(caplog: pytest.LogCaptureFixture) -> None:
    async with app.running(OPTIONS, QUIET, Failing()) as gateway:
        # The task of the source runs when this one waits.
        await asyncio.sleep(0)
        assert "the disk is gone" in gateway.state.detail
        assert "the source of objects failed" in caplog.text


async def test_a_failed_start_leaves_nothing_open() -> None:
    tasks = asyncio.all_tasks()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        options = app.Options(host="127.0.0.1", port=0, metrics_port=taken.getsockname()[1], debug_port=0)
        gateway = app.Gateway(options, QUIET, running.Given(None))
        with pytest.raises(app.CannotStart, match=rf"--metrics-port {options.metrics_port}: .* already in use"):
            await gateway.start()
    assert asyncio.all_tasks() == tasks
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", gateway.port)


ABSENT = "/nowhere/at/all"
BAD_STARTS: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "a certificate that is not there": (
        {"tls_cert": Path(ABSENT), "tls_key": Path(ABSENT)},
        {},
        rf"--tls-cert {ABSENT} and --tls-key {ABSENT} do not load: .* No such file .* are allowed",
    ),
    "a router configuration that is not there": (
        {"router_config": Path(ABSENT)},
        {},
        rf"--router-config {ABSENT}: .* No such file",
    ),
    "an access log that cannot be opened": (
        {},
        {"access_log_output": ABSENT},
        rf"ACCESS_LOG_OUTPUT='{ABSENT}' cannot be opened: No such file.*; stdout, stderr or the path of a file",
    ),
    "weights by which nobody is charged": (
        {},
        {"enable_fairness_scheduling": True, "fairness_input_token_weight": 0, "fairness_output_token_weight": 0},
        "a weight must be above 0, .*: FAIRNESS_PRIORITY_REQUEST_NUM_WEIGHT, or FAIRNESS_PRIORITY_TOKEN_WEIGHT times",
    ),
    "an authority that is not there": (
        {},
        {"upstream_ca_file": ABSENT},
        rf"UPSTREAM_CA_FILE='{ABSENT}' does not load: .* No such file .*; a file of PEM certificates is allowed",
    ),
}


@pytest.mark.parametrize("what", BAD_STARTS)
async def test_what_cannot_be_had_is_named_with_its_value_and_leaves_no_task(what: str) -> None:
    options, settings, why = BAD_STARTS[what]
    tasks = asyncio.all_tasks()
    gateway = app.Gateway(dataclasses.replace(OPTIONS, **options), Settings(**settings), running.Given(None))
    with pytest.raises(app.CannotStart, match=why) as caught:
        await gateway.start()
    assert "\n" not in str(caught.value)
    assert asyncio.all_tasks() == tasks


async def test_a_stopped_gateway_leaves_no_task_and_no_port() -> None:
    tasks = asyncio.all_tasks()
    async with app.running(OPTIONS, QUIET, running.Given(None)) as gateway:
        ports = [gateway.port, gateway.metrics_port, gateway.debug_port]
    assert asyncio.all_tasks() == tasks
    for port in ports:
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", port)


async def test_a_drain_waits_until_a_slow_client_has_taken_its_answer() -> None:
    size = 50_000
    config = EngineConfig(models=(running.MODEL,))
    async with running.scene(config) as scene:
        raw = await scene.connect(receive_buffer=4096)
        raw.say(running.get("/healthz"))
        assert (await raw.answer()).status == 200
        # What the kernel does not take waits in the process, and is gone with it.
        way = scene.gateway._way
        assert isinstance(way, InferenceWay)
        (connection,) = way.server.connections
        assert connection.transport is not None
        sock = connection.transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        raw.reader._transport.pause_reading()  # type: ignore[attr-defined]
        raw.say(running.chat(f"X-Mock-Fault: big-body:{size}"))
        await scene.engine.until(lambda: scene.engine.arrivals == 1)
        await scene.settled()
        assert connection.transport.get_write_buffer_size() > 0, "or this test shows nothing"
        draining = asyncio.create_task(scene.gateway.drain())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert not draining.done()
        raw.reader._transport.resume_reading()  # type: ignore[attr-defined]
        answer = await raw.answer()
        assert answer.status == 200
        assert len(answer.body) > size
        await running.within(running.PATIENCE, draining)


async def test_a_drain_without_anything_to_wait_for_is_over_at_once() -> None:
    async with running.scene() as scene:
        await running.within(running.PATIENCE, scene.gateway.drain())
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection(scene.host, scene.gateway.port)


async def test_a_connection_whose_answer_ends_after_the_listener_closed_is_closed() -> None:
    async with running.scene() as scene:
        raw = await scene.connect()
        raw.say(running.chat("X-Mock-Hold-After: 1", "X-Mock-Output-Tokens: 2", stream=True))
        _, _, headers = await raw.head()
        assert "connection" not in headers, "it began before the drain"
        draining = asyncio.create_task(scene.gateway.drain())
        await scene.engine.until(lambda: scene.engine.held == 1)
        scene.engine.release()
        assert (await raw.rest()).endswith(b"0\r\n\r\n")
        await running.within(running.PATIENCE, draining)


async def test_debug_shows_what_the_process_holds() -> None:
    async with running.scene() as scene:
        port = scene.gateway.debug_port
        before = (await scene.get("/debug/runtime?collect=true", port)).json()
        raw = await scene.connect()
        raw.say(running.chat("X-Mock-Hold-After: 0"))
        await scene.engine.until(lambda: scene.engine.held == 1)
        during = (await scene.get("/debug/runtime", port)).json()
        assert (before["requests"], during["requests"]) == (0, 1)
        assert (before["clientConnections"], during["clientConnections"]) == (0, 1)
        assert during["tasks"] > before["tasks"]
        assert during["descriptors"] > before["descriptors"]
        scene.engine.release()
        assert (await raw.answer()).status == 200
        await raw.leave()
        assert scene.gateway._way is not None
        await running.within(running.PATIENCE, scene.gateway._way.emptied())
        after = (await scene.get("/debug/runtime", port)).json()
        assert (after["requests"], after["idleEngineConnections"], after["deadlines"]) == (0, 1, 0)


def test_localhost_is_found_at_its_ipv4_address() -> None:
    with contextlib.closing(listening.open_socket("--debug-port", "localhost", 0)) as opened:
        assert opened.getsockname()[0] == "127.0.0.1"


def test_a_host_that_is_not_one_names_the_flag() -> None:
    with pytest.raises(listening.CannotListen, match=r"--port 80: cannot listen on nowhere\.invalid:80: "):
        listening.open_socket("--port", "nowhere.invalid", 80)


def test_the_wildcard_takes_ipv4_and_ipv6() -> None:
    with contextlib.closing(listening.open_socket("--port", "::", 0)) as opened:
        for host in ("127.0.0.1", "::1"):
            with socket.create_connection((host, listening.port_of(opened)), timeout=running.PATIENCE):
                pass


async def test_a_burst_of_clients_is_held_until_the_loop_has_time_for_them() -> None:
    async with app.running(OPTIONS, QUIET, running.Given(None)) as gateway:
        with contextlib.ExitStack() as closing:
            # This thread is the gateway's too, which accepts nothing meanwhile.
            clients = [
                closing.enter_context(socket.create_connection(("127.0.0.1", gateway.port), timeout=running.PATIENCE))
                for _ in range(300)
            ]
            clients[-1].sendall(running.get("/healthz"))
            assert await asyncio.to_thread(clients[-1].recv, 12) == b"HTTP/1.1 200"


CONFIG = """
auth:
scheduler:
  pluginConfig:
  - name: least-latency
    args: {TTFTTPOTWeightFactor: 0.5}
  plugins:
    Filter: {enabled: [least-requests]}
    Score:
      enabled:
      - {name: least-latency, weight: 1}
"""


def test_plugins_are_announced_as_not_obeyed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "routerConfiguration.yaml"
    path.write_text(CONFIG)
    router_config.Followed(path)
    (said,) = caplog.messages
    assert said.startswith(f"{path}: scheduler.plugins: plugins are not built yet (least-requests, least-latency): ")


BAD_CONFIGS = {
    "not YAML": ("a: [", "while parsing"),
    "a list": ("- a", "must be a mapping"),
    "a wrong type": ("scheduler: 7", "scheduler"),
    "a date that is none": ("a: 2001-99-99", "month"),
    "a key twice": ("auth: {}\nauth: {}\n", "duplicate key"),
    "authentication": ("auth: {jwksUri: 'https://a.test'}", "auth.jwksUri: 'https://a.test' is not allowed"),
}


@pytest.mark.parametrize("what", BAD_CONFIGS)
def test_a_bad_router_configuration_is_one_line_with_the_file_and_the_reason(what: str, tmp_path: Path) -> None:
    text, reason = BAD_CONFIGS[what]
    path = tmp_path / "routerConfiguration.yaml"
    path.write_text(text)
    with pytest.raises(router_config.BadRouterConfig) as caught:
        router_config.read(path)
    said = str(caught.value)
    assert said.startswith(f"--router-config {path}: ")
    assert reason in said
    assert "\n" not in said


def test_a_changed_router_configuration_is_read_and_a_bad_one_is_not(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    path = tmp_path / "routerConfiguration.yaml"
    path.write_text("auth: {issuer: first}\n")
    followed = router_config.Followed(path)
    assert not followed.look()
    path.write_text("auth: {issuer: second}\n")
    assert followed.look()
    assert followed.config.auth.issuer == "second"
    path.write_text("auth: {jwksUri: 'https://a.test'}\n")
    assert not followed.look()
    assert not followed.look()
    assert followed.config.auth.issuer == "second"
    assert [line for line in caplog.messages if "what was read before stays" in line] == [caplog.messages[-1]]
