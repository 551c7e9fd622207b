"""Releases other than the plain one, in service: what is mounted, and what may be read in some namespaces only."""

import base64
import contextlib
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import trustme

from tests.charts import helm
from tests.charts.running import Engines, Release, is_ready, until
from tests.charts.test_end_to_end import model_server, refuses, route
from tests.kube import apiserver
from tests.kube.apiserver import KubeApiServer

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]


@contextlib.contextmanager
def installed(server: KubeApiServer, folder: Path, values: helm.Object, name: str) -> Iterator[Release]:
    release = Release(server, folder, values, name)
    try:
        yield release
    finally:
        release.close()


def secret(server: KubeApiServer, name: str, authority: trustme.CA, *names: str) -> None:
    """A Secret of type kubernetes.io/tls, as somebody's own PKI would make it."""
    pair = authority.issue_cert(*names)
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
            # A change of the ConfigMap reaches the process without a restart of its pod.
            pods = release.rendered.one("Deployment", release.gateway)["spec"]["template"]
            release.upgrade(helm.gateway(fairness={"shares": {"users": {"alice": {"share": 7}}}}))
            assert release.rendered.one("Deployment", release.gateway)["spec"]["template"] == pods
            release.mount(release.gateway)
            # What was counted of a user is told by the share that he had when he was last here.
            until(lambda: serves() and share(fairness) == 7, "the new shares are in service")


def share(page: str) -> float:
    (entry,) = httpx.get(page).json()["service"]
    return float(entry["share"])


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
