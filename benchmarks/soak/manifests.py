"""A folder of manifests that changes all the time and always serves `clients.MODEL`."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from pathlib import Path

from benchmarks.soak.clients import MODEL

SERVER = """\
apiVersion: networking.serving.volcano.sh/v1alpha1
kind: ModelServer
metadata:
  name: {name}
  annotations:
    networking.kthena-fast.io/endpoints: "{endpoints}"
spec:
  model: mock
  inferenceEngine: vLLM
  workloadSelector: {{matchLabels: {{app: engine}}}}
  workloadPort: {{port: 8000}}
  trafficPolicy:
    # Ends what an engine that hangs would hold; long enough for an engine without faults on a busy machine.
    timeout: 8s
    retry: {{attempts: 1, retryInterval: 10ms}}
"""

ROUTE = """\
---
apiVersion: networking.serving.volcano.sh/v1alpha1
kind: ModelRoute
metadata: {{name: {name}}}
spec:
  modelName: {model}
  rules:
  - targetModels:
    - {{modelServerName: first, weight: {weight}}}
    - {{modelServerName: second, weight: {rest}}}
"""


class Folder:
    """Written file by file, as an editor does."""

    def __init__(self, path: Path, ports: Sequence[int], dice: random.Random) -> None:
        self._path = path
        self._ports = ports
        self._dice = dice
        self.changes = 0
        self.settle()

    def settle(self) -> None:
        """Back to what it was at first."""
        self._servers(self._ports)
        self._routes(0, 50)
        self._broken("")

    async def keep_changing(self, ends: float) -> None:
        """A change about twice a second, until the loop's clock says `ends`."""
        loop = asyncio.get_running_loop()
        while loop.time() < ends:
            self._change()
            self.changes += 1
            await asyncio.sleep(self._dice.uniform(0.2, 0.8))

    def _change(self) -> None:
        match self._dice.randrange(4):
            case 0:
                # Pods come and go, with what is under way at them.
                self._servers(self._dice.sample(self._ports, self._dice.randint(1, len(self._ports))))
            case 1:
                self._routes(self._dice.randrange(100), self._dice.randrange(101))
            case 2:
                self._broken("kind: [")
            case _:
                self._broken("")

    def _servers(self, ports: Sequence[int]) -> None:
        endpoints = ",".join(f"127.0.0.1:{port}" for port in ports)
        text = "---\n".join(SERVER.format(name=name, endpoints=endpoints) for name in ("first", "second"))
        self._write("servers.yaml", text)

    def _routes(self, others: int, weight: int) -> None:
        def route(name: str, model: str) -> str:
            return ROUTE.format(name=name, model=model, weight=weight, rest=100 - weight)

        text = route("soak", MODEL) + "".join(route(f"other-{n}", f"other-{n}") for n in range(others))
        self._write("routes.yaml", text)

    def _broken(self, text: str) -> None:
        self._write("broken.yaml", text)

    def _write(self, name: str, text: str) -> None:
        temporary = self._path / f".{name}"
        temporary.write_text(text)
        temporary.rename(self._path / name)
