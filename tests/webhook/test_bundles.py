"""The authority of a self-made certificate in configurations of a real API server, where others write too."""

from __future__ import annotations

import asyncio
import base64
from pathlib import Path
from typing import Any

import pytest
import trustme

from kthena_fast.kube import client, configuration
from kthena_fast.webhook import configurations
from kthena_fast.webhook.configurations import Configurations
from tests.gateway import processes
from tests.kube.apiserver import path_of
from tests.webhook.registered import SERVICE, Cluster, registration, serving


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
