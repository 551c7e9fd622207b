"""Releases other than the plain one, in service: what is mounted, and what may be read in some namespaces only."""

import base64
import concurrent.futures
import contextlib
import functools
import re
import socket
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
import trustme
from ruamel.yaml import YAML

from tests.charts import cluster, helm, manifests, quota
from tests.charts.running import PATIENCE, Engines, Release, is_ready, until
from tests.charts.test_end_to_end import model_server, refuses, route
from tests.kube import apiserver, binaries
from tests.kube.apiserver import KubeApiServer

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]


@contextlib.contextmanager
def installed(server: KubeApiServer, folder: Path, values: helm.Object, name: str) -> Iterator[Release]:
    release = Release(server, folder, values, name)
    try:
        yield release
    finally:
        release.close()


LATER = datetime(2037, 1, 1, tzinfo=UTC)


def secret(server: KubeApiServer, name: str, authority: trustme.CA, *names: str, ends: datetime | None = None) -> None:
    """A Secret of type kubernetes.io/tls, as somebody's own PKI would make it."""
    pair = authority.issue_cert(*names, not_after=ends)
    data = {"tls.crt": b"".join(part.bytes() for part in pair.cert_chain_pems), "tls.key": pair.private_key_pem.bytes()}
    server.apply(apiserver.namespace(helm.NAMESPACE))
    server.apply(
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": name, "namespace": helm.NAMESPACE},
            "type": "kubernetes.io/tls",
            "data": {key: base64.b64encode(part).decode() for key, part in data.items()},
        }
    )


def test_certificates_of_ones_own_and_files_that_are_mounted(
    server: KubeApiServer, engines: Engines, namespace: str, tmp_path: Path
) -> None:
    authority = trustme.CA()
    secret(server, "gateway-tls", authority, "localhost")
    secret(server, "own-webhook-certs", authority, f"own-webhook.{helm.NAMESPACE}.svc")
    bundle = base64.b64encode(authority.cert_pem.bytes()).decode()
    gateway = {
        "tls": {"enabled": True, "secretName": "gateway-tls"},
        "fairness": {"enabled": True, "shares": {"users": {"alice": {"share": 3}}}},
        "routerConfiguration": {"scheduler": {"plugins": {"Filter": {"enabled": ["least-request"]}}}},
    }
    values = {
        "global": {"certManagementMode": "manual", "webhook": {"caBundle": bundle}},
        # With certificates of somebody else's and nothing to look up, the webhook is given no token at all.
        "networking": {"inferGateway": gateway, "webhook": {"clusterWarnings": False}},
    }
    engine = engines.start("own")
    with installed(server, tmp_path, values, "own") as release:
        release.route_webhook()
        with release.running(release.webhook), release.running(release.gateway) as program:
            server.apply(
                model_server(namespace, "own", engine.port),
                engine.pod(namespace, "own-0", {"app": "own"}),
                route(namespace, "own", "own", "own"),
            )
            bad = route(namespace, "bad", "bad", "own")
            bad["spec"]["loraAdapters"] = [""]
            assert refuses(server, bad)
            context = httpx.create_ssl_context()
            authority.configure_trust(context)
            url = f"https://localhost:{release.ports['http']}/v1/chat/completions"
            body = {"model": "own", "messages": [{"role": "user", "content": "Hello!"}], "user": "alice"}

            def serves() -> bool:
                return httpx.post(url, json=body, verify=context).is_success

            until(serves, "the route serves")
            fairness = f"http://localhost:{release.ports['debug']}/debug/fairness?model=own&user=alice"
            assert share(fairness) == 3
            assert "plugins are not built yet (least-request)" in program.log


