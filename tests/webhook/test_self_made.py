"""Certificates of the webhook's own making, against a real API server, which trusts them or does not."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import signal
import ssl
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest
import trustme

from kthena_fast.kube import client, configuration, failures
from kthena_fast.settings import Settings
from kthena_fast.webhook import app, authority, configurations, self_made
from kthena_fast.webhook.configurations import Configurations
from kthena_fast.webhook.secret import Secret
from tests.gateway import processes
from tests.kube import breaking
from tests.kube.apiserver import KubeApiServer, Object, Refused, path_of
from tests.resources import corpus
from tests.webhook import asking

SECRET, SERVICE = "certs", "webhook"
DAY = timedelta(days=1)


def registration(namespace: str, name: str, service: str = SERVICE, port: int = 443) -> Object:
    """A configuration that names our service, which asks about the objects of one namespace."""

    def entry(kind: str) -> dict[str, Any]:
        return {
            "name": f"validate-{kind.lower()}.kthena-fast.io",
            "clientConfig": {
                "service": {"namespace": namespace, "name": service, "path": asking.path(kind), "port": port}
            },
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
            "rules": [
                {
                    "apiGroups": ["networking.serving.volcano.sh"],
                    "apiVersions": ["v1alpha1"],
                    "operations": ["CREATE", "UPDATE"],
                    "resources": [f"{kind.lower()}s"],
                }
            ],
            "admissionReviewVersions": ["v1"],
            "sideEffects": "None",
        }

    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": name},
        "webhooks": [entry("ModelServer"), entry("ModelRoute")],
    }


def secret_of(
    namespace: str, data: dict[str, bytes] | None = None, annotations: dict[str, str] | None = None
) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "Opaque",
        "metadata": {"name": SECRET, "namespace": namespace, "annotations": annotations or {}},
        "data": {name: base64.b64encode(value).decode() for name, value in (data or {}).items()},
    }


class Cluster:
    """One namespace of a cluster, and what is in it of the webhook's."""

    def __init__(self, server: KubeApiServer, namespace: str) -> None:
        self.server = server
        self.namespace = namespace
        self.config = f"config-{namespace}"

    def secret(self) -> dict[str, bytes]:
        found = self.server.get(secret_of(self.namespace))
        return {name: base64.b64decode(value) for name, value in found["data"].items()}

    def register(self, name: str = "", **fields: Any) -> None:
        self.server.apply(registration(self.namespace, name or self.config, **fields))

    def unregister(self, name: str = "") -> None:
        self.server.delete(registration(self.namespace, name or self.config))

    def bundles(self, name: str = "") -> list[bytes]:
        """The caBundle of each entry."""
        found = self.server.get(registration(self.namespace, name or self.config))
        return [base64.b64decode(entry["clientConfig"].get("caBundle", "")) for entry in found["webhooks"]]

    def give(self, bundle: bytes) -> None:
        """Set the caBundle of every entry, as somebody else would."""
        found = self.server.get(registration(self.namespace, self.config))
        for entry in found["webhooks"]:
            entry["clientConfig"]["caBundle"] = base64.b64encode(bundle).decode()
        self.server.request("PUT", path_of(found), found)

    async def has(self, *bundles: bytes, name: str = "") -> None:
        """Return once every entry has that bundle."""

        async def holds() -> bool:
            return await asyncio.to_thread(self.bundles, name) == list(bundles)

        await processes.until(holds)


@pytest.fixture
def cluster(kube_apiserver: KubeApiServer, kube_namespace: str) -> Iterator[Cluster]:
    given = Cluster(kube_apiserver, kube_namespace)
    yield given
    given.unregister()


def options(cluster: Cluster, folder: Path, **fields: Any) -> app.Options:
    return app.Options(
        **{
            "host": "127.0.0.1",
            "port": 0,
            "metrics_port": 0,
            "tls_cert_file": folder / "tls.crt",
            "tls_private_key_file": folder / "tls.key",
            "cert_secret_name": SECRET,
            "webhook_service_name": SERVICE,
            "webhook_configuration_name": cluster.config,
            "cluster_warnings": False,
            **fields,
        }
    )


