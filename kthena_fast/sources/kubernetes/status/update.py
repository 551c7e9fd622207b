"""One object's status: read, compared and, where something else is to stand, written.

1. The patch names the resourceVersion that was read: what others write in between is a conflict and not lost, since the
   list of conditions is written whole.
2. What was found is of one object and one generation of it. If another stands there now, nothing is written: the watch
   brings it, and with it another finding.
3. An answer without our conditions means that the CRD has no place for them and the API server prunes them.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from kthena_fast.kube import failures
from kthena_fast.kube.client import PatchType
from kthena_fast.resources import decoding, size
from kthena_fast.routing import conditions
from kthena_fast.routing.findings import Finding, Identity, OfRoute, Refused

if TYPE_CHECKING:
    from kthena_fast.kube.client import Client, Object

REQUEST_TIMEOUT = 4.0


class Outcome(enum.StrEnum):
    """What became of an update; a metric's label."""

    WRITTEN = "written"
    STANDS = "stands"
    """It said so already."""
    STALE = "stale"
    """Another object, or another generation of it, is there than was looked at."""
    PRUNED = "pruned"
    """Rule 3."""


def collection(kind: str, namespace: str = "") -> str:
    """Where objects of a kind are; without a namespace those of all."""
    where = f"/namespaces/{namespace}" if namespace else ""
    return f"/apis/{decoding.API_VERSION}{where}/{kind.lower()}s"


def path(identity: Identity) -> str:
    """Where an object is."""
    namespace, _, name = identity.key.partition("/")
    return f"{collection(identity.kind, namespace)}/{name}"


def wanted(finding: Finding, obj: Mapping[str, Any], now: datetime) -> Outcome | dict[str, Any]:
    """The status to be merged over what an object has, or why there is none to be."""
    meta = obj.get("metadata", {})
    generation = meta.get("generation", 0)
    if isinstance(finding, Refused):
        # A rejection does not say of which generation it is; what can be read by now was mended.
        if _can_be_read(obj):
            return Outcome.STALE
    else:
        looked_at = (finding.route if isinstance(finding, OfRoute) else finding.server).metadata
        if (looked_at.uid, looked_at.generation) != (meta.get("uid", ""), generation):
            return Outcome.STALE
    status = conditions.written(finding, obj.get("status"), generation, now)
    return Outcome.STANDS if status is None else status


def _can_be_read(obj: Mapping[str, Any]) -> bool:
    if size.is_too_large(obj.get("spec")):
        return False
    try:
        decoding.decode(obj)
    except decoding.Rejected:
        return False
    return True


class Prepared(NamedTuple):
    """What is to be merged over the version of an object that was read, and no other."""

    version: str
    status: dict[str, Any]


def prepared(finding: Finding, obj: Mapping[str, Any], now: datetime) -> Outcome | Prepared:
    """What is to be written over an object as it was read, or why there is nothing to be."""
    status = wanted(finding, obj, now)
    return status if isinstance(status, Outcome) else Prepared(obj["metadata"]["resourceVersion"], status)


async def read(kube: Client, identity: Identity) -> Object:
    """The object as it is now; raises as `kube.client` does, and so does `write`."""
    return await kube.get(path(identity), timeout=REQUEST_TIMEOUT)


async def write(kube: Client, identity: Identity, change: Prepared) -> Outcome:
    """Have the object's status say what was found."""
    patch: Object = {"metadata": {"resourceVersion": change.version}, "status": change.status}
    try:
        written = await kube.request(
            "PATCH", f"{path(identity)}/status", patch, content_type=PatchType.MERGE, timeout=REQUEST_TIMEOUT
        )
    except failures.ApiError as error:
        if not error.is_not_found:
            raise
        # The answer is the same whether the object is gone, as this will say, or its CRD has no such subresource.
        await read(kube, identity)
        raise failures.ApiError(405, "MethodNotAllowed", "its CRD has no status subresource") from error
    return Outcome.WRITTEN if conditions.are_in(written.get("status")) else Outcome.PRUNED
