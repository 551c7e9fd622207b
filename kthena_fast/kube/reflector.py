"""A list that stays current: read once, then watched, for as long as it runs, whatever becomes of the API server.

1. What was read stays while the API server cannot be reached; a `Store` is told of differences only, and after a list
   of what is gone (`settle`).
2. A watch that ended goes on from the last version that came, bookmarks included. Everything is listed anew where that
   is too old (410), where something came that cannot be understood, and where the server does not know that version
   any more or yet: after etcd was restored, versions count from where they were, and a watch from a later one stays
   silent until they have come so far.
3. After a failure the next try waits: twice as long each time, up to `MAX_DELAY`, and never all clients in step. What
   the API server asks to wait (`Retry-After`) is waited. A watch that ends at once, again and again, counts as failing.
   That a watch ended, or is of a version that is too old, is no fault; when it happened `SHORT_WATCHES` times and none
   was healthy between, it is one, until a watch is.
4. A kind that is not there (404) and a right that is missing (403) may both come: they are failures like any other.
5. Whatever a `Store` raises is a fault of ours: it is logged, and everything is listed anew.
6. However much comes at once, the loop is held for about `PIECE` at a time.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from kthena_fast.kube import answers, client, failures
from kthena_fast.kube.backoff import Backoff

log = logging.getLogger(__name__)

FIRST_DELAY = 0.2
MAX_DELAY = 10.0
MAX_RETRY_AFTER = 60.0
PIECE = 0.002
"""Seconds of taking things in after which others get their turn."""
HEALTHY_AFTER = 2.0
"""Seconds that a watch lasts to count as one that works."""
SHORT_WATCHES = 3
"""Watches in a row that did not work until that is told: what happened meanwhile came late, if at all."""


class Store(Protocol):
    """Where a reflector puts what it reads. Everything is called on the loop, and one piece at a time."""

    def begin(self) -> None:
        """A list begins: what is not `put` before `settle` is gone. A list that breaks off begins anew."""

    def put(self, obj: Any) -> None:
        """An object is there, or is another version of itself. What it holds is not to be trusted."""

    def drop(self, obj: Any) -> None:
        """An object was deleted; this is the last of it."""

    def settle(self) -> None:
        """The list is complete."""

    def flush(self) -> None:
        """What came together was all handed over: a page, or what a watch brought in one piece."""


class Reflector:
    """Keeps one collection current. Its attributes say how it stands."""

    def __init__(
        self,
        kube: client.Client,
        path: str,
        store: Store,
        query: Mapping[str, str] | None = None,
        *,
        on_change: Callable[[Reflector], None] = lambda _: None,
        silence: float = client.SILENCE,
        backoff: Backoff | None = None,
    ) -> None:
        """`on_change` is called whenever `synced` or `fault` changed; `backoff`: another than that of rule 3."""
        self.path = path
        self.synced = False
        """Whether the collection was read whole at least once."""
        self.fault: failures.KubeError | None = None
        """Why it is not current now; None: it is, or is being read for the first time."""
        self.lists = 0
        """How often it was read whole."""
        self._kube = kube
        self._store = store
        self._query = query
        self._on_change = on_change
        self._silence = silence
        self._backoff = backoff or Backoff(FIRST_DELAY, MAX_DELAY)
        self._version = ""
        self._is_short = False
        """Whether something came in this round, and no watch was healthy yet."""
        self._short = 0
        """Rounds in a row that were so to their end."""

    async def run(self) -> None:
        """Keep the collection current until cancelled."""
        while True:
            self._is_short = False
            fault = await self._round()
            if self._is_short:
                self._short += 1
            if fault is None and self._short >= SHORT_WATCHES:
                # Without a version: it would be another one each time, and news for whoever tells of it.
                why = "what was listed is too old to be watched (410)" if not self._version else "it ends at once"
                fault = failures.Unreachable(f"watching {self.path}: {why}, again and again")
            if fault is not None:
                self._stand(fault)
            await asyncio.sleep(self._delay())

    async def _round(self) -> failures.KubeError | None:
        """List where that has to be, and watch until that ends; the fault that ended it, if it was one."""
        try:
            if not self._version:
                await self._list()
            await self._watch()
        except failures.ApiError as error:
            if error.is_gone and self._version:
                # No fault: a list says what happened meanwhile.
                log.debug("%s is listed anew: %s", self.path, error)
                self._version = ""
                return None
            if error.is_gone and not self._backoff.failed:
                log.debug("the list of %s begins anew: %s", self.path, error)
                return None
            if error.is_of_another_history:
                self._version = ""
            return error
        except (failures.Malformed, failures.Silent) as error:
            self._version = ""
            return error
        except failures.Unreachable as error:
            return error
        except Exception:
            log.exception("%s: what was read could not be taken in; everything is read anew", self.path)
            self._version = ""
            return failures.Malformed("what was read could not be taken in: see the log")
        return None

    async def _list(self) -> None:
        store = self._store
        store.begin()
        version = ""
        async with contextlib.aclosing(self._kube.pages(self.path, self._query, turn=self._kube.taking)) as pages:
            async for page in pages:
                await self._put(page.items)
                version = page.version
                # Not held while the next one is waited for.
                del page
        store.settle()
        store.flush()
        self.lists += 1
        self._version = version
        self._on_answer()

    async def _put(self, items: list[Any]) -> None:
        pause = _Pause()
        for item in items:
            self._store.put(item)
            if pause.is_due():
                await asyncio.sleep(0)
        self._store.flush()

    async def _watch(self) -> None:
        loop = asyncio.get_running_loop()
        async with self._kube.watch(self.path, self._version, self._query, silence=self._silence) as stream:
            began = loop.time()
            self._on_answer()
            healthy = loop.call_later(HEALTHY_AFTER, self._on_healthy)
            try:
                async for events in stream:
                    await self._take(events)
            finally:
                healthy.cancel()
                if loop.time() - began >= HEALTHY_AFTER:
                    self._on_healthy()

    async def _take(self, events: list[answers.Event]) -> None:
        store = self._store
        pause = _Pause()
        for kind, obj in events:
            match kind:
                case "ADDED" | "MODIFIED":
                    store.put(obj)
                case "DELETED":
                    store.drop(obj)
            # With each event: what breaks off here goes on after what was taken.
            self._version = _version_of(obj) or self._version
            if pause.is_due():
                await asyncio.sleep(0)
        store.flush()

    def _on_answer(self) -> None:
        """A list came whole, or a watch began."""
        self._is_short = True
        if self._short < SHORT_WATCHES:
            self._stand(None)

    def _on_healthy(self) -> None:
        """A watch works."""
        self._is_short, self._short = False, 0
        self._backoff.succeed()
        self._stand(None)

    def _stand(self, fault: failures.KubeError | None) -> None:
        synced = self.synced or fault is None
        changed = synced != self.synced or str(fault) != str(self.fault)
        self.synced, self.fault = synced, fault
        if changed:
            self._on_change(self)

    def _delay(self) -> float:
        delay = self._backoff.fail()
        asked = self.fault.retry_after if isinstance(self.fault, failures.ApiError) else None
        return max(delay, min(asked or 0.0, MAX_RETRY_AFTER))


class _Pause:
    """Tells when it is others' turn."""

    __slots__ = ("_until",)

    def __init__(self) -> None:
        self._until = time.perf_counter() + PIECE

    def is_due(self) -> bool:
        now = time.perf_counter()
        if now < self._until:
            return False
        self._until = now + PIECE
        return True


def _version_of(obj: Any) -> str:
    meta = obj.get("metadata")
    version = meta.get("resourceVersion") if isinstance(meta, dict) else None
    return version if isinstance(version, str) else ""
