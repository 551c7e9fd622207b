"""A real Kubernetes API server for the length of a test run, and what an administrator does to it.

def test_it(kube_apiserver: KubeApiServer, kube_namespace: str) -> None:
    kube_apiserver.apply(apiserver.pod(kube_namespace, "engine-0", "127.0.0.1", {"app": "llama"}))

There is no kubelet and no controller: pods get the status that a test writes, and what is in a deleted namespace stays.
Every call blocks. Where the API server must call back into the test's own loop (a webhook), or the loop must not stand
still, it goes through a thread: `await asyncio.to_thread(server.apply, ...)`.
"""

from __future__ import annotations

import contextlib
import http.client
import itertools
import json
import os
import random
import signal
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from tests.kube import binaries, kubelet

Object = dict[str, Any]

PATIENCE = 60.0
"""Seconds for a server to start or to end; a busy machine takes some."""

CLUSTER_WIDE = frozenset(
    (
        "APIService",
        "ClusterRole",
        "ClusterRoleBinding",
        "CustomResourceDefinition",
        "MutatingWebhookConfiguration",
        "Namespace",
        "Node",
        "PriorityClass",
        "ValidatingAdmissionPolicy",
        "ValidatingAdmissionPolicyBinding",
        "ValidatingWebhookConfiguration",
    )
)
"""Kinds whose objects are in no namespace, of those that tests write."""

_numbers = itertools.count(1)


class Refused(Exception):
    """The API server's answer was no success."""

    def __init__(self, status: int, body: Any) -> None:
        super().__init__(f"{status}: {body.get('message', body) if isinstance(body, dict) else body}")
        self.status = status
        self.body = body
        """Its `Status`, where it sent one."""


