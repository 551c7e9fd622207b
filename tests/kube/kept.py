"""A reflector that runs, and a store that keeps what it reads."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from typing import Any

from kthena_fast.kube.backoff import Backoff
from kthena_fast.kube.client import Client
from kthena_fast.kube.reflector import Reflector
from tests.kube.breaking import PATH

PATIENCE = 30.0


class Kept:
    """A store that keeps names and versions, and wakes who waits for some."""

    def __init__(self) -> None:
        self.things: dict[str, str] = {}
        self.calls: list[str] = []
        self.fails_on = ""
        self._seen: set[str] = set()
        self._flushed = asyncio.Condition()

    def begin(self) -> None:
        self._seen = set()

    def put(self, obj: Any) -> None:
        name = obj["metadata"]["name"]
        if name == self.fails_on:
            self.fails_on = ""
            raise RuntimeError("a fault of the store")
        self._seen.add(name)
        if self.things.get(name) != obj["metadata"]["resourceVersion"]:
            self.calls.append(f"put {name}")
        self.things[name] = obj["metadata"]["resourceVersion"]

    def drop(self, obj: Any) -> None:
        self.calls.append(f"drop {obj['metadata']['name']}")
        self.things.pop(obj["metadata"]["name"], None)

    def settle(self) -> None:
        for name in self.things.keys() - self._seen:
            self.calls.append(f"gone {name}")
            del self.things[name]

    def flush(self) -> None:
        asyncio.get_running_loop().create_task(self._tell())

    async def _tell(self) -> None:
        async with self._flushed:
            self._flushed.notify_all()

    async def until(self, *names: str) -> None:
        """Return once it holds just these."""
        async with asyncio.timeout(PATIENCE), self._flushed:
            await self._flushed.wait_for(lambda: self.things.keys() == set(names))


@contextlib.asynccontextmanager
async def reflecting(
    kube: Client, store: Kept, path: str = PATH, query: Mapping[str, str] | None = None, **options: Any
) -> AsyncIterator[tuple[Reflector, list[str]]]:
    """A reflector that runs, and what became known of how it stands."""
    stood: list[str] = []

    def note(changed: Reflector) -> None:
        stood.append(str(changed.fault or "current"))

    made = Reflector(kube, path, store, query, on_change=note, **{"backoff": Backoff(0.001, 0.1), **options})
    task = asyncio.create_task(made.run())
    try:
        yield made, stood
    finally:
        task.cancel()
        await asyncio.wait((task,))
        assert task.cancelled()
