"""The API server itself asks: what people who write objects see."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import io
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest
import trustme

from kthena_fast.kube import configuration
from kthena_fast.resources import crds
from kthena_fast.webhook.endpoint import KINDS
from tests.gateway import processes
from tests.kube.apiserver import KubeApiServer, path_of
from tests.resources import corpus
from tests.webhook import asking
from tests.webhook.test_endpoint import MEGABYTE, large

API = "/apis/networking.serving.volcano.sh/v1alpha1"


@dataclass(frozen=True, slots=True)
class Reply:
    """What the API server answered, and what it warned of."""

    status: int
    document: Any
    warnings: list[str]

    @property
    def causes(self) -> list[str]:
        assert self.status == 422, self.document
        return [cause["field"] for cause in self.document["details"]["causes"]]


class Api:
    """Somebody who writes objects in one namespace."""

    def __init__(
        self, server: KubeApiServer, session: aiohttp.ClientSession, context: ssl.SSLContext, namespace: str
    ) -> None:
        self._server = server
        self._session = session
        self._context = context
        self.namespace = namespace

    def placed(self, obj: dict[str, Any], name: str | None = None) -> dict[str, Any]:
        meta = obj["metadata"] | {"namespace": self.namespace} | ({"name": name} if name else {})
        return {**obj, "metadata": meta}

    async def create(self, obj: dict[str, Any], query: str = "") -> Reply:
        return await self._send("POST", path_of(self.placed(obj)).rpartition("/")[0] + query, obj)

    async def replace(self, obj: dict[str, Any], query: str = "") -> Reply:
        return await self._send("PUT", path_of(obj) + query, obj)

    async def patch(self, obj: dict[str, Any], change: dict[str, Any], subresource: str = "") -> Reply:
        return await self._send("PATCH", path_of(obj) + subresource, change, "application/merge-patch+json")

    async def delete(self, obj: dict[str, Any]) -> Reply:
        return await self._send("DELETE", path_of(obj))

    async def get(self, obj: dict[str, Any]) -> Reply:
        return await self._send("GET", path_of(obj))

    async def _send(self, method: str, path: str, body: Any = None, kind: str = "application/json") -> Reply:
        headers = {"Authorization": f"Bearer {self._server.token}", "Content-Type": kind}
        data = None if body is None else io.BytesIO(orjson.dumps(body))
        url = self._server.url + path
        async with self._session.request(method, url, data=data, headers=headers, ssl=self._context) as response:
            warnings = [text.partition('"')[2].rpartition('"')[0] for text in response.headers.getall("Warning", [])]
            return Reply(response.status, await response.json(), warnings)


def registration(name: str, namespace: str, authority: trustme.CA, url: str) -> dict[str, Any]:
    """The configuration that makes the API server ask about the objects of one namespace."""
    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": name},
        "webhooks": [
            {
                "name": f"validate-{kind.lower()}.kthena-fast.io",
                "clientConfig": {
                    "url": url + asking.path(kind),
                    "caBundle": base64.b64encode(authority.cert_pem.bytes()).decode(),
                },
                "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
                "rules": [
                    {
                        "apiGroups": ["networking.serving.volcano.sh"],
                        "apiVersions": ["v1alpha1"],
                        "operations": ["CREATE", "UPDATE", "DELETE"],
                        # More than a chart registers: status, and deletions.
                        "resources": [f"{kind.lower()}s", f"{kind.lower()}s/status"],
                        "scope": "Namespaced",
                    }
                ],
                "admissionReviewVersions": ["v1"],
                "sideEffects": "None",
                "failurePolicy": "Fail",
                "timeoutSeconds": 10,
            }
            for kind in KINDS
        ],
    }


class Asked:
    """A webhook that is registered, and somebody who writes objects."""

    def __init__(self, api: Api, scene: asking.Scene, server: KubeApiServer, config: dict[str, Any]) -> None:
        self.api = api
        self.scene = scene
        self._server = server
        self._config = config

    async def register(self) -> None:
        """Return once the API server asks."""
        await asyncio.to_thread(self._server.apply, self._config)

        async def is_asked() -> bool:
            before = await self.asked()
            await self.api.create(self.api.placed(corpus.provider(), "probe"), "?dryRun=All")
            return await self.asked() > before

        await processes.until(is_asked)

    async def asked(self) -> float:
        """How often it was asked."""
        total = 0.0
        for kind in KINDS:
            for verdict in ("allowed", "refused", "malformed", "overloaded", "failed"):
                total += await self.scene.metric("kthena_fast_webhook_reviews_total", kind=kind, verdict=verdict)
        return total

    async def knows(self, warning: str, obj: dict[str, Any], *, present: bool = True) -> None:
        """Return once a dry run of an object is warned of, or no longer is."""

        async def holds() -> bool:
            reply = await self.api.create(obj, "?dryRun=All")
            return any(warning in text for text in reply.warnings) == present

        await processes.until(holds)


@contextlib.asynccontextmanager
async def asked(server: KubeApiServer, namespace: str, folder: Path, *, register: bool = True) -> AsyncIterator[Asked]:
    authority = trustme.CA()
    kube = configuration.from_files([server.kubeconfig])
    async with (
        asking.last_word(server),
        asking.scene(folder, kube, authority=authority) as scene,
        asking.caller(server.ca_file.read_text()) as (session, context),
    ):
        config = registration(f"webhook-{namespace}", namespace, authority, scene.url)
        given = Asked(Api(server, session, context, namespace), scene, server, config)
        try:
            await given.register()
            yield given
        finally:
            await asyncio.to_thread(server.delete, config)


async def test_a_good_object_is_stored_without_a_word(
    kube_apiserver: KubeApiServer, kube_namespace: str, tmp_path: Path
) -> None:
    async with asked(kube_apiserver, kube_namespace, tmp_path) as given:
        reply = await given.api.create(given.api.placed(corpus.server(), "s"))
        assert (reply.status, reply.warnings) == (201, [])


async def test_a_provider_is_stored_and_its_owner_told_that_it_is_not_called_yet(
    kube_apiserver: KubeApiServer, kube_namespace: str, tmp_path: Path
) -> None:
    async with asked(kube_apiserver, kube_namespace, tmp_path) as given:
        reply = await given.api.create(given.api.placed(corpus.provider(), "s"))
        assert reply.status == 201
        (warning,) = reply.warnings
        assert "providers cannot be called yet" in warning


async def test_a_bad_object_is_refused_for_every_reason_at_once(
    kube_apiserver: KubeApiServer, kube_namespace: str, tmp_path: Path
) -> None:
    async with asked(kube_apiserver, kube_namespace, tmp_path) as given:
        bad = corpus.route(
            loraAdapters=["", "a"],
            rules=[
                corpus.rule(modelMatch={"uri": {"regex": "("}}, targetModels=[corpus.target(weight=0)]),
                corpus.rule(targetModels=[{"externalModelProviderName": "p"}]),
            ],
        )
        reply = await given.api.create(given.api.placed(bad))
        assert reply.causes == [
            "spec.loraAdapters[0]",
            "spec.rules[0].modelMatch.uri.regex",
            "spec.rules[0].targetModels",
            "spec.rules[1].targetModels[0].externalModelProviderName",
        ]
        assert reply.document["reason"] == "Invalid"
        message = reply.document["message"]
        assert message.startswith('admission webhook "validate-modelroute.kthena-fast.io" denied the request: ')
        # What upstream's own tests look for.
        assert "lora adapter name cannot be an empty string" in message
        assert (await given.api.get(given.api.placed(bad))).status == 404


async def test_what_is_likely_not_meant_is_stored_with_warnings(
    kube_apiserver: KubeApiServer, kube_namespace: str, tmp_path: Path
) -> None:
    async with asked(kube_apiserver, kube_namespace, tmp_path) as given:
        model = f"model-of-{kube_namespace}"
        odd = corpus.route(
            modelName=model,
            rules=[corpus.rule(), corpus.rule(modelMatch={"uri": {"exact": "/v1/a", "prefix": "/v1"}})],
            rateLimit={"inputTokensPerUnit": 1},
        )
        await given.knows("no ModelServer 's'", given.api.placed(odd))
        reply = await given.api.create(given.api.placed(odd, "first"))
        assert reply.status == 201
        assert [text.partition(": ")[0] for text in reply.warnings] == [
            "spec.rules[0].targetModels[0].modelServerName",
            "spec.rateLimit",
            "spec.rules[1].modelMatch.uri",
            "spec.rules[1]",
            "spec.rateLimit.inputTokensPerUnit",
        ]
        # The target comes, and a second route for the name.
        assert (await given.api.create(given.api.placed(corpus.server(), "s"))).status == 201
        second = given.api.placed(corpus.route(modelName=model), "second")
        await given.knows("no ModelServer", second, present=False)
        await given.knows("already", second)
        reply = await given.api.create(second)
        assert reply.status == 201
        (warning,) = reply.warnings
        older = f"{kube_namespace}/first"
        assert warning.startswith(f"spec.modelName: '{model}' is served by the older ModelRoute {older} already")
        # It goes, and with it the warning: of the two the second is the older one now.
        await given.api.delete(given.api.placed(odd, "first"))
        third = given.api.placed(corpus.route(modelName=model), "third")
        await given.knows(f"{kube_namespace}/second already", third)
        await given.api.delete(second)
        await given.knows("already", third, present=False)


async def test_a_dry_run_is_judged_and_stores_nothing(
    kube_apiserver: KubeApiServer, kube_namespace: str, tmp_path: Path
) -> None:
    async with asked(kube_apiserver, kube_namespace, tmp_path) as given:
        good, bad = corpus.server(), corpus.server(workloadSelector={})
        assert (await given.api.create(given.api.placed(good), "?dryRun=All")).status == 201
        reply = await given.api.create(given.api.placed(bad), "?dryRun=All")
        assert reply.causes == ["spec.workloadSelector.matchLabels"]
        assert (await given.api.get(given.api.placed(good))).status == 404


async def test_the_largest_objects_that_the_api_server_takes_are_judged_as_any_other(
    kube_apiserver: KubeApiServer, kube_namespace: str, tmp_path: Path
) -> None:
    """To the review of an update it adds what was there."""
    largest = large(3 * MEGABYTE - 1024)
    async with asked(kube_apiserver, kube_namespace, tmp_path) as given:
        api, before = given.api, await given.asked()
        # What is stored may have half of it: etcd takes 1.5 MB.
        reply = await api.create(api.placed(large(1400 * 1024)))
        assert reply.status == 201
        created, replaced = api.placed(largest, "b"), api.placed(largest)
        replaced["metadata"]["resourceVersion"] = reply.document["metadata"]["resourceVersion"]
        for send, good, status in ((api.create, created, 201), (api.replace, replaced, 200)):
            reply = await send(good, "?dryRun=All")
            assert reply.status == status
            assert reply.warnings[-1].startswith("spec: has more than 5,000 values, more than the gateway reads")
            reply = await send(asking.changed(good, loraAdapters=[""]), "?dryRun=All")
            assert reply.causes == ["spec.loraAdapters[0]"]
            assert "spec.loraAdapters[0]: lora adapter name cannot be an empty string" in reply.document["message"]
        assert await given.asked() == before + 5
        # Of a little more the API server itself says that it is too much, and asks nobody.
        reply = await api.create(api.placed(large(3 * MEGABYTE), "c"), "?dryRun=All")
        assert (reply.status, reply.document["reason"]) == (413, "RequestEntityTooLarge")
        assert await given.asked() == before + 5


async def test_many_writes_at_once_are_all_answered(
    kube_apiserver: KubeApiServer, kube_namespace: str, tmp_path: Path
) -> None:
    """A review that was not would be the API server's error, by `failurePolicy: Fail`."""
    async with asked(kube_apiserver, kube_namespace, tmp_path) as given:
        before = await given.asked()
        at_once = asyncio.Semaphore(20)

        async def write(number: int) -> tuple[int, list[str]]:
            obj = corpus.server(workloadSelector={}) if number % 2 else corpus.server()
            obj = given.api.placed(obj, f"s{number}")
            async with at_once:
                reply = await given.api.create(obj, "?dryRun=All")
            return reply.status, reply.causes if number % 2 else reply.warnings

        told = await asyncio.gather(*(write(number) for number in range(200)))
        assert told == [(201, []), (422, ["spec.workloadSelector.matchLabels"])] * 100
        # Each of them once: of one that is too busy the API server asks again, by its Retry-After.
        assert await given.asked() == before + 200


