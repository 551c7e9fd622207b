"""Reviews as an API server sends them, and a webhook that is asked over HTTPS.

async with asking.scene(tmp_path) as scene:
    answer = await scene.ask(asking.review(corpus.route()))
    assert answer.allowed
"""

from __future__ import annotations

import asyncio
import contextlib
import copy
import io
import ssl
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import trustme

from kthena_fast.kube import configuration
from kthena_fast.settings import Settings
from kthena_fast.webhook import app, reviews
from kthena_fast.webhook.endpoint import Endpoint
from tests.kube.apiserver import KubeApiServer

PATIENCE = 30.0

NOBODY = "there is no API server in this test"


def request(obj: dict[str, Any], old: dict[str, Any] | None = None, **fields: Any) -> dict[str, Any]:
    """The request for an object's creation, or its change where there is an old one."""
    group, _, version = obj["apiVersion"].partition("/")
    meta = obj["metadata"]
    return {
        "uid": "705ab4f5-6393-11e8-b7cc-42010a800002",
        "kind": {"group": group, "version": version, "kind": obj["kind"]},
        "resource": {"group": group, "version": version, "resource": f"{obj['kind'].lower()}s"},
        "name": meta.get("name", ""),
        "namespace": meta.get("namespace", "default"),
        "operation": "CREATE" if old is None else "UPDATE",
        "userInfo": {"username": "alice", "groups": ["system:authenticated"]},
        "object": obj,
        "oldObject": old,
        "dryRun": False,
        "options": {"apiVersion": "meta.k8s.io/v1", "kind": "CreateOptions"},
        **fields,
    }


def review(obj: dict[str, Any], old: dict[str, Any] | None = None, **fields: Any) -> dict[str, Any]:
    """The review with that request."""
    return {"apiVersion": reviews.API_VERSION, "kind": "AdmissionReview", "request": request(obj, old, **fields)}


def changed(obj: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """The object with other fields in its spec; None removes one."""
    changed = copy.deepcopy(obj)
    changed["spec"].update(fields)
    changed["spec"] = {name: value for name, value in changed["spec"].items() if value is not None}
    return changed


def path(kind: str) -> str:
    return f"/validate/{kind.lower()}"


@dataclass(frozen=True, slots=True)
class Answer:
    """What a webhook said."""

    status: int
    headers: dict[str, str]
    text: str
    document: Any
    """The decoded body, where it is JSON."""

    @property
    def response(self) -> dict[str, Any]:
        assert self.status == 200, self.text
        assert self.document["apiVersion"] == reviews.API_VERSION
        assert self.document["kind"] == "AdmissionReview"
        response: dict[str, Any] = self.document["response"]
        return response

    @property
    def allowed(self) -> bool:
        allowed: bool = self.response["allowed"]
        return allowed

    @property
    def causes(self) -> list[str]:
        """The fields for which the object was refused."""
        assert not self.allowed
        return [cause["field"] for cause in self.response["status"]["details"]["causes"]]

    @property
    def warnings(self) -> list[str]:
        warnings: list[str] = self.response.get("warnings", [])
        return warnings


class Scene:
    """A webhook, and a caller that trusts its certificate."""

    def __init__(self, webhook: app.Webhook, session: aiohttp.ClientSession, context: ssl.SSLContext) -> None:
        self.webhook = webhook
        self.session = session
        self.context = context

    @property
    def endpoint(self) -> Endpoint:
        endpoint = self.webhook.endpoint
        assert endpoint is not None
        return endpoint

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.webhook.port}"

    async def ask(self, review: dict[str, Any], at: str | None = None) -> Answer:
        body = io.BytesIO(orjson.dumps(review))
        where = at or path(review["request"]["kind"]["kind"])
        return await self.post(where, data=body, headers={"Content-Type": "application/json"})

    async def post(self, at: str, **arguments: Any) -> Answer:
        return await self.send("POST", self.url + at, **arguments)

    async def get(self, at: str, *, on_metrics_port: bool = False) -> Answer:
        url = f"http://127.0.0.1:{self.webhook.metrics_port}" if on_metrics_port else self.url
        return await self.send("GET", url + at)

    async def send(self, method: str, url: str, **arguments: Any) -> Answer:
        async with self.session.request(method, url, ssl=self.context, **arguments) as response:
            text = await response.text()
            document = await response.json() if response.content_type == "application/json" else None
            headers = {name.lower(): value for name, value in response.headers.items()}
            return Answer(response.status, headers, text, document)

    async def metric(self, name: str, **labels: str) -> float:
        """A metric's value; 0 where it is not there."""
        wanted = name + ("{" + ",".join(f'{key}="{value}"' for key, value in labels.items()) + "}" if labels else "")
        lines = (await self.get("/metrics", on_metrics_port=True)).text.splitlines()
        return next((float(line.rpartition(" ")[2]) for line in lines if line.startswith(f"{wanted} ")), 0.0)


def pair(issued: trustme.LeafCert) -> dict[str, bytes]:
    """The pair as a Secret holds it."""
    chain = b"".join(blob.bytes() for blob in issued.cert_chain_pems)
    return {"tls.crt": chain, "tls.key": issued.private_key_pem.bytes()}


def write_pair(issued: trustme.LeafCert, folder: Path) -> tuple[Path, Path]:
    """The pair as files of those names."""
    folder.mkdir(exist_ok=True)
    for name, content in pair(issued).items():
        (folder / name).write_bytes(content)
    return folder / "tls.crt", folder / "tls.key"


@contextlib.asynccontextmanager
async def caller(ca: str | None) -> AsyncIterator[tuple[aiohttp.ClientSession, ssl.SSLContext]]:
    """A caller that trusts the PEM of an authority."""
    context = ssl.create_default_context(cadata=ca)
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=PATIENCE)) as session:
        yield session, context


@contextlib.asynccontextmanager
async def last_word(server: KubeApiServer) -> AsyncIterator[None]:
    """Lets the loop live until the API server has answered once more.

    uvloop closes a connection whose TLS handshake was cancelled only when its peer was heard, and warns of one that is
    not closed when the loop ends.
    """
    try:
        yield
    finally:
        for _ in range(3):
            await asyncio.to_thread(server.request, "GET", "/version")


@contextlib.asynccontextmanager
async def scene(
    folder: Path,
    kube: configuration.Cluster | str = NOBODY,
    *,
    settings: Settings | None = None,
    authority: trustme.CA | None = None,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
    **options: Any,
) -> AsyncIterator[Scene]:
    """A webhook with a mounted certificate of a passing authority, on free ports, once it answers reviews."""
    authority = authority or trustme.CA()
    certificate, key = write_pair(authority.issue_cert("127.0.0.1", "localhost"), folder / "certs")
    chosen = app.Options(
        **{
            "host": "127.0.0.1",
            "port": 0,
            "metrics_port": 0,
            "tls_cert_file": certificate,
            "tls_private_key_file": key,
            **options,
        }
    )
    pem = authority.cert_pem.bytes().decode()
    async with (
        app.running(chosen, settings or Settings(), kube, now) as webhook,
        caller(pem) as (session, context),
    ):
        await webhook.until_ready()
        yield Scene(webhook, session, context)
