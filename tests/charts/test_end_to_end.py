"""The chart in service: gateway and webhook run with what was rendered, on a real API server.

Nothing here is given to the two programs that the chart does not give them: their arguments, their environment and the
rights of their ServiceAccounts are those of the release.
"""

import concurrent.futures
import functools
import json
import ssl
import statistics
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from ruamel.yaml import YAML

from tests.charts import cluster, helm, manifests, running
from tests.charts.generated import CHART
from tests.charts.running import Engines, Program, Release, until
from tests.kube import apiserver
from tests.kube.apiserver import KubeApiServer
from tests.resources import corpus
from tests.webhook import asking

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

A_SECOND = 1.0

EXAMPLE = CHART.parents[1] / "docs" / "examples" / "mock-engines.yaml"


def test_1_a_simple_route(release: Release, gateway: Program, engines: Engines, namespace: str) -> None:
    engine = engines.start("org/qwen-small")
    release.server.apply(*manifests.read(manifests.SIMPLE, namespace, PORT=engine.port))
    release.server.apply(engine.pod(namespace, "qwen-0", {"app": "qwen-small"}))
    until(lambda: release.serves("assistant"), "the route serves")
    assert set(engine.models) == {"org/qwen-small"}
    for found in manifests.read(manifests.SIMPLE, namespace, PORT=engine.port):
        until(functools.partial(is_accepted, release.server, found), "its status says that it serves")


def test_kubectl_get_shows_whether_routes_and_servers_are_in_order(
    release: Release, gateway: Program, engines: Engines, namespace: str
) -> None:
    engine = engines.start("listed")
    server, objects = model_server(namespace, "listed", engine.port), route(namespace, "listed", "listed", "listed")
    dangling = route(namespace, "dangling", "dangling", "nobody")
    release.server.apply(server, objects, dangling, engine.pod(namespace, "listed-0", {"app": "listed"}))
    wanted: dict[str, list[dict[str, Any]]] = {
        "modelroutes": [
            {"Name": "dangling", "Model": "dangling", "Accepted": "True", "Resolved": "False"},
            {"Name": "listed", "Model": "listed", "Accepted": "True", "Resolved": "True"},
        ],
        "modelservers": [
            {"Name": "listed", "Engine": "vLLM", "Port": engine.port, "Protocol": "http"}
            | {"Accepted": "True", "Resolved": "True"}
        ],
    }
    for plural, rows in wanted.items():
        until(functools.partial(shows, release.server, namespace, plural, rows), f"{plural} are listed so")


def shows(server: KubeApiServer, namespace: str, plural: str, rows: list[dict[str, Any]]) -> bool:
    """Whether that is what `kubectl get` prints, the ages aside."""
    answer = httpx.get(
        f"{server.url}/apis/networking.serving.volcano.sh/v1alpha1/namespaces/{namespace}/{plural}",
        headers={"Authorization": f"Bearer {server.token}", "Accept": "application/json;as=Table;v=v1;g=meta.k8s.io"},
        verify=ssl.create_default_context(cafile=server.ca_file),
    ).json()
    names = [column["name"] for column in answer["columnDefinitions"]]
    found = [dict(zip(names, row["cells"], strict=True)) for row in answer["rows"]]
    return [{name: row[name] for name in row if name != "Age"} for row in found] == rows


def test_2_everything_in_one_file(release: Release, gateway: Program, engines: Engines) -> None:
    engine = engines.start("echo")
    objects = manifests.read(manifests.ALL_IN_ONE, "default", PORT=engine.port)
    release.server.apply(*objects, engine.pod("default", "echo-0", {"app": "echo"}))
    until(lambda: release.serves("echo"), "the route serves")
    assert [found["id"] for found in release.client.get("/v1/models").json()["data"] if found["id"] == "echo"]
    release.server.delete(*objects)