async def test_a_generated_name_is_no_missing_name(
    kube_apiserver: KubeApiServer, kube_namespace: str, tmp_path: Path
) -> None:
    async with asked(kube_apiserver, kube_namespace, tmp_path) as given:
        obj = {**corpus.server(), "metadata": {"generateName": "server-"}}
        path = f"{API}/namespaces/{kube_namespace}/modelservers"
        assert (await given.api._send("POST", path, obj)).status == 201


async def test_model_name_can_be_neither_changed_nor_walked_around(
    kube_apiserver: KubeApiServer, kube_namespace: str, tmp_path: Path
) -> None:
    async with asked(kube_apiserver, kube_namespace, tmp_path) as given:
        stored = (await given.api.create(given.api.placed(corpus.route(loraAdapters=["a"])))).document
        for name in ("other", "", None):
            assert (await given.api.replace(asking.changed(stored, modelName=name))).causes == ["spec.modelName"]
        adapters = given.api.placed(corpus.route(loraAdapters=["b"], modelName=""), "adapters")
        stored = (await given.api.create(adapters)).document
        assert (await given.api.replace(asking.changed(stored, modelName="b"))).causes == ["spec.modelName"]
        # Nothing of it stands in the way of other changes.
        assert (await given.api.replace(asking.changed(stored, modelName=None, loraAdapters=["c"]))).status == 200


