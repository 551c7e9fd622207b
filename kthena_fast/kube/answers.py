"""What the API server answers, decoded: objects, pages of a list, the events of a watch.

Everything has a largest size, and `Malformed` is raised of what is larger, or cannot be understood.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING, Any, NamedTuple

from kthena_fast.kube import failures
from kthena_fast.wire import nesting

if TYPE_CHECKING:
    import aiohttp

MAX_ANSWER_BYTES = 64 << 20
MAX_LINE_BYTES = 8 << 20
"""Of a watch; etcd holds objects of 1.5 MiB by default."""


class Page(NamedTuple):
    """Part of a list."""

    items: list[Any]
    version: str
    """The version of the whole list, from which a watch goes on."""


class Event(NamedTuple):
    """One line of a watch: `ADDED`, `MODIFIED`, `DELETED` or `BOOKMARK`, and the object."""

    type: str
    object: Any


async def events(response: aiohttp.ClientResponse, path: str) -> AsyncGenerator[list[Event], None]:
    """What a watch of `path` brings, as many at a time as came together; raises as `client.watch` says."""
    rest = b""
    async for chunk in response.content.iter_any():
        whole, newline, tail = chunk.rpartition(b"\n")
        if not newline:
            rest += chunk
        else:
            lines = (rest + whole).split(b"\n")
            rest = tail
            found: list[Event] = []
            failure = None
            for line in lines:
                try:
                    found.append(_event(line, path))
                except failures.KubeError as error:
                    failure = error
                    break
            if found:
                yield found
            if failure is not None:
                raise failure
        if len(rest) > MAX_LINE_BYTES:
            raise failures.Malformed(f"watching {path}: an event is larger than {MAX_LINE_BYTES} bytes")
    if rest.strip():
        raise failures.Unreachable(f"watching {path}: the stream ended within an event")


def _event(line: bytes, path: str) -> Event:
    try:
        said, _ = nesting.loads(line)
        kind, obj = said["type"], said["object"]
    except (ValueError, KeyError, TypeError) as error:
        raise failures.Malformed(f"watching {path}: an event cannot be understood: {error!r}") from None
    if not isinstance(obj, dict):
        raise failures.Malformed(f"watching {path}: the object of an event is none")
    if kind == "ERROR":
        raise failures.from_status(obj, 500)
    return Event(kind, obj)


def mapping(text: bytes, path: str) -> dict[str, Any]:
    """The object that an answer is."""
    try:
        found, _ = nesting.loads(text)
    except ValueError as error:
        raise failures.Malformed(f"the answer of {path} is no JSON: {error}") from None
    if not isinstance(found, dict):
        raise failures.Malformed(f"the answer of {path} is no object")
    return found


def page(text: bytes, path: str) -> tuple[Page, str]:
    """A page, and the token of the next one; empty: it is the last."""
    found = mapping(text, path)
    items = found.get("items") or []
    meta = found.get("metadata")
    if not isinstance(items, list) or not isinstance(meta, dict):
        raise failures.Malformed(f"GET {path}: the answer is no list")
    return Page(items, str(meta.get("resourceVersion") or "")), meta.get("continue") or ""


async def bounded(response: aiohttp.ClientResponse, limit: int) -> bytes:
    """The body of a response."""
    parts: list[bytes] = []
    size = 0
    async for part in response.content.iter_any():
        size += len(part)
        if size > limit:
            raise failures.Malformed(f"the answer of {response.url.path} is larger than {limit} bytes")
        parts.append(part)
    return b"".join(parts)
