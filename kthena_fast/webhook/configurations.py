"""The ValidatingWebhookConfigurations that name our Service, and the `caBundle` in them.

1. Only entries whose `clientConfig.service` is ours are touched, and of those only the `caBundle`.
2. They are watched, so that one that is created anew, or emptied, has its bundle again at once.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import logging
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote

from kthena_fast.kube import client, failures, reflector

log = logging.getLogger(__name__)

PATH = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations"


class Configurations:
    """What there is of them, kept current by `run`; a `kube.reflector.Store`."""

    def __init__(self, kube: client.Client, namespace: str, service: str, name: str = "") -> None:
        """`name` empty: all that name the service."""
        self.changed = asyncio.Event()
        """Set when one came, changed or went, and when they were read for the first time."""
        self._kube = kube
        self._service = (namespace, service)
        self._there: dict[str, client.Object] = {}
        self._listed: set[str] = set()
        query = {"fieldSelector": f"metadata.name={name}"} if name else None
        self._reflector = reflector.Reflector(kube, PATH, self, query, on_change=_say)

    async def run(self) -> None:
        """Keep them current until cancelled."""
        await self._reflector.run()

    async def keep(self, bundle: bytes) -> bool:
        """Give the bundle to every entry that lacks it; whether all are known to have it.

        KubeError where the API server cannot be asked, or refuses.
        """
        for name, obj in list(self._there.items()):
            lacking = list(self._lacking(obj, bundle))
            if lacking:
                self._there[name] = await self._give(name, obj, lacking, bundle)
        return self._reflector.synced and self._reflector.fault is None

    async def _give(self, name: str, obj: client.Object, entries: list[str], bundle: bytes) -> client.Object:
        text = base64.b64encode(bundle).decode()
        change = {
            # Whoever changed it meanwhile is watched, and looked at anew.
            "metadata": {"resourceVersion": obj["metadata"]["resourceVersion"]},
            "webhooks": [{"name": entry, "clientConfig": {"caBundle": text}} for entry in entries],
        }
        try:
            patched = await self._kube.patch(f"{PATH}/{quote(name, safe='')}", change, client.PatchType.STRATEGIC)
        except failures.ApiError as refusal:
            if refusal.is_conflict or refusal.is_not_found:
                return obj
            raise
        log.info("the caBundle of %s is set in %s", ", ".join(entries), name)
        return patched

    def _lacking(self, obj: client.Object, bundle: bytes) -> Iterator[str]:
        """The entries that call our service and have not this bundle."""
        for entry in obj.get("webhooks") or ():
            config = entry.get("clientConfig") or {}
            service = config.get("service") or {}
            if (service.get("namespace"), service.get("name")) == self._service and _bundle(config) != bundle:
                yield entry["name"]

    def begin(self) -> None:
        self._listed = set()

    def put(self, obj: Any) -> None:
        name = obj["metadata"]["name"]
        self._listed.add(name)
        self._there[name] = obj

    def drop(self, obj: Any) -> None:
        self._there.pop(obj["metadata"]["name"], None)

    def settle(self) -> None:
        for name in self._there.keys() - self._listed:
            del self._there[name]
        self.changed.set()

    def flush(self) -> None:
        self.changed.set()


def _bundle(config: Mapping[str, Any]) -> bytes:
    try:
        return base64.b64decode(config.get("caBundle") or "")
    except (binascii.Error, TypeError):
        return b""


def _say(kept: reflector.Reflector) -> None:
    if kept.fault is not None:
        log.warning("the webhook configurations cannot be watched: %s", kept.fault)