class KubeApiServer:
    """kube-apiserver and its etcd, which outlive a stop: `start` goes on with the same data, port and certificate."""

    def __init__(self, folder: Path, *, flags: str = "") -> None:
        self.folder = folder
        self.kubeconfig = folder / "kubeconfig"
        """Of a cluster administrator; `kubeconfig_for` writes those of others."""
        self.token = "admin-token"
        self.port = 0
        self._flags = flags
        self._assets = binaries.kube_apiserver()
        self._connection: http.client.HTTPSConnection | None = None
        self._lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    @property
    def ca_file(self) -> Path:
        return self.folder / "certs" / "apiserver.crt"

    # Its life

    def start(self) -> None:
        """Start what does not run of kube-apiserver and etcd; return once it answers."""
        port = self.port or _free_port()
        environment = {
            **os.environ,
            "KUBEBUILDER_ASSETS": str(self._assets),
            "KUBE_APISERVER_FLAGS": self._flags,
            # A run that is killed, or kills itself over a test that hangs, leaves nothing behind.
            "OWNER": str(os.getpid()),
        }
        started = subprocess.run(
            [Path(__file__).with_name("start"), self.folder, str(port)],
            check=False,
            env=environment,
            capture_output=True,
            text=True,
            timeout=2 * PATIENCE,
        )
        if started.returncode:
            self.stop()
            raise RuntimeError(f"kube-apiserver does not start: {started.stderr}")
        self.port = port

    def stop_apiserver(self, number: signal.Signals = signal.SIGKILL) -> None:
        """End kube-apiserver, by default as a crash does; etcd runs on."""
        self._end("apiserver.pid", number)

    def stop(self) -> None:
        """End both; `start` brings them back."""
        self._end("apiserver.pid", signal.SIGKILL)
        self._end("etcd.pid", signal.SIGKILL)
        self._end("watcher.pid", signal.SIGKILL)

    def _end(self, pid_file: str, number: signal.Signals) -> None:
        self._hang_up()
        path = self.folder / pid_file
        if not path.exists():
            return
        pid = int(path.read_text())
        path.unlink()
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
        deadline = time.monotonic() + PATIENCE
        while _is_running(pid):
            assert time.monotonic() < deadline, f"process {pid} ({pid_file}) does not end"
            time.sleep(0.01)

    # Requests

    def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        content_type: str = "application/json",
        token: str | None = None,
    ) -> Any:
        """The decoded answer; Refused where it is no success. `token`: another user's than the administrator's."""
        headers = {"Authorization": f"Bearer {token or self.token}", "Content-Type": content_type}
        payload = None if body is None else json.dumps(body)
        with self._lock:
            try:
                answer = self._exchange(method, path, payload, headers)
            except (http.client.HTTPException, OSError):
                # The server closed the idle connection, or was started anew.
                self._hang_up()
                answer = self._exchange(method, path, payload, headers)
        status, text = answer
        try:
            said = json.loads(text)
        except ValueError:
            said = text.decode(errors="replace")
        if status >= 300:
            raise Refused(status, said)
        return said

    def _exchange(self, method: str, path: str, payload: str | None, headers: Mapping[str, str]) -> tuple[int, bytes]:
        if self._connection is None:
            context = ssl.create_default_context(cafile=str(self.ca_file))
            self._connection = http.client.HTTPSConnection("127.0.0.1", self.port, context=context, timeout=PATIENCE)
        self._connection.request(method, path, payload, dict(headers))
        answer = self._connection.getresponse()
        return answer.status, answer.read()

    def _hang_up(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    # Objects

    def apply(self, *objects: Object, dry_run: bool = False) -> list[Any]:
        """Apply objects as `kubectl apply --server-side` does, and then the status of those that have one."""
        query = "?fieldManager=tests&force=true" + ("&dryRun=All" if dry_run else "")
        applied = []
        for obj in objects:
            content_type = "application/apply-patch+yaml"
            applied.append(self.request("PATCH", path_of(obj) + query, obj, content_type=content_type))
            if "status" in obj and not dry_run:
                self.set_status(obj, obj["status"])
        return applied

    def set_status(self, obj: Object, status: Mapping[str, Any]) -> Any:
        """Merge into the status of an object, as its kubelet or controller would."""
        return self.patch(obj, {"status": dict(status)}, subresource="/status")

    def patch(self, obj: Object, change: Mapping[str, Any], subresource: str = "") -> Any:
        """Merge a change into an object; None removes a field."""
        content_type = "application/merge-patch+json"
        return self.request("PATCH", path_of(obj) + subresource, change, content_type=content_type)

    def get(self, obj: Object) -> Any:
        return self.request("GET", path_of(obj))

    def delete(self, *objects: Object, grace_seconds: int = 0) -> None:
        """Delete objects, at once unless a grace period is given; one that is gone already is no fault."""
        for obj in objects:
            try:
                self.request("DELETE", path_of(obj), {"gracePeriodSeconds": grace_seconds})
            except Refused as refusal:
                if refusal.status != 404:
                    raise

    def create_namespace(self, prefix: str = "test") -> str:
        """A new namespace with a name of its own."""
        name = f"{prefix}-{os.getpid()}-{next(_numbers)}"
        self.apply(namespace(name))
        return name

    def install_crds(self, crds: Iterable[Object] | None = None) -> None:
        """Install CRDs (by default the product's three) and return once their objects can be written."""
        from kthena_fast.resources import crds as definitions

        for crd in crds if crds is not None else definitions.all():
            self.apply(crd)
            wait_until_served(self, crd)

    def service_account(self, namespace: str, name: str) -> str:
        """The token of a ServiceAccount, which is made if it is not there."""
        account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, "namespace": namespace}}
        self.apply(account)
        asked = self.request("POST", f"{path_of(account)}/token", {"spec": {"expirationSeconds": 3600}})
        token: str = asked["status"]["token"]
        return token

    def mount_service_account(self, namespace: str, name: str, folder: Path) -> str:
        """Fill a folder as the kubelet does for a ServiceAccount; again: with a new token, which is returned."""
        token = self.service_account(namespace, name)
        files = {"ca.crt": self.ca_file.read_bytes(), "namespace": namespace.encode(), "token": token.encode()}
        kubelet.fill(folder, files)
        return token

    def until_refused(self, token: str) -> None:
        """Return once the API server no longer knows a token; it remembers for some seconds that it did."""
        deadline = time.monotonic() + PATIENCE
        while self._knows(token):
            assert time.monotonic() < deadline, "the token is still accepted"
            time.sleep(0.05)

    def _knows(self, token: str) -> bool:
        try:
            self.request("GET", "/api/v1/pods?limit=1", token=token)
        except Refused as refusal:
            return refusal.status != 401
        return True

    def kubeconfig_for(self, token: str, path: Path) -> Path:
        """Write the kubeconfig of whoever has the token."""
        path.write_text(self.kubeconfig.read_text().replace(self.token, token))
        return path


