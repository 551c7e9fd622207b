"""A release whose two programs run: as processes here, with the rendered arguments and environment and the rights of
the rendered ServiceAccounts, since an API server without kubelets starts no pods.

What stands in for the cluster: a port of this machine for each container's; a folder for each volume that is mounted,
filled from the Secret or ConfigMap that it is of; another for the ServiceAccount's, with a token, which is how they
find the API server; and an EndpointSlice for the webhook's Service, by which the API server finds it as it would find
a pod.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import psutil

from kthena_fast.mock_engine import EngineConfig, MockEngine
from tests.charts import cluster, helm
from tests.kube import apiserver, kubelet
from tests.kube.apiserver import KubeApiServer

AGGREGATOR_ROUTING = "--enable-aggregator-routing=true"
"""Has the API server call a webhook at its Service's endpoints: there is nobody here who would route its address."""

IN_A_POD = """
import sys
from pathlib import Path
from kthena_fast.kube import configuration
configuration.SERVICE_ACCOUNT = Path(sys.argv.pop(1))
from kthena_fast.cli import main
main(prog_name="kthena-fast")
"""
"""The program, with a place of its own for what the kubelet mounts at the same one in every pod."""

PATIENCE = 30.0
"""Seconds for a program to start or to end, and for anything else that is certain to come."""


def until(holds: Callable[[], Any], what: str, patience: float = PATIENCE) -> float:
    """Seconds until it held; what is being asked may still be on its way up."""
    began = time.monotonic()
    while True:
        with contextlib.suppress(httpx.TransportError):
            if holds():
                return time.monotonic() - began
        assert time.monotonic() - began < patience, f"not so after {patience} s: {what}"
        time.sleep(0.005)


def free_port() -> int:
    with socket.socket(socket.AF_INET6) as probe:
        probe.bind(("::", 0))
        port: int = probe.getsockname()[1]
        return port


def own_address() -> str:
    """An address of this machine that Kubernetes takes for an endpoint's, which loopback is not."""
    for addresses in psutil.net_if_addrs().values():
        for address in addresses:
            if address.family == socket.AF_INET and not address.address.startswith(("127.", "169.254.")):
                return str(address.address)
    raise AssertionError("this machine has no address but loopback's, at which the API server could call the webhook")


