"""`Review`: reads the lists of all objects once, page by page, as its reader has room for them.

A list that breaks off, or of which the API server forgets the rest while the reader is busy, is begun anew: what was
dealt with by then costs the second time no more than a look.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

from kthena_fast.routing import findings
from kthena_fast.sources.kubernetes.status import update

if TYPE_CHECKING:
    from kthena_fast.kube.answers import Page
    from kthena_fast.kube.client import Client


class Part(NamedTuple):
    """Some objects of a kind."""

    kind: str
    items: list[Any]


class Review:
    """One reading."""

    def __init__(self, kube: Client, namespaces: Iterable[str]) -> None:
        self._kube = kube
        self._left = [(kind, namespace) for kind in findings.KINDS for namespace in namespaces]
        self._pages: AsyncIterator[Page] | None = None

    @property
    def kind(self) -> str:
        """The kind that is read next; empty: all was read."""
        return self._left[0][0] if self._left else ""

    def skip(self, kind: str) -> None:
        """Read no more of a kind."""
        if self.kind == kind:
            self._pages = None
        self._left = [entry for entry in self._left if entry[0] != kind]

    async def part(self) -> Part:
        """The next objects, which may be none; raises as `kube.client` does, and then begins that list anew."""
        kind, namespace = self._left[0]
        pages, self._pages = self._pages, None
        if pages is None:
            pages = self._kube.pages(update.collection(kind, namespace))
        page = await anext(pages, None)
        if page is None:
            del self._left[0]
            return Part(kind, [])
        self._pages = pages
        return Part(kind, page.items)
