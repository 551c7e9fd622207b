"""`GET /v1/models` and `GET /v1/models/{id}`, in OpenAI's shape and with upstream's constants."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kthena_fast import errors

if TYPE_CHECKING:
    from kthena_fast.routing.snapshot import Snapshot

PATH = "/v1/models"


def is_model_list(path: str) -> bool:
    """Whether a path asks for the list or for one entry; ids may contain slashes."""
    return path == PATH or path.startswith(PATH + "/")


def answer(snapshot: Snapshot, path: str) -> dict[str, Any]:
    """The list, or the one entry that the path names; GatewayError 404 where nobody serves it."""
    wanted = path.removeprefix(PATH).strip("/")
    if not wanted:
        return {"object": "list", "data": [_entry(name) for name in snapshot.models()]}
    if not snapshot.knows(wanted):
        raise errors.model_not_found(wanted)
    return _entry(wanted)


def _entry(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": 0, "owned_by": "kthena"}