class Program:
    """One of the two, running."""

    def __init__(self, account: Path, arguments: list[str], environment: Mapping[str, str], log: Path) -> None:
        self._log = log
        inherited = {name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ}
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-c", IN_A_POD, account, *arguments],
                # Nobody's home, as in a container that has no such user.
                env={"HOME": "/", **inherited, **environment},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    @property
    def log(self) -> str:
        return self._log.read_text(errors="replace")

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def is_running(self) -> bool:
        return self._process.poll() is None

    @property
    def most_memory(self) -> int:
        """Bytes of memory that it has held at most."""
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        (line,) = (line for line in status.splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024

    def stop(self) -> int:
        """End it as Kubernetes does; its exit status."""
        if self.is_running:
            self._process.send_signal(signal.SIGTERM)
        try:
            return self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            raise


class Release:
    """An installed release. `values` are those of the chart, beside the ports and a drain without delay."""

    def __init__(
        self, server: KubeApiServer, folder: Path, values: Mapping[str, Any] | None = None, name: str = "kthena"
    ) -> None:
        self.server = server
        self.name = name
        self.namespace = helm.NAMESPACE
        self.folder = folder
        self.ports = {key: free_port() for key in ("http", "metrics", "debug", "https", "webhook-metrics")}
        own = {
            "networking": {
                "inferGateway": {
                    "port": self.ports["http"],
                    "metrics": {"port": self.ports["metrics"]},
                    "debugPort": self.ports["debug"],
                    # Endpoints are removed by nobody here.
                    "drain": {"delay": "0s"},
                },
                "webhook": {
                    "port": self.ports["https"],
                    "metrics": {"port": self.ports["webhook-metrics"]},
                    "drain": {"delay": "0s"},
                },
            }
        }
        self.values = _merged(own, values or {})
        self.rendered = helm.render(values=self.values, release=name)
        self.notes = cluster.release(server, "install", name, self.namespace, values=self.values)
        # Helm does not wait for them.
        for definition in self.rendered.of("CustomResourceDefinition"):
            apiserver.wait_until_served(server, definition)
        self.client = httpx.Client(base_url=f"http://127.0.0.1:{self.ports['http']}", timeout=PATIENCE)
        self._starts = 0

    def upgrade(self, values: Mapping[str, Any]) -> None:
        """Change values, as `helm upgrade --reset-then-reuse-values` does."""
        self.values = _merged(self.values, values)
        self.rendered = helm.render(values=self.values, release=self.name)
        cluster.release(self.server, "upgrade", self.name, self.namespace, values=self.values)

    @property
    def gateway(self) -> str:
        return f"{self.name}-infer-gateway"

    @property
    def webhook(self) -> str:
        return f"{self.name}-webhook"

    def start(self, deployment: str) -> Program:
        """Run a Deployment's container, as its ServiceAccount."""
        container = self.rendered.container(deployment)
        spec = self.rendered.one("Deployment", deployment)["spec"]["template"]["spec"]
        self._starts += 1
        place = self.folder / f"{deployment}-{self._starts}"
        folders = self.mount(deployment)

        def placed(text: str) -> str:
            for path, folder in folders.items():
                text = text.replace(path, str(folder))
            return text

        environment = {name: placed(value) for name, value in self.rendered.environment(deployment).items()}
        environment["POD_NAMESPACE"] = self.namespace
        environment |= {"KUBERNETES_SERVICE_HOST": "127.0.0.1", "KUBERNETES_SERVICE_PORT": str(self.server.port)}
        account = place.with_suffix(".serviceaccount")
        if spec.get("automountServiceAccountToken", True):
            self.server.mount_service_account(self.namespace, spec["serviceAccountName"], account)
        arguments = [placed(argument) for argument in container["args"]]
        return Program(account, arguments, environment, place.with_suffix(".log"))

    def mount(self, deployment: str) -> dict[str, Path]:
        """Fill a folder for each mounted volume, by the path that it is mounted at; again: bring it up to date."""
        spec = self.rendered.one("Deployment", deployment)["spec"]["template"]["spec"]
        volumes = {volume["name"]: volume for volume in spec.get("volumes", ())}
        folders = {}
        for mount in self.rendered.container(deployment).get("volumeMounts", ()):
            volume = volumes[mount["name"]]
            if "secret" in volume:
                kind, name = "Secret", volume["secret"]["secretName"]
            else:
                kind, name = "ConfigMap", volume["configMap"]["name"]
            meta = {"name": name, "namespace": self.namespace}
            data = self.server.get({"apiVersion": "v1", "kind": kind, "metadata": meta})["data"]
            folder = folders[mount["mountPath"]] = self.folder / deployment / mount["name"]
            decoded = base64.b64decode if kind == "Secret" else str.encode
            kubelet.fill(folder, {key: decoded(text) for key, text in data.items()})
        return folders

    @contextlib.contextmanager
    def running(self, deployment: str) -> Iterator[Program]:
        """A program for the length of a `with`, ready."""
        program = self.start(deployment)
        try:
            port = self.ports["metrics" if deployment == self.gateway else "webhook-metrics"]
            until(lambda: not program.is_running or is_ready(port), f"{deployment} is ready")
            assert program.is_running, program.log
            yield program
        finally:
            program.stop()

    def route_webhook(self) -> None:
        """Tell the API server where the webhook's Service leads; a controller would."""
        self.server.apply(
            {
                "apiVersion": "discovery.k8s.io/v1",
                "kind": "EndpointSlice",
                "metadata": {
                    "name": self.webhook,
                    "namespace": self.namespace,
                    "labels": {"kubernetes.io/service-name": self.webhook},
                },
                "addressType": "IPv4",
                "endpoints": [{"addresses": [own_address()], "conditions": {"ready": True}}],
                "ports": [{"name": "https", "port": self.ports["https"], "protocol": "TCP"}],
            }
        )

    def ask(self, model: str, path: str = "/v1/chat/completions", **headers: str) -> httpx.Response:
        body = {"model": model, "messages": [{"role": "user", "content": "Hello!"}], "max_tokens": 2}
        return self.client.post(path, json=body, headers=headers)

    def serves(self, model: str) -> bool:
        return self.ask(model).status_code == 200

    def close(self) -> None:
        self.client.close()
        cluster.uninstall(self.server, self.name, self.namespace)


def is_ready(port: int) -> bool:
    return httpx.get(f"http://127.0.0.1:{port}/readyz").status_code == 200


def _merged(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    both = dict(one)
    for key, value in other.items():
        inner = both.get(key)
        both[key] = _merged(inner, value) if isinstance(inner, Mapping) and isinstance(value, Mapping) else value
    return both


class Engines:
    """Mock engines in a thread of their own, on loopback addresses of their own, as pods have."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="engines")
        self._closing = contextlib.AsyncExitStack()
        self._count = 1
        self._thread.start()

    def start(self, *models: str, port: int = 0, first_token_delay: float = 0.0) -> Engine:
        """One more; those behind one ModelServer share its port."""
        self._count += 1
        # A few large requests are not kept.
        config = EngineConfig(models=models, first_token_delay=first_token_delay, keep_body_bytes=2**20)
        engine = MockEngine(config)
        ip = f"127.0.0.{self._count}"
        running = self._do(self._closing.enter_async_context(engine.running(ip, port)))
        return Engine(engine, ip, running.port)

    def _do(self, coroutine: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(PATIENCE)

    def close(self) -> None:
        self._do(self._closing.aclose())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


class Engine:
    """A mock engine, and the pod that it is in."""

    def __init__(self, engine: MockEngine, ip: str, port: int) -> None:
        self.ip = ip
        self.port = port
        self._engine = engine

    @property
    def asked(self) -> int:
        """Requests for an answer so far."""
        return sum(record.method == "POST" for record in list(self._engine.requests))

    @property
    def models(self) -> list[str]:
        """What they called the model."""
        return [record.json()["model"] for record in list(self._engine.requests) if record.method == "POST"]

    def pod(self, namespace: str, name: str, labels: Mapping[str, str]) -> helm.Object:
        return apiserver.pod(namespace, name, self.ip, labels)