def path_of(obj: Object) -> str:
    """Where in the API an object is."""
    version, kind, meta = obj["apiVersion"], obj["kind"], obj["metadata"]
    base = f"/api/{version}" if "/" not in version else f"/apis/{version}"
    where = "" if kind in CLUSTER_WIDE else f"/namespaces/{meta.get('namespace', 'default')}"
    return f"{base}{where}/{_plural(kind)}/{quote(meta['name'])}"


def wait_until_served(server: KubeApiServer, crd: Object) -> None:
    """Return once objects of a CRD that is there can be written."""
    deadline = time.monotonic() + PATIENCE
    while not _is_served(server, crd):
        assert time.monotonic() < deadline, crd["metadata"]["name"]
        time.sleep(0.02)


def wait_until_gone(server: KubeApiServer, obj: Object) -> None:
    """Return once an object that was deleted is no longer there; finalizers take a moment."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            server.get(obj)
        except Refused as refusal:
            if refusal.status == 404:
                return
            raise
        assert time.monotonic() < deadline, f"{obj['kind']} {obj['metadata']['name']} is still there"
        time.sleep(0.02)


def namespace(name: str) -> Object:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}


def pod(
    namespace: str,
    name: str,
    ip: str,
    labels: Mapping[str, str],
    *,
    is_ready: bool = True,
) -> Object:
    """A pod with the status that a kubelet would write; `apply` writes both."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"namespace": namespace, "name": name, "labels": dict(labels)},
        # Without a node a deleted pod is gone at once, so one that terminates is shown only with a node.
        "spec": {"nodeName": "node-0", "containers": [{"name": "engine", "image": "vllm/vllm-openai:v0.11.0"}]},
        "status": pod_status(ip, is_ready=is_ready),
    }


def pod_status(ip: str, *, is_ready: bool = True) -> Object:
    return {
        "phase": "Running",
        "podIP": ip,
        "podIPs": [{"ip": ip}],
        "conditions": [{"type": "Ready", "status": "True" if is_ready else "False"}],
    }


def _plural(kind: str) -> str:
    singular = kind.lower()
    if singular.endswith("y"):
        return singular[:-1] + "ies"
    return singular + ("es" if singular.endswith("s") else "s")


def _is_served(server: KubeApiServer, crd: Object) -> bool:
    conditions = server.get(crd).get("status", {}).get("conditions") or ()
    if not any(entry["type"] == "Established" and entry["status"] == "True" for entry in conditions):
        return False
    spec = crd["spec"]
    try:
        server.request("GET", f"/apis/{spec['group']}/{spec['versions'][0]['name']}/{spec['names']['plural']}?limit=1")
    except Refused:
        return False
    return True


def _free_port() -> int:
    """A port that is free now, as are the two that etcd takes; below those that the kernel hands out by itself."""
    for _ in range(1000):
        port = random.randrange(20_000, 32_000)
        with contextlib.ExitStack() as held:
            try:
                for number in (port, port + 10, port + 11):
                    probe = held.enter_context(socket.socket())
                    probe.bind(("127.0.0.1", number))
            except OSError:
                continue
            return port
    raise RuntimeError("no free ports")


def _is_running(pid: int) -> bool:
    # The starter's children are nobody's here: they are reaped by the init process, if it reaps at all.
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    # The process is a zombie once its first thread has ended; until the last one has, its ports are not free.
    return state != "Z" or _threads(pid) > 1


def _threads(pid: int) -> int:
    try:
        return sum(1 for _ in Path(f"/proc/{pid}/task").iterdir())
    except FileNotFoundError:
        return 0
