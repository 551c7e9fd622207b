"""A writer in a real API server, and the snapshot that it is shown."""

from __future__ import annotations

from collections.abc import Callable

from kthena_fast.routing.snapshot import Snapshot
from kthena_fast.sources.kubernetes.status.writer import Writer
from kthena_fast.telemetry import metrics
from kthena_fast.telemetry.registry import Registry
from kthena_fast.telemetry.values import Value
from tests.kube.apiserver import KubeApiServer
from tests.sources.kubernetes.status import cluster
from tests.sources.kubernetes.status.cluster import Clock, Disturbed


class Replica:
    """A writer that leads unless told otherwise, and the snapshot that it is shown."""

    def __init__(self, server: KubeApiServer, *namespaces: str, token: str | None = None) -> None:
        self.server = server
        self.namespaces = namespaces
        self.kube = Disturbed(server, token)
        self.clock = Clock()
        self.registry = Registry()
        self.leads = True
        self.snapshot: Snapshot | None = None
        self.writer = Writer(
            self.kube,
            self.registry,
            leads=lambda: self.leads,
            snapshot=lambda: self.snapshot,
            namespaces=namespaces,
            clock=self.clock,
            wall=self.clock.wall,
            pause=self.clock.pause,
            draw=lambda: 1.0,
        )

    def read(self) -> None:
        """Show it what there is now."""
        self.snapshot = cluster.snapshot(self.server, *self.namespaces)

    async def turn(self) -> float:
        """A turn, a second after the last."""
        self.clock.now += 1
        return await self.writer.turn()

    async def settle(self) -> None:
        """Show it what there is, and let it do what follows."""
        self.read()
        await self.turn()

    def measured(self, metric: metrics.Metric) -> dict[tuple[str, ...], float | None]:
        """The children of a metric as a scrape sees them."""
        self.registry.refresh()
        return {
            values: child.number
            for values, child in self.registry.family(metric).children()
            if isinstance(child, Value)
        }


Replicas = Callable[..., Replica]
