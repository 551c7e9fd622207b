"""The ValidatingWebhookConfigurations that name our Service, and the `caBundle` in them.

1. Only entries whose `clientConfig.service` is ours are touched, and of those only the `caBundle`.
2. They are watched, so that one that is created anew, or emptied, has its bundle again at once. What stands in them is
   what the watch says: the answer to our own change may be older.
3. Somebody else may set the bundle too, cert-manager's injector for instance, and as soon as we do. So one
   configuration is given its bundle `BURST` times, and then once in `EVERY` seconds, and that is said.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import quote

from kthena_fast.kube import client, failures, reflector
from kthena_fast.kube.bucket import Bucket
from kthena_fast.kube.listed import Listed

log = logging.getLogger(__name__)

BURST = 5
EVERY = 60.0

PATH = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations"


class Configurations:
    """What there is of them, kept current by `run`; a `kube.reflector.Store`."""

    def __init__(
        self,
        kube: client.Client,
        namespace: str,
        service: str,
        name: str = "",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`name` empty: all that name the service."""
        self.changed = asyncio.Event()
        """Set when one came, changed or went, and when they were read for the first time."""
        self._kube = kube
        self._service = (namespace, service)
        self._there: dict[str, client.Object] = {}
        self._listed = Listed()
        self._clock = clock
        self._allowances: dict[str, Bucket] = {}
        """By uid: one that is created anew is another one."""
        self._said: set[str] = set()
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
            if lacking and self._may_give(name, obj["metadata"]["uid"]):
                await self._give(name, obj, lacking, bundle)
        all_have = not any(any(self._lacking(obj, bundle)) for obj in self._there.values())
        return all_have and self._reflector.synced and self._reflector.fault is None

    def bare(self) -> list[str]:
        """The entries that call our service and name no authority at all, each with where it stands."""
        return [f"{entry} in {name}" for name, obj in self._there.items() for entry, has in self._ours(obj) if not has]

    def _may_give(self, name: str, uid: str) -> bool:
        now = self._clock()
        allowance = self._allowances.setdefault(uid, Bucket(1 / EVERY, BURST, now))
        if not allowance.take(now):
            return True
        if name not in self._said:
            self._said.add(name)
            log.warning(
                "somebody else sets the caBundle of %s again and again, so it is set back every %g s only; "
                "leave it to one of the two",
                name,
                EVERY,
            )
        return False

    async def _give(self, name: str, obj: client.Object, entries: list[str], bundle: bytes) -> None:
        text = base64.b64encode(bundle).decode()
        change = {
            # Whoever changed it meanwhile is watched, and looked at anew.
            "metadata": {"resourceVersion": obj["metadata"]["resourceVersion"]},
            "webhooks": [{"name": entry, "clientConfig": {"caBundle": text}} for entry in entries],
        }
        try:
            await self._kube.patch(f"{PATH}/{quote(name, safe='')}", change, client.PatchType.STRATEGIC)
        except failures.ApiError as refusal:
            if refusal.is_conflict or refusal.is_not_found:
                return
            raise
        log.info("the caBundle of %s is set in %s", ", ".join(entries), name)

    def _lacking(self, obj: client.Object, bundle: bytes) -> Iterator[str]:
        """The entries that call our service and have not this bundle."""
        return (entry for entry, has in self._ours(obj) if has != bundle)

    def _ours(self, obj: client.Object) -> Iterator[tuple[str, bytes]]:
        for entry in obj.get("webhooks") or ():
            config = entry.get("clientConfig") or {}
            service = config.get("service") or {}
            if (service.get("namespace"), service.get("name")) == self._service:
                yield entry["name"], _bundle(config)

    def begin(self) -> None:
        self._listed.begin()

    def put(self, obj: Any) -> None:
        name = obj["metadata"]["name"]
        self._listed.note(name)
        self._there[name] = obj

    def drop(self, obj: Any) -> None:
        self._forget(obj["metadata"]["name"])

    def settle(self) -> None:
        for name in self._there.keys() - self._listed.settle():
            self._forget(name)
        self.changed.set()

    def flush(self) -> None:
        self.changed.set()

    def _forget(self, name: str) -> None:
        gone = self._there.pop(name, None)
        if gone is not None:
            self._allowances.pop(gone["metadata"]["uid"], None)


def _bundle(config: Mapping[str, Any]) -> bytes:
    try:
        return base64.b64decode(config.get("caBundle") or "")
    except (binascii.Error, TypeError):
        return b""


def _say(kept: reflector.Reflector) -> None:
    if kept.fault is not None:
        log.warning("the webhook configurations cannot be watched: %s", kept.fault)