@pytest.fixture
def predates(kube_apiserver: KubeApiServer, kube_namespace: str) -> dict[str, Any]:
    """A route that was stored when nobody asked the webhook, and that nobody could store now."""
    obj = corpus.route(rules=[corpus.rule(targetModels=[corpus.target(weight=0)])])
    obj["metadata"] = {"name": "old", "namespace": kube_namespace, "finalizers": ["kthena-fast.io/test"]}
    kube_apiserver.apply(obj)
    return obj


async def test_an_object_that_predates_the_rules_can_have_everything_but_its_spec_changed(
    kube_apiserver: KubeApiServer, kube_namespace: str, tmp_path: Path, predates: dict[str, Any]
) -> None:
    async with asked(kube_apiserver, kube_namespace, tmp_path) as given:
        api = given.api
        assert (await api.patch(predates, {"metadata": {"labels": {"a": "b"}}})).status == 200
        assert (await api.patch(predates, {"metadata": {"annotations": {"a": "b"}}})).status == 200
        condition = {
            "type": "Accepted",
            "status": "False",
            "reason": "Invalid",
            "message": "",
            "lastTransitionTime": "2026-01-01T00:00:00Z",
        }
        assert (await api.patch(predates, {"status": {"conditions": [condition]}}, "/status")).status == 200
        assert (await api.patch(predates, {"spec": {"loraAdapters": ["a"]}})).causes == ["spec.rules[0].targetModels"]
        # Its deletion waits for the finalizer, whose removal is an update.
        before = await given.asked()
        assert (await api.delete(predates)).status == 200
        assert (await api.get(predates)).document["metadata"]["deletionTimestamp"]
        assert (await api.patch(predates, {"metadata": {"finalizers": None}})).status == 200
        assert (await api.get(predates)).status == 404
        assert await given.asked() > before


async def test_under_upstreams_crds_what_they_let_through_is_refused_with_its_field(
    own_kube_apiserver: KubeApiServer, tmp_path: Path
) -> None:
    lax = crds.all()
    for crd in lax:
        schema = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
        # Upstream's have neither patterns of durations nor bounds of numbers, and need no spec.
        schema["properties"]["spec"] = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
        del schema["required"]
    own_kube_apiserver.install_crds(lax)
    namespace = own_kube_apiserver.create_namespace()
    async with asked(own_kube_apiserver, namespace, tmp_path) as given:
        reply = await given.api.create(
            given.api.placed(corpus.server(trafficPolicy={"timeout": "soon"}, workloadPort={}))
        )
        assert reply.causes == ["spec.workloadPort.port", "spec.trafficPolicy.timeout"]
        assert 'Invalid value: "soon": must be a duration' in reply.document["message"]
        reply = await given.api.create(given.api.placed(corpus.without_spec("ExternalModelProvider")))
        assert reply.causes == ["spec"]