def test_the_example_of_the_documents_serves(
    release: Release, gateway: Program, webhook: Program, namespace: str, tmp_path: Path
) -> None:
    """docs/kubernetes.md's, whose Deployment is run as one pod."""
    port = running.free_port()
    text = EXAMPLE.read_text().replace("8000", str(port))
    deployment, *objects = (
        {**found, "metadata": {**found["metadata"], "namespace": namespace}}
        for found in YAML(typ="safe", pure=True).load_all(text)
    )
    cluster.dry_run(release.server, deployment)
    release.server.apply(*objects)
    template = deployment["spec"]["template"]
    (container,) = template["spec"]["containers"]
    ip = "127.0.0.9"
    arguments = [argument.replace("$(POD_IP)", ip) for argument in container["args"]]
    engine = Program(tmp_path, arguments, {}, tmp_path / "engine.log")
    try:
        probe = container["readinessProbe"]["httpGet"]["path"]
        until(lambda: httpx.get(f"http://{ip}:{port}{probe}").is_success, "the pod is ready")
        release.server.apply(apiserver.pod(namespace, "mock-engine-0", ip, template["metadata"]["labels"]))
        for found in objects:
            until(functools.partial(is_accepted, release.server, found), "its status says that it serves")
        assert release.serves("demo")
    finally:
        engine.stop()


def test_3_a_split_by_header(release: Release, gateway: Program, engines: Engines, namespace: str) -> None:
    large, small = engines.start("large"), engines.start("small")
    release.server.apply(
        *manifests.read(manifests.HEADERS, namespace, PORT=large.port, OTHER=small.port),
        large.pod(namespace, "large-0", {"app": "large"}),
        small.pod(namespace, "small-0", {"app": "small"}),
    )
    until(lambda: release.serves("tiers") and release.ask("tiers", **{"user-type": "premium"}).is_success, "both serve")
    before = (large.asked, small.asked)
    release.ask("tiers", **{"user-type": "premium"})
    assert (large.asked, small.asked) == (before[0] + 1, before[1])
    for headers in ({}, {"user-type": "free"}, {"user-type": ""}):
        release.ask("tiers", **headers)
    assert (large.asked, small.asked) == (before[0] + 1, before[1] + 3)


def test_4_a_weighted_canary(release: Release, gateway: Program, engines: Engines, namespace: str) -> None:
    old, new = engines.start("canary"), engines.start("canary")
    release.server.apply(
        *manifests.read(manifests.CANARY, namespace, PORT=old.port, OTHER=new.port),
        old.pod(namespace, "v1-0", {"app": "canary", "version": "v1"}),
        new.pod(namespace, "v2-0", {"app": "canary", "version": "v2"}),
    )
    until(lambda: release.serves("canary") and old.asked and new.asked, "both versions serve")
    before = (old.asked, new.asked)
    total = 600
    assert all(release.serves("canary") for _ in range(total))
    share = (new.asked - before[1]) / total
    assert (old.asked - before[0]) + (new.asked - before[1]) == total
    # Six standard deviations.
    assert share == pytest.approx(0.3, abs=0.113)


def test_15_the_oldest_of_two_routes_wins_and_the_next_takes_its_place(
    release: Release, gateway: Program, engines: Engines, namespace: str
) -> None:
    first, second = engines.start("twice"), engines.start("twice")
    server = release.server
    for name, engine in (("first", first), ("second", second)):
        server.apply(model_server(namespace, name, engine.port), engine.pod(namespace, f"{name}-0", {"app": name}))
    # By name the second would come first.
    older, newer = route(namespace, "zz-older", "twice", "first"), route(namespace, "aa-newer", "twice", "second")
    (applied,) = server.apply(older)
    # Their times are whole seconds.
    until(lambda: created(server.apply(newer, dry_run=True)[0]) > created(applied), "the clock's next second")
    server.apply(newer)
    until(lambda: release.serves("twice"), "the route serves")
    before = second.asked
    for _ in range(20):
        assert release.serves("twice")
    assert second.asked == before
    server.delete(older)
    until(lambda: release.serves("twice") and second.asked > before, "the next one serves")