def test_16_a_changed_configuration_reaches_the_gateway_that_runs(
    server: KubeApiServer, engines: Engines, namespace: str, tmp_path: Path
) -> None:
    """As Helm renders the change and the kubelet mounts it, while requests come: no pod is started for it."""
    first = {"scheduler": {"plugins": {"Filter": {"enabled": ["least-request"]}}}}
    second = YAML(typ="safe", pure=True).load(manifests.SCHEDULER)
    values = helm.gateway(
        fairness={"enabled": True, "shares": {"users": {"alice": {"share": 3}}}}, routerConfiguration=first
    )
    values["networking"]["webhook"] = {"enabled": False}
    engine = engines.start("changing")
    with installed(server, tmp_path, values, "changing") as release, release.running(release.gateway) as program:
        server.apply(
            model_server(namespace, "changing", engine.port),
            engine.pod(namespace, "changing-0", {"app": "changing"}),
            route(namespace, "changing", "changing", "changing"),
        )
        body = {"model": "changing", "messages": [{"role": "user", "content": "Hello!"}], "user": "alice"}
        fairness = f"http://localhost:{release.ports['debug']}/debug/fairness?model=changing&user=alice"

        def serves() -> bool:
            return release.client.post("/v1/chat/completions", json=body).is_success

        def changed(**fields: Any) -> None:
            pods = release.rendered.one("Deployment", release.gateway)["spec"]["template"]
            release.upgrade(helm.gateway(**fields))
            assert release.rendered.one("Deployment", release.gateway)["spec"]["template"] == pods
            release.mount(release.gateway)

        def logs(words: str) -> bool:
            assert serves()
            return words in program.log

        until(serves, "the route serves")
        assert share(fairness) == 3
        assert "plugins are not built yet (least-request)" in program.log
        changed(routerConfiguration=second)
        named = "(least-request, lora-affinity, prefix-cache, gpu-usage, random)"
        until(lambda: logs(named), "the gateway says what it does not obey of the new one")
        assert "config/routerConfiguration.yaml was reloaded" in program.log
        # By hand, past what the chart refuses: one that cannot be obeyed leaves what was obeyed before.
        (config,) = [each for each in release.rendered.of("ConfigMap") if "routerConfiguration.yaml" in each["data"]]
        closed = "auth: {jwksUri: https://issuer.example.org/keys}"
        server.apply({**config, "data": config["data"] | {"routerConfiguration.yaml": closed}})
        release.mount(release.gateway)
        until(lambda: logs("what was read before stays"), "the gateway says why it does not take it")
        changed(fairness={"shares": {"users": {"alice": {"share": 7}}}})
        # What was counted of a user is told by the share that he had when he was last here.
        until(lambda: assert_holds(serves) and share(fairness) == 7, "the new shares are in service")


def test_certificates_of_cert_managers_are_served_and_renewed_without_a_refused_write(
    server: KubeApiServer, namespace: str, tmp_path: Path
) -> None:
    """What cert-manager does of what the chart asks it is done here by hand."""
    try:
        server.install_crds(cluster.foreign_schemas())
    except binaries.Missing as missing:
        pytest.skip(str(missing))
    values = {"global": {"certManagementMode": "cert-manager"}}
    with installed(server, tmp_path, values, "managed") as release:
        asked = release.rendered.one("Certificate", release.webhook)["spec"]
        authority = trustme.CA()
        secret(server, asked["secretName"], authority, *asked["dnsNames"])
        (configuration,) = release.rendered.of("ValidatingWebhookConfiguration")
        wanted = configuration["metadata"]["annotations"]["cert-manager.io/inject-ca-from"]
        assert wanted == f"{helm.NAMESPACE}/{release.webhook}"
        bundle = base64.b64encode(authority.cert_pem.bytes()).decode()
        for entry in configuration["webhooks"]:
            entry["clientConfig"]["caBundle"] = bundle
        server.apply(configuration)
        release.route_webhook()
        bad = route(namespace, "bad", "bad", "none")
        bad["spec"]["loraAdapters"] = [""]
        with release.running(release.webhook) as program:
            until(lambda: refuses(server, bad), "the API server asks the webhook")
            ends = expiry(release)
            authority_stays = functools.partial(refuses, server, bad)
            secret(server, asked["secretName"], authority, *asked["dnsNames"], ends=LATER)
            release.mount(release.webhook)
            # Each of the looks is a review: none of them fails.
            until(lambda: assert_holds(authority_stays) and expiry(release) != ends, "the new one is in service")
            assert "forbidden" not in program.log.lower()


def test_from_a_certificate_of_ones_own_to_auto_the_webhook_is_asked_again_and_the_secret_stays(
    server: KubeApiServer, namespace: str, tmp_path: Path
) -> None:
    """Helm takes the bundle away with the mode; of a pair without `ca.crt` the webhook could not bring it back."""
    authority = trustme.CA()
    secret(server, "leaving-webhook-certs", authority, f"leaving-webhook.{helm.NAMESPACE}.svc")
    meta = {"name": "leaving-webhook-certs", "namespace": helm.NAMESPACE}
    mine = server.get({"apiVersion": "v1", "kind": "Secret", "metadata": meta})
    bundle = base64.b64encode(authority.cert_pem.bytes()).decode()
    values = {"global": {"certManagementMode": "manual", "webhook": {"caBundle": bundle}}}
    bad = route(namespace, "bad", "bad", "none")
    bad["spec"]["loraAdapters"] = [""]
    with installed(server, tmp_path, values, "leaving") as release:
        release.route_webhook()
        with release.running(release.webhook):
            until(lambda: refuses(server, bad), "the API server asks the webhook")
        release.upgrade({"global": {"certManagementMode": "auto", "webhook": {"caBundle": ""}}})
        with release.running(release.webhook):
            until(lambda: refuses(server, bad), "the API server trusts what the webhook has made")
    assert server.get({"apiVersion": "v1", "kind": "Secret", "metadata": meta}) == mine


