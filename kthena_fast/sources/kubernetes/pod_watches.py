"""Which pods are watched: those of each namespace in which a ModelServer asks for pods, or all.

1. More than `WATCHED_NAMESPACES` such namespaces are watched by one watch of all namespaces, unless namespaces were
   named, since then there may be no right to it. It is left again at four fifths of that, lest it come and go.
2. What was watched before is given up when what takes its place was read, so that pods stay known meanwhile; what
   nothing takes the place of is given up at once. Once a watch has read the pods of a namespace, no other one tells of
   them: two watches are never equally far, and the slower one would bring back what is gone.
3. A selector that names a label key which was not kept has the pods read anew.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from kthena_fast.kube.client import Client
from kthena_fast.kube.reflector import Reflector
from kthena_fast.sources.kubernetes.inventory import Inventory, PodStore

WATCHED_NAMESPACES = 50

Start = Callable[[Coroutine[Any, Any, None]], "asyncio.Task[None]"]

ALL = ""
"""Stands for all namespaces."""


class _Watch:
    """The pods of one namespace or of all, being read."""

    def __init__(
        self,
        kube: Client,
        inventory: Inventory,
        scope: str,
        keys: frozenset[str],
        start: Start,
        on_settled: Callable[[], None],
    ) -> None:
        self.store = PodStore(inventory, scope, keys, on_settled)
        path = f"/api/v1/namespaces/{scope}/pods" if scope else "/api/v1/pods"
        self.reflector = Reflector(kube, path, self.store, on_change=lambda _: inventory.tell())
        self._task = start(self.reflector.run())

    def knows(self, namespace: str, keys: frozenset[str]) -> bool:
        store = self.store
        return store.is_settled and keys <= store.keys and namespace not in store.left_out

    def serves(self, keys: frozenset[str]) -> bool:
        """Whether it will do for pods with the labels of these keys, once it has read them."""
        return keys <= self.store.keys and not self.store.left_out

    def stop(self) -> None:
        self._task.cancel()


class PodWatches:
    """The watches that run, by namespace."""

    def __init__(
        self, kube: Client, inventory: Inventory, start: Start, *, may_watch_all: bool, most: int = WATCHED_NAMESPACES
    ) -> None:
        """`start` makes a task of what runs until it is cancelled."""
        self._kube = kube
        self._inventory = inventory
        self._start = start
        self._may_watch_all = may_watch_all
        self._most = most
        self._running: dict[str, _Watch] = {}
        self._wanted_now: Mapping[str, frozenset[str]] = {}
        inventory.knows = self._knows

    @property
    def reflectors(self) -> Mapping[str, Reflector]:
        """By namespace; empty: all of them."""
        return {scope: watch.reflector for scope, watch in self._running.items()}

    @property
    def is_synced(self) -> bool:
        """Whether the pods of everything that is watched were read."""
        return all(watch.store.is_settled for watch in self._running.values())

    def plan(self) -> None:
        """Begin and end watches, by what ModelServers ask for now."""
        self._wanted_now = wanted = self._wanted()
        for scope, keys in wanted.items():
            watch = self._running.get(scope)
            if watch is None or not watch.serves(keys):
                if watch is not None:
                    watch.stop()
                self._running[scope] = _Watch(self._kube, self._inventory, scope, keys, self._start, self._hand_over)
        self._hand_over()

    def _hand_over(self) -> None:
        """End watches whose place was taken, and those whose pods nobody asks for any more."""
        wanted, running = self._wanted_now, self._running
        settled = {scope for scope in wanted if running[scope].store.is_settled}
        if ALL in wanted:
            is_over = ALL in settled
        else:
            is_over = len(settled) == len(wanted)
            if ALL in running:
                running[ALL].store.left_out |= settled
        unwanted = [
            scope for scope in running.keys() - wanted.keys() if is_over or (scope != ALL and ALL not in wanted)
        ]
        for scope in unwanted:
            running.pop(scope).stop()
        if unwanted:
            self._forget_unwatched()

    def _wanted(self) -> Mapping[str, frozenset[str]]:
        selected = self._inventory.selected()
        most = self._most * 4 // 5 if ALL in self._running else self._most
        if not self._may_watch_all or len(selected) <= most:
            return selected
        return {ALL: frozenset[str]().union(*selected.values())}

    def _forget_unwatched(self) -> None:
        if ALL in self._running:
            return
        inventory = self._inventory
        for key in inventory.keys(PodStore.KIND, ALL):
            if key.partition("/")[0] not in self._running:
                inventory.accept(PodStore.KIND, key)
                inventory.drop_pod(key)

    def _knows(self, namespace: str, keys: frozenset[str]) -> bool:
        return any(
            watch.knows(namespace, keys)
            for scope in (namespace, ALL)
            if (watch := self._running.get(scope)) is not None
        )