def test_what_changes_in_the_cluster_is_in_service_within_a_second(
    release: Release, gateway: Program, engines: Engines, namespace: str
) -> None:
    server = release.server
    engine, other = engines.start("moving"), engines.start("moving")
    pod = engine.pod(namespace, "one-0", {"app": "one"})
    took = {}
    server.apply(model_server(namespace, "one", engine.port), model_server(namespace, "two", other.port))
    server.apply(pod, other.pod(namespace, "two-0", {"app": "two"}))
    moving = route(namespace, "moving", "moving", "one")
    server.apply(moving)
    took["a route was created"] = until(lambda: release.serves("moving"), "created")
    server.apply(route(namespace, "moving", "moving", "two"))
    took["its target was changed"] = until(lambda: release.serves("moving") and other.asked > 0, "changed")
    server.apply(route(namespace, "moving", "moving", "one"))
    before = engine.asked
    until(lambda: release.serves("moving") and engine.asked > before, "changed back")
    server.set_status(pod, apiserver.pod_status(engine.ip, is_ready=False))
    took["its pod is not ready"] = until(lambda: release.ask("moving").status_code == 503, "not ready")
    server.set_status(pod, apiserver.pod_status(engine.ip))
    took["it is ready again"] = until(lambda: release.serves("moving"), "ready")
    server.patch(pod, {"metadata": {"labels": {"app": "none"}}})
    took["it was relabelled"] = until(lambda: release.ask("moving").status_code == 503, "relabelled")
    server.patch(pod, {"metadata": {"labels": {"app": "one"}}})
    until(lambda: release.serves("moving"), "labelled back")
    server.delete(pod, grace_seconds=30)
    took["it terminates"] = until(lambda: release.ask("moving").status_code == 503, "terminating")
    server.delete(moving)
    took["the route was deleted"] = until(lambda: release.ask("moving").status_code == 404, "deleted")
    # One may have met a machine that was busy with something else.
    assert statistics.median(took.values()) < A_SECOND, took


@pytest.mark.parametrize("scenario", manifests.ACCEPTED)
def test_what_is_not_obeyed_yet_is_accepted_all_the_same(
    release: Release, webhook: Program, namespace: str, scenario: str
) -> None:
    for found in manifests.read(manifests.ACCEPTED[scenario], namespace):
        (stored,) = release.server.apply(found)
        # Nothing that was written is dropped.
        assert covers(stored["spec"], found["spec"])


def test_17_the_webhook_is_asked_by_the_api_server(release: Release, webhook: Program, namespace: str) -> None:
    server = release.server
    good = route(namespace, "adapters", "", "none")
    good["spec"] = {"loraAdapters": ["a"], "rules": [{"targetModels": [{"modelServerName": "none"}]}]}
    server.apply(good, dry_run=True)
    with pytest.raises(apiserver.Refused, match="404"):
        server.get(good)
    blank = {**good, "spec": {**good["spec"], "loraAdapters": ["a", ""]}}
    with pytest.raises(apiserver.Refused) as refused:
        server.apply(blank)
    assert 'admission webhook "validate-modelroute.volcano.sh" denied the request' in str(refused.value)
    assert "spec.loraAdapters[1]" in str(refused.value)
    with pytest.raises(apiserver.Refused, match="denied the request"):
        server.apply(blank, dry_run=True)
    server.apply(good)
    with pytest.raises(apiserver.Refused, match="denied the request"):
        server.apply(blank)
    server.patch(good, {"metadata": {"labels": {"seen": "true"}}})
    server.delete(good)


def test_the_webhooks_warnings_reach_whoever_writes(release: Release, webhook: Program, namespace: str) -> None:
    obj = route(namespace, "dangling", "dangling", "nobody")
    server = release.server
    answer = httpx.post(
        server.url + apiserver.path_of(obj).rpartition("/")[0],
        json=obj,
        headers={"Authorization": f"Bearer {server.token}"},
        verify=ssl.create_default_context(cafile=server.ca_file),
    )
    assert answer.status_code == 201
    assert "nobody" in answer.headers["Warning"]