def assert_holds(what: Callable[[], bool]) -> bool:
    assert what()
    return True


def expiry(release: Release) -> str:
    page = httpx.get(f"http://127.0.0.1:{release.ports['webhook-metrics']}/metrics").text
    (line,) = re.findall(r"^kthena_fast_webhook_certificate_expiry_timestamp_seconds .*$", page, re.MULTILINE)
    return str(line)


def share(page: str) -> float:
    (entry,) = httpx.get(page).json()["service"]
    return float(entry["share"])


@contextlib.contextmanager
def flood(port: int) -> Iterator[None]:
    """As many requests as the gateway can answer, from a few connections on which the next are sent before the last
    are answered."""
    asked = b"GET /v1/models HTTP/1.1\r\nHost: gateway\r\n\r\n" * 64
    ended = threading.Event()

    def ask() -> int:
        found = 0
        with socket.create_connection(("127.0.0.1", port)) as connection:
            connection.settimeout(PATIENCE)
            while not ended.is_set():
                connection.sendall(asked)
                read = b""
                while read.count(b"HTTP/1.1 200 OK\r\n") < 64 or not read.endswith(b"}"):
                    piece = connection.recv(2**16)
                    assert piece, "the gateway closed a connection"
                    read += piece
                found += 64
        return found

    with concurrent.futures.ThreadPoolExecutor(4) as threads:
        running = [threads.submit(ask) for _ in range(4)]
        try:
            yield
        finally:
            ended.set()
        assert all(future.result() for future in running)


def test_the_gateway_starts_and_answers_its_probes_in_time_on_the_half_core_that_it_has(
    server: KubeApiServer, engines: Engines, namespace: str, tmp_path: Path
) -> None:
    engine = engines.start("half")
    with installed(server, tmp_path, {"networking": {"webhook": {"enabled": False}}}, "half") as release:
        container = release.rendered.container(release.gateway)
        assert container["resources"]["limits"]["cpu"] == "500m"
        startup = container["startupProbe"]
        port = release.ports["metrics"]
        program = release.start(release.gateway)
        try:
            with quota.held(program.pid, 0.5):
                most = startup["periodSeconds"] * startup["failureThreshold"]
                until(lambda: is_ready(port), "the gateway is ready", patience=most / 10)
            server.apply(
                model_server(namespace, "half", engine.port),
                engine.pod(namespace, "half-0", {"app": "half"}),
                route(namespace, "half", "half", "half"),
            )
            until(lambda: release.serves("half"), "the route serves")
            with quota.held(program.pid, 0.5) as held, flood(release.ports["http"]):
                for _ in range(20):
                    for probe in (container["livenessProbe"], container["readinessProbe"]):
                        url = f"http://127.0.0.1:{port}{probe['httpGet']['path']}"
                        # As the kubelet asks, on a connection of its own: one answer that is late would be one failure.
                        assert httpx.get(url, timeout=probe["timeoutSeconds"]).status_code == 200
                    assert release.serves("half")
            # Without the quota it takes a core, where others leave it one.
            assert held.used < held.lasted * 0.6, held
            assert program.is_running
        finally:
            program.stop()


def test_with_a_list_of_namespaces_the_gateway_reads_these_with_roles_alone(
    server: KubeApiServer, engines: Engines, tmp_path: Path
) -> None:
    ours, theirs = server.create_namespace(), server.create_namespace()
    values = {"networking": {"namespaces": [ours], "webhook": {"enabled": False}}}
    engine = engines.start("ours", "theirs")
    with installed(server, tmp_path, values, "tenant") as release:
        assert release.rendered.of("ClusterRole") == []
        for namespace, model in ((ours, "ours"), (theirs, "theirs")):
            server.apply(
                model_server(namespace, "m", engine.port),
                engine.pod(namespace, "m-0", {"app": "m"}),
                route(namespace, "m", model, "m"),
            )
        with release.running(release.gateway) as program:
            until(lambda: release.serves("ours"), "the route serves")
            assert release.ask("theirs").status_code == 404
            assert is_ready(release.ports["metrics"])
            assert "forbidden" not in program.log.lower()
