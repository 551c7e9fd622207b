"""The source itself: what is read, and what is told when; see the rules of this package."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from kthena_fast.kube import failures
from kthena_fast.kube.client import Client
from kthena_fast.kube.configuration import Cluster
from kthena_fast.kube.reflector import Reflector
from kthena_fast.resources.decoding import API_VERSION
from kthena_fast.routing.objects import Objects
from kthena_fast.sources import Fault, Observation
from kthena_fast.sources.kubernetes import pod_watches
from kthena_fast.sources.kubernetes.inventory import Inventory, ObjectStore
from kthena_fast.sources.kubernetes.pod_watches import PodWatches

log = logging.getLogger(__name__)

INTERVAL = 0.1
"""Seconds between two observations."""
SERVERS_A_PIECE = 50
"""ModelServers that are made anew before others get their turn."""


class Kind(NamedTuple):
    """A kind of object that is read."""

    name: str
    plural: str
    is_optional: bool = False
    """Whether a cluster may be without it."""


KINDS = (
    Kind("ModelRoute", "modelroutes"),
    Kind("ModelServer", "modelservers"),
    Kind("ExternalModelProvider", "externalmodelproviders", is_optional=True),
)
PODS = "pods"


class _Collection(NamedTuple):
    kind: Kind
    namespace: str
    reflector: Reflector

    @property
    def is_absent(self) -> bool:
        """Whether it is of a kind that the cluster does not know and need not know."""
        fault = self.reflector.fault
        return self.kind.is_optional and isinstance(fault, failures.ApiError) and fault.is_not_found

    @property
    def is_read(self) -> bool:
        return self.reflector.synced or self.is_absent


class KubernetesSource:
    """The objects of an API server, for as long as it runs."""

    def __init__(
        self,
        cluster: Cluster,
        namespaces: Iterable[str] = (),
        *,
        watched_namespaces: int = pod_watches.WATCHED_NAMESPACES,
    ) -> None:
        """`namespaces`: only these are read, and rights in them are enough; none: all are read."""
        self._cluster = cluster
        self._namespaces = tuple(dict.fromkeys(namespaces))
        self._watched_namespaces = watched_namespaces

    async def run(self, publish: Callable[[Observation], None]) -> None:
        """See `Source`."""
        where = f"the namespaces {', '.join(self._namespaces)}" if self._namespaces else "all namespaces"
        log.info("objects are read from %s of %s (%s)", where, self._cluster.server, self._cluster.source)
        async with Client(self._cluster) as kube, asyncio.TaskGroup() as tasks:
            await _Run(kube, self._namespaces, self._watched_namespaces, tasks).follow(publish)


class _Run:
    """One run of the source."""

    def __init__(
        self, kube: Client, namespaces: tuple[str, ...], watched_namespaces: int, tasks: asyncio.TaskGroup
    ) -> None:
        self._changed = asyncio.Event()
        self._inventory = Inventory(self._changed.set)
        self._collections = [
            _collection(kube, self._inventory, kind, namespace)
            for kind in KINDS
            for namespace in namespaces or (pod_watches.ALL,)
        ]
        self._pods = PodWatches(
            kube,
            self._inventory,
            tasks.create_task,
            may_watch_all=not namespaces,
            most=watched_namespaces,
        )
        for collection in self._collections:
            tasks.create_task(collection.reflector.run())

    async def follow(self, publish: Callable[[Observation], None]) -> None:
        """Publish what changed until cancelled."""
        builder = self._inventory.builder
        is_synced = False
        told: tuple[Fault, ...] = ()
        while True:
            await self._changed.wait()
            self._changed.clear()
            has_servers = all(entry.is_read for entry in self._collections if entry.kind.name == "ModelServer")
            if has_servers:
                self._pods.plan()
            is_synced = is_synced or (
                has_servers and self._pods.is_synced and all(entry.is_read for entry in self._collections)
            )
            has_work = True
            while has_work:
                # Each piece by itself, what comes after the last one too.
                await asyncio.sleep(0)
                has_work = not builder.work(SERVERS_A_PIECE)
            await asyncio.sleep(0)
            faults = tuple(self._faults())
            if is_synced:
                snapshot = builder.snapshot(self._inventory.rejected)
                # Who follows the snapshots looks at all of it.
                await asyncio.sleep(0)
                publish(Observation(snapshot.objects, snapshot.rejected, snapshot=snapshot, faults=faults))
            elif faults != told:
                publish(Observation(Objects(), synced=False, faults=faults))
            told = faults
            await asyncio.sleep(INTERVAL)

    def _faults(self) -> Iterator[Fault]:
        for kind, namespace, reflector in self._collections:
            fault = reflector.fault
            if fault is None:
                continue
            if not (isinstance(fault, failures.ApiError) and fault.is_not_found):
                yield Fault(kind.plural, namespace, _message(fault))
            elif not kind.is_optional:
                name = f"{kind.plural}.{API_VERSION.partition('/')[0]}"
                yield Fault(kind.plural, namespace, f"the CRD {name} is missing (kthena-fast crds prints it)")
        for namespace, reflector in sorted(self._pods.reflectors.items()):
            if reflector.fault is not None:
                yield Fault(PODS, namespace, _message(reflector.fault))


def _collection(kube: Client, inventory: Inventory, kind: Kind, namespace: str) -> _Collection:
    where = f"/namespaces/{namespace}" if namespace else ""
    path = f"/apis/{API_VERSION}{where}/{kind.plural}"
    store = ObjectStore(inventory, kind.name, namespace)
    return _Collection(kind, namespace, Reflector(kube, path, store, on_change=lambda _: inventory.tell()))


def _message(fault: failures.KubeError) -> str:
    """What the API server said is a sentence that names the right, the kind or the trouble."""
    return fault.message if isinstance(fault, failures.ApiError) else str(fault)