def test_an_object_that_predates_the_webhook_can_be_labelled_and_deleted(release: Release, namespace: str) -> None:
    """It is not asked where the spec does not change, so it need not even be there."""
    server = release.server
    configuration = release.rendered.of("ValidatingWebhookConfiguration")[0]
    stored = server.get(configuration)
    obj = route(namespace, "old", "old", "none")
    obj["metadata"]["finalizers"] = ["example.org/wait"]
    server.request("DELETE", apiserver.path_of(configuration))
    try:
        bad = {**obj, "spec": {**obj["spec"], "loraAdapters": [""]}}
        until(lambda: not refuses(server, bad), "nobody is asked")
        server.apply(bad)
    finally:
        meta = {key: stored["metadata"][key] for key in ("name", "labels", "annotations") if key in stored["metadata"]}
        collection = apiserver.path_of(configuration).rpartition("/")[0]
        server.request("POST", collection, {**stored, "metadata": meta})
    until(lambda: refuses(server, {**obj, "spec": {**obj["spec"], "loraAdapters": ["", ""]}}), "it is asked again")
    server.patch(obj, {"metadata": {"labels": {"seen": "true"}}})
    server.delete(obj)
    server.patch(obj, {"metadata": {"finalizers": None}})
    with pytest.raises(apiserver.Refused, match="404"):
        server.get(obj)


def test_helms_test_passes(release: Release, gateway: Program, webhook: Program) -> None:
    (container,) = release.rendered.one("Pod", f"{helm.GATEWAY}-test")["spec"]["containers"]
    script, *urls = container["args"]
    # Where its names and the Services' ports lead.
    leads = {
        f"{helm.GATEWAY}.{helm.NAMESPACE}:80": f"127.0.0.1:{release.ports['http']}",
        f"{helm.GATEWAY}-metrics.{helm.NAMESPACE}:{release.ports['metrics']}": f"127.0.0.1:{release.ports['metrics']}",
        f"{helm.WEBHOOK}.{helm.NAMESPACE}.svc/": f"127.0.0.1:{release.ports['https']}/",
    }
    for name, address in leads.items():
        assert [url for url in urls if name in url]
        urls = [url.replace(name, address) for url in urls]
    done = subprocess.run([sys.executable, "-c", script, *urls], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    assert done.stdout.count(": ok") == 4


def test_the_gateway_lives_within_its_memory_with_all_the_bodies_that_it_takes(
    release: Release, gateway: Program, engines: Engines, namespace: str
) -> None:
    engine = engines.start("large", first_token_delay=3.0)
    release.server.apply(
        model_server(namespace, "large", engine.port),
        engine.pod(namespace, "large-0", {"app": "large"}),
        route(namespace, "large", "large", "large"),
    )
    until(lambda: release.serves("large"), "the route serves")
    body = b'{"model": "large", "messages": [{"role": "user", "content": "%s"}]}' % (b"a" * (31 * 2**20))

    def ask() -> int:
        with httpx.Client(timeout=60) as client:
            return client.post(f"{release.client.base_url}/v1/chat/completions", content=body).status_code

    # Together nearly MAX_BUFFERED_BYTES, all of it held until the engine answers.
    with concurrent.futures.ThreadPoolExecutor(8) as threads:
        statuses = [future.result() for future in [threads.submit(ask) for _ in range(8)]]
    assert set(statuses) == {200}
    assert release.rendered.container(helm.GATEWAY)["resources"]["limits"]["memory"] == "512Mi"
    assert gateway.most_memory < 512 * 2**20


def test_the_webhook_lives_within_its_memory_with_the_largest_objects(release: Release, webhook: Program) -> None:
    """As many updates of objects of 3 MB as it holds at once, sent as an API server sends them."""
    headers = {f"x-header-{number:07}": {"exact": "v" * 64} for number in range(30_000)}
    before = corpus.matching(headers=headers)
    body = json.dumps(asking.review(asking.changed(before, loraAdapters=["a"]), before)).encode()
    url = f"https://127.0.0.1:{release.ports['https']}{asking.path('ModelRoute')}"

    def ask() -> bool:
        with httpx.Client(verify=False, timeout=60) as client:
            answer = client.post(url, content=body, headers={"Content-Type": "application/json"})
            return bool(answer.json()["response"]["allowed"])

    with concurrent.futures.ThreadPoolExecutor(5) as threads:
        assert all(future.result() for future in [threads.submit(ask) for _ in range(5)])
    assert release.rendered.container(helm.WEBHOOK)["resources"]["limits"]["memory"] == "512Mi"
    assert webhook.most_memory < 384 * 2**20


def test_every_field_is_described_in_the_openapi_of_the_api_server(release: Release) -> None:
    served = release.server.request("GET", "/openapi/v3/apis/networking.serving.volcano.sh/v1alpha1")
    schemas = {name.rpartition(".")[2]: node for name, node in served["components"]["schemas"].items()}
    for kind in ("ModelRoute", "ModelServer", "ExternalModelProvider"):
        assert list(silent(schemas[kind]["properties"], kind)) == []


def test_neither_program_was_denied_anything(release: Release, gateway: Program, webhook: Program) -> None:
    """All that came before was within the rendered rights. (Only a server that has just started denies what it has yet
    to read.)"""
    for program in (gateway, webhook):
        assert program.is_running
        assert "forbidden" not in program.log.lower()


def test_no_request_fails_while_the_api_server_is_away_and_what_came_meanwhile_is_served(
    release: Release, gateway: Program, engines: Engines, namespace: str
) -> None:
    server = release.server
    engine = engines.start("steady", "late")
    server.apply(
        model_server(namespace, "steady", engine.port),
        engine.pod(namespace, "steady-0", {"app": "steady"}),
        route(namespace, "steady", "steady", "steady"),
    )
    until(lambda: release.serves("steady"), "the route serves")
    done = threading.Event()

    def load() -> list[int]:
        statuses = []
        while not done.is_set():
            statuses.append(release.ask("steady").status_code)
        return statuses

    with concurrent.futures.ThreadPoolExecutor(4) as threads:
        asking = [threads.submit(load) for _ in range(4)]
        try:
            server.stop_apiserver()
            away = engine.asked
            until(lambda: "cannot be" in detail(release), "the gateway says that it is on its own")
            until(lambda: engine.asked > away + 200, "requests are served without the API server")
            assert running.is_ready(release.ports["metrics"])
            server.start()
            server.apply(route(namespace, "late", "late", "steady"))
            until(lambda: release.serves("late"), "what came meanwhile is served")
        finally:
            done.set()
        statuses = [status for future in asking for status in future.result()]
    assert len(statuses) > 200
    assert set(statuses) == {200}


def route(namespace: str, name: str, model: str, server: str) -> helm.Object:
    return {
        "apiVersion": "networking.serving.volcano.sh/v1alpha1",
        "kind": "ModelRoute",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"modelName": model, "rules": [{"targetModels": [{"modelServerName": server}]}]},
    }


