"""Looks at the self-made certificate, one by one, at times that the test chooses, in a real API server."""

from __future__ import annotations

import asyncio
import base64
import contextlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest
import trustme

from kthena_fast.kube import client, configuration, failures
from kthena_fast.webhook import authority, self_made
from kthena_fast.webhook.configurations import Configurations
from kthena_fast.webhook.secret import Secret
from tests.gateway import processes
from tests.kube import breaking
from tests.kube.apiserver import Object
from tests.webhook import asking
from tests.webhook.registered import SECRET, SERVICE, Cluster, secret_of

DAY = timedelta(days=1)


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