@contextlib.asynccontextmanager
async def serving(
    cluster: Cluster, folder: Path, kubeconfig: Path | None = None, *, is_ready: bool = True, **fields: Any
) -> AsyncIterator[app.Webhook]:
    """A webhook without mounted files, once it answers reviews."""
    kube = configuration.from_files([kubeconfig or cluster.server.kubeconfig])
    settings = Settings(pod_namespace=cluster.namespace)
    async with (
        asking.last_word(cluster.server),
        app.running(options(cluster, folder, **fields), settings, kube) as webhook,
    ):
        if is_ready:
            async with asyncio.timeout(processes.PATIENCE):
                await webhook.until_ready()
        yield webhook


async def shown(port: int, bundle: bytes, namespace: str) -> bytes:
    """The certificate that whoever trusts the bundle and calls the service is shown, in PEM; SSLError: not trusted."""
    context = ssl.create_default_context(cadata=bundle.decode())
    _, writer = await asyncio.open_connection(
        "127.0.0.1", port, ssl=context, server_hostname=f"{SERVICE}.{namespace}.svc"
    )
    der = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.close()
    with contextlib.suppress(ConnectionError, ssl.SSLError):
        await writer.wait_closed()
    return ssl.DER_cert_to_PEM_cert(der).encode()


async def test_the_api_server_calls_the_service_and_trusts_the_certificate(cluster: Cluster, tmp_path: Path) -> None:
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": SERVICE, "namespace": cluster.namespace},
        # There is no network of services here, and this is how a name leads to this machine.
        "spec": {"type": "ExternalName", "externalName": "localhost"},
    }
    await asyncio.to_thread(cluster.server.apply, service)
    async with serving(cluster, tmp_path) as webhook:
        await asyncio.to_thread(lambda: cluster.register(port=webhook.port))
        secret = await asyncio.to_thread(cluster.secret)
        await cluster.has(secret["ca.crt"], secret["ca.crt"])
        bad = corpus.server(workloadSelector={})
        bad["metadata"]["namespace"] = cluster.namespace

        def refusal() -> Refused:
            with pytest.raises(Refused) as caught:
                cluster.server.apply(bad)
            return caught.value

        async def is_asked() -> bool:
            # Until the API server has heard of the bundle, it says that it cannot trust the webhook.
            return (await asyncio.to_thread(refusal)).status == 422

        await processes.until(is_asked)
        said = await asyncio.to_thread(refusal)
        assert "spec.workloadSelector.matchLabels: must have at least one label" in str(said)


async def test_a_configuration_that_is_created_anew_or_emptied_has_its_bundle_again(
    cluster: Cluster, tmp_path: Path
) -> None:
    async with serving(cluster, tmp_path):
        bundle = (await asyncio.to_thread(cluster.secret))["ca.crt"]
        for _ in range(2):
            await asyncio.to_thread(cluster.register)
            await cluster.has(bundle, bundle)
            await asyncio.to_thread(cluster.unregister)
        await asyncio.to_thread(cluster.register)
        await cluster.has(bundle, bundle)

        def spoil() -> None:
            found = cluster.server.get(registration(cluster.namespace, cluster.config))
            found["webhooks"][0]["clientConfig"]["caBundle"] = None
            found["webhooks"][1]["clientConfig"]["caBundle"] = base64.b64encode(trustme.CA().cert_pem.bytes()).decode()
            cluster.server.request("PUT", path_of(found), found)

        await asyncio.to_thread(spoil)
        await cluster.has(bundle, bundle)


