"""The Secret that holds a self-made certificate, shared by all replicas.

1. Who makes it first, makes it for all: whoever finds it there, or changed, takes what is in it (the API server lets
   only one create it, and only the newest version be replaced).
2. One that is somebody else's is served and never written: cert-manager's, and one without `ca.crt`, which somebody
   put there with a pair of their own.
3. Keys: `tls.crt`, `tls.key`, `ca.crt` as upstream's router names them, and `ca.key`, with which `tls.crt` is renewed.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import quote

from kthena_fast.kube import client, failures
from kthena_fast.webhook.authority import Held

CERT_MANAGER = "cert-manager.io/"
"""What the annotations begin with that cert-manager puts on its Secrets."""

_KEYS = {"chain": "tls.crt", "key": "tls.key", "bundle": "ca.crt", "authority_key": "ca.key"}


class Missing(failures.KubeError):
    """There is no Secret, and none may be created; says what to do."""


class Found(NamedTuple):
    """What there is. Both None: no Secret."""

    obj: client.Object | None
    held: Held | None
    """None: there is no certificate in it."""
    is_ours: bool


class Secret:
    """One Secret, by name."""

    def __init__(self, kube: client.Client, namespace: str, name: str) -> None:
        self.name = f"{namespace}/{name}"
        """For the log."""
        self._kube = kube
        self._namespace = namespace
        self._short = name
        self._collection = f"/api/v1/namespaces/{quote(namespace, safe='')}/secrets"
        self._path = f"{self._collection}/{quote(name, safe='')}"

    async def read(self) -> Found:
        """What is there now; KubeError where nobody can say."""
        try:
            obj = await self._kube.get(self._path)
        except failures.ApiError as refusal:
            if refusal.is_not_found:
                return Found(None, None, is_ours=True)
            raise
        return _understood(obj)

    async def write(self, found: Found, held: Held) -> bool:
        """Put a certificate in place of what was found; False: somebody was quicker, and it is to be read anew.

        Missing, or another KubeError.
        """
        data = {name: base64.b64encode(getattr(held, field)).decode() for field, name in _KEYS.items()}
        try:
            if found.obj is None:
                meta = {"name": self._short, "namespace": self._namespace}
                await self._kube.create(
                    self._collection,
                    {
                        "apiVersion": "v1",
                        "kind": "Secret",
                        "type": "kubernetes.io/tls",
                        "metadata": meta,
                        "data": data,
                    },
                )
            else:
                # What else is in it stays; its resourceVersion makes sure that nothing was changed meanwhile.
                await self._kube.replace(self._path, {**found.obj, "data": {**(found.obj.get("data") or {}), **data}})
        except failures.ApiError as refusal:
            if refusal.is_conflict or (refusal.is_not_found and found.obj is not None):
                return False
            if refusal.is_forbidden and found.obj is None:
                raise Missing(
                    f"there is no Secret {self.name} and it may not be created here ({refusal}): create it, empty, as "
                    "the chart does (helm upgrade)"
                ) from refusal
            raise
        return True


def _understood(obj: client.Object) -> Found:
    data = obj.get("data") or {}
    texts = {field: _decoded(data, name) for field, name in _KEYS.items()}
    meta = obj.get("metadata") or {}
    is_cert_managers = any(name.startswith(CERT_MANAGER) for name in meta.get("annotations") or {})
    is_ours = not is_cert_managers and (bool(texts["bundle"]) or not texts["chain"])
    return Found(obj, Held(**texts) if texts["chain"] and texts["key"] else None, is_ours)


def _decoded(data: Mapping[str, Any], name: str) -> bytes:
    try:
        return base64.b64decode(data.get(name) or "")
    except (binascii.Error, TypeError):
        return b""