def model_server(namespace: str, name: str, port: int) -> helm.Object:
    return {
        "apiVersion": "networking.serving.volcano.sh/v1alpha1",
        "kind": "ModelServer",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "inferenceEngine": "vLLM",
            "workloadSelector": {"matchLabels": {"app": name}},
            "workloadPort": {"port": port},
        },
    }


def is_accepted(server: KubeApiServer, obj: helm.Object) -> bool:
    written = server.get(obj).get("status", {}).get("conditions", ())
    return {entry["type"]: entry["status"] for entry in written} == {"Accepted": "True", "ResolvedRefs": "True"}


def created(obj: helm.Object) -> str:
    return str(obj["metadata"]["creationTimestamp"])


def detail(release: Release) -> str:
    return httpx.get(f"http://127.0.0.1:{release.ports['metrics']}/readyz").text


def refuses(server: KubeApiServer, obj: helm.Object) -> bool:
    try:
        server.apply(obj, dry_run=True)
    except apiserver.Refused as refusal:
        return "denied the request" in str(refusal)
    return False


def covers(stored: Any, given: Any) -> bool:
    """Whether all that was given is there; defaults may be too."""
    if isinstance(given, dict):
        return all(key in stored and covers(stored[key], value) for key, value in given.items())
    if isinstance(given, list):
        return len(stored) == len(given) and all(map(covers, stored, given))
    return bool(stored == given)


def silent(properties: dict[str, Any], path: str) -> Iterator[str]:
    """Fields without a description."""
    for name, node in properties.items():
        at = f"{path}.{name}"
        if not node.get("description") and not any(part.get("$ref") for part in node.get("allOf", ())):
            yield at
        for below in (node, node.get("items", {}), node.get("additionalProperties", {})):
            if isinstance(below, dict):
                yield from silent(below.get("properties", {}), at)