async def test_with_somebody_who_sets_the_bundle_too_there_is_no_endless_fight(
    cluster: Cluster, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """cert-manager's injector answers a change within milliseconds."""
    foreign = trustme.CA().cert_pem.bytes()

    def warnings() -> list[str]:
        return [record.getMessage() for record in caplog.records if "somebody else sets" in record.getMessage()]

    async def is_told() -> bool:
        return bool(warnings())

    async with serving(cluster, tmp_path):
        bundle = (await asyncio.to_thread(cluster.secret))["ca.crt"]
        await asyncio.to_thread(cluster.register)
        for _ in range(configurations.BURST):
            await cluster.has(bundle, bundle)
            await asyncio.to_thread(cluster.give, foreign)
        await processes.until(is_told)
        assert await asyncio.to_thread(cluster.bundles) == [foreign] * 2
        # One that is created anew is no part of it.
        await asyncio.to_thread(cluster.unregister)
        await asyncio.to_thread(cluster.register)
        await cluster.has(bundle, bundle)
    assert len(warnings()) == 1


async def test_who_sets_the_bundle_before_our_change_is_answered_is_noticed(cluster: Cluster) -> None:
    foreign = trustme.CA().cert_pem.bytes()
    await asyncio.to_thread(cluster.register)

    class Slow(client.Client):
        """The watch has told of what somebody else did by the time the first answer comes."""

        is_first = True

        async def patch(self, *arguments: Any) -> client.Object:
            answer = await super().patch(*arguments)
            if self.is_first:
                self.is_first = False
                await asyncio.to_thread(cluster.give, foreign)
                await processes.until(is_spoilt)
            return answer

    async def is_spoilt() -> bool:
        return not any(kept._lacking(kept._there[cluster.config], foreign))

    async with Slow(configuration.from_files([cluster.server.kubeconfig])) as kube:
        kept = Configurations(kube, cluster.namespace, SERVICE, cluster.config)
        running = asyncio.create_task(kept.run())
        bundle = trustme.CA().cert_pem.bytes()
        try:
            async with asyncio.timeout(processes.PATIENCE):
                await kept.changed.wait()
                assert await kept.keep(bundle) is False
                while not await kept.keep(bundle):
                    await kept.changed.wait()
                    kept.changed.clear()
            assert await asyncio.to_thread(cluster.bundles) == [bundle, bundle]
        finally:
            running.cancel()
            await asyncio.wait((running,))


async def test_a_newer_bundle_of_another_replicas_is_not_overwritten_by_who_has_not_heard_of_it(
    cluster: Cluster,
) -> None:
    older, newer = (trustme.CA().cert_pem.bytes() for _ in range(2))
    await asyncio.to_thread(cluster.register)

    class Late(client.Client):
        """Another replica is quicker."""

        async def patch(self, *arguments: Any) -> client.Object:
            await asyncio.to_thread(cluster.give, newer)
            return await super().patch(*arguments)

    async with Late(configuration.from_files([cluster.server.kubeconfig])) as kube:
        kept = Configurations(kube, cluster.namespace, SERVICE, cluster.config)
        running = asyncio.create_task(kept.run())
        try:
            async with asyncio.timeout(processes.PATIENCE):
                await kept.changed.wait()
            assert await kept.keep(older) is False
            assert await asyncio.to_thread(cluster.bundles) == [newer, newer]
        finally:
            running.cancel()
            await asyncio.wait((running,))


async def test_only_entries_that_name_the_service_are_touched(cluster: Cluster, tmp_path: Path) -> None:
    other = f"other-{cluster.namespace}"
    await asyncio.to_thread(lambda: cluster.register(other, service="elsewhere"))
    try:
        mixed = registration(cluster.namespace, cluster.config)
        mixed["webhooks"][0]["clientConfig"]["service"]["name"] = "elsewhere"
        await asyncio.to_thread(cluster.server.apply, mixed)
        # Without a name of one configuration all are looked at.
        async with serving(cluster, tmp_path, webhook_configuration_name=""):

            async def is_there() -> bool:
                return (await asyncio.to_thread(cluster.bundles))[1] != b""

            await processes.until(is_there)
        assert (await asyncio.to_thread(cluster.bundles))[0] == b""
        assert await asyncio.to_thread(cluster.bundles, other) == [b"", b""]
    finally:
        await asyncio.to_thread(cluster.unregister, other)


RIGHTS: list[tuple[str, list[dict[str, Any]]]] = [
    (
        "Role",
        [
            {"apiGroups": [""], "resources": ["secrets"], "verbs": ["create"]},
            {"apiGroups": [""], "resources": ["secrets"], "resourceNames": [SECRET], "verbs": ["get", "update"]},
        ],
    ),
    (
        "ClusterRole",
        [
            {
                "apiGroups": ["admissionregistration.k8s.io"],
                "resources": ["validatingwebhookconfigurations"],
                "resourceNames": ["CONFIG"],
                "verbs": ["list", "watch", "patch"],
            }
        ],
    ),
]


def grant(cluster: Cluster) -> str:
    """The token of an account with the rights that docs/webhook.md names, and no others."""
    token = cluster.server.service_account(cluster.namespace, "webhook")
    subject = {"kind": "ServiceAccount", "name": "webhook", "namespace": cluster.namespace}
    for kind, rules in RIGHTS:
        named = [
            {**rule, **({"resourceNames": [cluster.config]} if rule.get("resourceNames") == ["CONFIG"] else {})}
            for rule in rules
        ]
        meta = {"name": cluster.config, "namespace": cluster.namespace}
        group = "rbac.authorization.k8s.io"
        cluster.server.apply(
            {"apiVersion": f"{group}/v1", "kind": kind, "metadata": meta, "rules": named},
            {
                "apiVersion": f"{group}/v1",
                "kind": f"{kind}Binding",
                "metadata": meta,
                "roleRef": {"apiGroup": group, "kind": kind, "name": cluster.config},
                "subjects": [subject],
            },
        )
    return token


async def test_the_rights_that_are_documented_are_enough(cluster: Cluster, tmp_path: Path) -> None:
    token = await asyncio.to_thread(grant, cluster)
    kubeconfig = cluster.server.kubeconfig_for(token, tmp_path / "kubeconfig")
    await asyncio.to_thread(cluster.register)
    async with serving(cluster, tmp_path, kubeconfig):
        bundle = (await asyncio.to_thread(cluster.secret))["ca.crt"]
        await cluster.has(bundle, bundle)
    # And once more, with the Secret there.
    async with serving(cluster, tmp_path, kubeconfig) as webhook:
        assert (await asyncio.to_thread(cluster.secret))["ca.crt"] == bundle
        await shown(webhook.port, bundle, cluster.namespace)


async def test_a_right_that_is_missing_is_named_in_readyz(cluster: Cluster, tmp_path: Path) -> None:
    token = await asyncio.to_thread(cluster.server.service_account, cluster.namespace, "nobody")
    kubeconfig = cluster.server.kubeconfig_for(token, tmp_path / "kubeconfig")
    async with serving(cluster, tmp_path, kubeconfig, is_ready=False) as webhook:

        async def is_told() -> bool:
            status, _, body = webhook._readyz()
            assert status == 503
            return b'cannot get resource "secrets"' in body

        await processes.until(is_told)


async def test_two_replicas_that_start_at_once_share_one_certificate(cluster: Cluster, tmp_path: Path) -> None:
    await asyncio.to_thread(cluster.register)
    arguments = (
        *("webhook", "--host", "127.0.0.1", "--port", "0", "--metrics-port", "0"),
        *("--tls-cert-file", str(tmp_path / "none"), "--cert-secret-name", SECRET, "--webhook-service-name", SERVICE),
        *("--webhook-configuration-name", cluster.config, "--cluster-warnings=false"),
    )
    variables = {"KUBECONFIG": str(cluster.server.kubeconfig), "POD_NAMESPACE": cluster.namespace}
    async with contextlib.AsyncExitStack() as stack:
        replicas = await asyncio.gather(
            *(stack.enter_async_context(processes.program(*arguments, **variables)) for _ in range(3))
        )
        ports = []
        for replica in replicas:
            await replica.says("ready: reviews are answered")
            ports.append(
                int((await replica.says("reviews on 127.0.0.1:")).partition("127.0.0.1:")[2].partition(",")[0])
            )
        secret = await asyncio.to_thread(cluster.secret)
        assert [await shown(port, secret["ca.crt"], cluster.namespace) for port in ports] == [secret["tls.crt"]] * 3
        await cluster.has(secret["ca.crt"], secret["ca.crt"])
        for replica in replicas:
            replica.send(signal.SIGTERM)
            assert await replica.ended() == 0
            assert replica.complaints == []


# One look at a time, at a time that the test chooses


class Replica:
    """One replica's look at the certificate, without a port; `served` is what it would show."""

    def __init__(self, kube: client.Client, cluster: Cluster) -> None:
        self.now = datetime.now(UTC)
        self.served: list[datetime] = []
        self.configurations = Configurations(kube, cluster.namespace, SERVICE, cluster.config)
        self.looking = self_made.SelfMade(
            Secret(kube, cluster.namespace, SECRET),
            self.configurations,
            self_made.names(SERVICE, cluster.namespace),
            lambda: self.now,
            lambda _, ends: self.served.append(ends),
        )
        self._watching = asyncio.create_task(self.configurations.run())

    async def knows(self) -> None:
        """Return once it knows the configurations."""
        async with asyncio.timeout(processes.PATIENCE):
            await self.configurations.changed.wait()

    async def look(self, now: datetime | None = None) -> None:
        self.now = now or self.now
        await self.looking.look()

    async def end(self) -> None:
        self._watching.cancel()
        await asyncio.gather(self._watching, return_exceptions=True)

    @property
    def chain(self) -> bytes:
        served = self.looking._served
        assert served is not None
        return served.chain


@contextlib.asynccontextmanager
async def replicas(cluster: Cluster, number: int = 1) -> AsyncIterator[list[Replica]]:
    kube_config = configuration.from_files([cluster.server.kubeconfig])
    async with asking.last_word(cluster.server), client.Client(kube_config) as kube:
        made = [Replica(kube, cluster) for _ in range(number)]
        try:
            yield made
        finally:
            for replica in made:
                await replica.end()


async def test_configurations_have_a_new_authority_before_any_replica_shows_its_certificate(cluster: Cluster) -> None:
    await asyncio.to_thread(cluster.register)
    async with replicas(cluster, 2) as (first, second):
        await first.knows()
        await second.knows()
        await first.look()
        await second.look()
        before = await asyncio.to_thread(cluster.secret)
        assert first.chain == second.chain == before["tls.crt"]

        due = first.now + authority.AUTHORITY_LIFE * 2 / 3 + DAY
        # The certificate is renewed in time, long before.
        await first.look(due - 2 * DAY)
        await first.look(due)
        during = await asyncio.to_thread(cluster.secret)
        assert during["ca.crt"] != before["ca.crt"]
        assert during["ca.crt"].endswith(before["ca.crt"])
        await cluster.has(during["ca.crt"], during["ca.crt"])
        # A replica that has not looked yet shows what the bundle still trusts, and does not set the bundle back.
        assert second.chain == before["tls.crt"]
        await second.look(due)
        await cluster.has(during["ca.crt"], during["ca.crt"])

        settled = due + authority.SETTLE
        while (await asyncio.to_thread(cluster.secret))["tls.crt"] == during["tls.crt"]:
            # Not before the configurations are known to have the bundle, which the watch tells.
            await first.look(settled)
        await second.look(settled)
        after = await asyncio.to_thread(cluster.secret)
        assert first.chain == second.chain == after["tls.crt"]
        assert after["ca.crt"] == during["ca.crt"]


async def test_replicas_that_renew_at_once_agree(cluster: Cluster) -> None:
    async with replicas(cluster, 4) as every:
        await asyncio.gather(*(replica.look() for replica in every))
        assert len({replica.chain for replica in every}) == 1
        due = every[0].now + 250 * DAY
        for _ in range(2):
            # The second look: the bundle is known to be out.
            await asyncio.gather(*(replica.knows() for replica in every))
            await asyncio.gather(*(replica.look(due) for replica in every))
        assert {replica.chain for replica in every} == {(await asyncio.to_thread(cluster.secret))["tls.crt"]}
        assert all(len(replica.served) == 2 for replica in every)


async def test_a_secret_that_was_deleted_is_made_anew_and_both_authorities_are_trusted(cluster: Cluster) -> None:
    await asyncio.to_thread(cluster.register)
    async with replicas(cluster) as (replica,):
        await replica.knows()
        await replica.look()
        before = await asyncio.to_thread(cluster.secret)
        await asyncio.to_thread(cluster.server.delete, secret_of(cluster.namespace))
        await replica.look()
        after = await asyncio.to_thread(cluster.secret)
        assert after["tls.crt"] != before["tls.crt"]
        assert after["ca.crt"].endswith(before["ca.crt"])
        await cluster.has(after["ca.crt"], after["ca.crt"])


async def test_an_empty_secret_is_filled_and_keeps_what_else_is_in_it(cluster: Cluster) -> None:
    await asyncio.to_thread(cluster.server.apply, secret_of(cluster.namespace, {"other": b"x"}))
    async with replicas(cluster) as (replica,):
        await replica.look()
        secret = await asyncio.to_thread(cluster.secret)
        assert secret.keys() == {"other", "tls.crt", "tls.key", "ca.crt", "ca.key"}
        assert replica.chain == secret["tls.crt"]


def foreign(cluster: Cluster) -> Object:
    """A pair that somebody made, without its authority."""
    issued = trustme.CA().issue_cert(f"{SERVICE}.{cluster.namespace}.svc")
    chain = b"".join(blob.bytes() for blob in issued.cert_chain_pems)
    return secret_of(cluster.namespace, {"tls.crt": chain, "tls.key": issued.private_key_pem.bytes()})


async def test_a_secret_of_somebody_elses_is_served_and_neither_it_nor_the_configurations_are_written(
    cluster: Cluster,
) -> None:
    await asyncio.to_thread(cluster.register)
    (given,) = await asyncio.to_thread(cluster.server.apply, foreign(cluster))
    async with replicas(cluster) as (replica,):
        await replica.knows()
        with pytest.raises(self_made.Unusable, match=r"without its authority \(ca.crt\).* has no caBundle"):
            await replica.look()
        assert replica.chain == base64.b64decode(given["data"]["tls.crt"])
        # Not even when it has ended.
        with pytest.raises(self_made.Unusable):
            await replica.look(replica.now + 100_000 * DAY)
    kept = await asyncio.to_thread(cluster.server.get, secret_of(cluster.namespace))
    assert kept["metadata"]["resourceVersion"] == given["metadata"]["resourceVersion"]
    assert await asyncio.to_thread(cluster.bundles) == [b"", b""]


async def test_a_secret_that_is_gone_and_may_not_be_made_anew_is_told_with_what_to_do(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refused(*_: Any) -> Object:
        raise failures.ApiError(403, "Forbidden", 'secrets is forbidden: cannot create resource "secrets"')

    async with replicas(cluster) as (replica,):
        monkeypatch.setattr(client.Client, "create", refused)
        with pytest.raises(failures.KubeError, match=r"there is no Secret .*403 Forbidden.*create it, empty"):
            await replica.look()


async def test_cert_managers_secret_is_never_written(cluster: Cluster) -> None:
    theirs = secret_of(cluster.namespace, annotations={"cert-manager.io/certificate-name": "webhook"})
    (given,) = await asyncio.to_thread(cluster.server.apply, theirs)
    async with replicas(cluster) as (replica,):
        with pytest.raises(self_made.Unusable, match="somebody else's and holds no certificate yet"):
            await replica.look()
    kept = await asyncio.to_thread(cluster.server.get, theirs)
    assert kept["metadata"]["resourceVersion"] == given["metadata"]["resourceVersion"]


async def test_an_api_server_that_is_away_costs_nothing_but_the_news(
    own_kube_apiserver: KubeApiServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(self_made, "LOOK_EVERY", 0.1)
    cluster = Cluster(own_kube_apiserver, own_kube_apiserver.create_namespace())
    async with serving(cluster, tmp_path) as webhook:
        bundle = (await asyncio.to_thread(cluster.secret))["ca.crt"]
        await asyncio.to_thread(own_kube_apiserver.stop_apiserver)

        async def says(words: bytes) -> bool:
            status, _, body = webhook._readyz()
            assert status == 200
            return words in body

        await processes.until(lambda: says(b"ok, but GET /api/v1/"))
        await shown(webhook.port, bundle, cluster.namespace)
        await asyncio.to_thread(own_kube_apiserver.start)
        await asyncio.to_thread(cluster.register)
        await cluster.has(bundle, bundle)
        await processes.until(lambda: says(b"ok\n"))


async def test_after_a_look_that_went_well_the_next_that_fails_is_repeated_soon(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(self_made, "LOOK_EVERY", 0.001)
    monkeypatch.setattr(self_made, "FIRST_DELAY", 0.001)
    # Without a bound, 24 failures in a row would be hours.
    monkeypatch.setattr(self_made, "MAX_DELAY", 36_000.0)
    four_failures = [breaking.refusal(503, "ServiceUnavailable")] * 4
    answers = [*four_failures, breaking.raw(orjson.dumps(foreign(cluster)))] * 6
    async with breaking.server(*answers) as api, client.Client(api.cluster) as kube:
        replica = Replica(kube, cluster)
        # Only the Secret is asked for.
        await replica.end()
        running = asyncio.create_task(replica.looking.run())
        await api.until_asked(len(answers))
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


class Stalling:
    """A client of whose requests one waits for ever, before it is sent or once it was answered."""

    def __init__(self, kube: client.Client, *, at: int, is_sent: bool) -> None:
        self._kube = kube
        self._at = at
        self._is_sent = is_sent
        self._number = 0
        self.stalled = asyncio.Event()

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._kube, name)

        async def call(*arguments: Any, **named: Any) -> Any:
            self._number += 1
            stalls = self._number == self._at
            if stalls and not self._is_sent:
                await self._stall()
            try:
                return await method(*arguments, **named)
            finally:
                if stalls and self._is_sent:
                    await self._stall()

        return call if name in {"get", "create", "replace", "patch"} else method

    async def _stall(self) -> None:
        self.stalled.set()
        await asyncio.get_running_loop().create_future()


@pytest.mark.parametrize("is_sent", [False, True], ids=["before it is sent", "once it was answered"])
@pytest.mark.parametrize("at", [1, 2, 3])
async def test_a_look_that_is_cancelled_at_any_request_leaves_all_for_the_next(
    cluster: Cluster, at: int, is_sent: bool
) -> None:
    await asyncio.to_thread(cluster.register)
    async with replicas(cluster) as (replica,):
        await replica.knows()
        kube = replica.configurations._kube
        stalling: Any = Stalling(kube, at=at, is_sent=is_sent)
        replica.configurations._kube = replica.looking._secret._kube = stalling
        task = asyncio.create_task(replica.look())
        await asyncio.wait_for(stalling.stalled.wait(), processes.PATIENCE)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert task.cancelled()
        replica.configurations._kube = replica.looking._secret._kube = kube
        await replica.look()
        secret = await asyncio.to_thread(cluster.secret)
        assert replica.chain == secret["tls.crt"]
        await cluster.has(secret["ca.crt"], secret["ca.crt"])


@pytest.mark.parametrize("problem", [failures.Unreachable("gone"), failures.ApiError(403, "Forbidden", "no")])
async def test_a_bundle_that_cannot_be_given_is_no_reason_not_to_serve(
    cluster: Cluster, problem: failures.KubeError, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with replicas(cluster) as (replica,):

        async def keep(_: bytes) -> bool:
            raise problem

        monkeypatch.setattr(replica.configurations, "keep", keep)
        with pytest.raises(type(problem)):
            await replica.look()
        assert replica.served
