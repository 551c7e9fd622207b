"""Manifests as tests write them, and a source that is watched while it runs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from kthena_fast.sources import Observation, Source

# The guard against a hang, not a wait: what is awaited comes within a second.
PATIENCE = 30


def route(name: str = "r", model: str = "m", *, weight: int | str = 100, namespace: str = "default") -> str:
    return f"""\
apiVersion: networking.serving.volcano.sh/v1alpha1
kind: ModelRoute
metadata:
  name: {name}
  namespace: {namespace}
spec:
  modelName: {model}
  rules:
    - targetModels:
        - modelServerName: s
          weight: {weight}
"""


BAD_WEIGHT_LINE = 11
"""Where `route` has its weight."""


def server(name: str = "s", endpoints: str = "127.0.0.1:1") -> str:
    return f"""\
apiVersion: networking.serving.volcano.sh/v1alpha1
kind: ModelServer
metadata:
  name: {name}
  annotations:
    networking.kthena-fast.io/endpoints: "{endpoints}"
spec:
  inferenceEngine: vLLM
  workloadSelector:
    matchLabels: {{app: {name}}}
  workloadPort:
    port: 8000
"""


def documents(*texts: str) -> str:
    return "---\n".join(texts)


def put(path: Path, text: str) -> None:
    """Write a file in one step, so that nobody sees half of it."""
    fresh = path.with_name(f".{path.name}.new")
    fresh.write_text(text)
    fresh.rename(path)


class Observed:
    """What a running source has published and nobody has looked at yet."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[Observation] = asyncio.Queue()

    def publish(self, observation: Observation) -> None:
        self._queue.put_nowait(observation)

    async def next(self) -> Observation:
        async with asyncio.timeout(PATIENCE):
            return await self._queue.get()

    def is_empty(self) -> bool:
        return self._queue.empty()


@asynccontextmanager
async def running(source: Source) -> AsyncIterator[Observed]:
    observed = Observed()
    task = asyncio.create_task(source.run(observed.publish))
    try:
        yield observed
    finally:
        task.cancel()
        await asyncio.wait((task,))
    assert task.cancelled(), task.exception()
