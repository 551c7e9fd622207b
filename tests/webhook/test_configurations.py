"""What becomes of the webhook configurations, without an API server that has any."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from kthena_fast.kube import reflector
from kthena_fast.kube.client import Client
from kthena_fast.webhook.configurations import Configurations
from tests.kube import breaking

BUNDLE = b"a bundle"


class Taken:
    """A client whose changes are taken."""

    async def patch(self, *_: Any) -> dict[str, Any]:
        return {}


def configuration(uid: str) -> dict[str, Any]:
    service = {"namespace": "ns", "name": "webhook"}
    return {
        "metadata": {"name": f"config-{uid}", "uid": uid, "resourceVersion": "1"},
        "webhooks": [{"name": "validate.kthena-fast.io", "clientConfig": {"service": service}}],
    }


async def test_of_configurations_that_are_gone_nothing_is_kept() -> None:
    kept = Configurations(cast("Client", Taken()), "ns", "webhook")
    kept.begin()
    kept.settle()
    for number in range(3):
        kept.put(configuration(str(number)))
        await kept.keep(BUNDLE)
        kept.drop(configuration(str(number)))
    assert not kept._allowances


async def test_what_cannot_be_watched_is_not_known_to_have_the_bundle(monkeypatch: pytest.MonkeyPatch) -> None:
    """What stands there may be another one by now."""
    monkeypatch.setattr(reflector, "FIRST_DELAY", 0.001)
    none = breaking.listing(version="1")
    refused = breaking.refusal(503, "Unavailable")
    async with breaking.server(none, refused, breaking.watching(stays=True)) as api, Client(api.cluster) as kube:
        kept = Configurations(kube, "ns", "webhook")
        stood: list[bool] = []
        has_begun = asyncio.Event()

        def note(_: reflector.Reflector) -> None:
            # At this moment, and there is nothing to be given that would be waited for.
            with pytest.raises(StopIteration) as kept_all:
                kept.keep(BUNDLE).send(None)
            stood.append(kept_all.value.value)
            if len(stood) == 3:
                has_begun.set()

        kept._reflector._on_change = note
        running = asyncio.create_task(kept.run())
        await asyncio.wait_for(has_begun.wait(), 20)
        running.cancel()
        await asyncio.wait((running,))
    # It was read, the watch was refused, the watch began.
    assert stood == [True, False, True]
