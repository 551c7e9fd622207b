"""`StatusReporter`: an election, and a writer that writes while this replica leads."""

from __future__ import annotations

import asyncio
import logging
import socket
import uuid
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from kthena_fast.kube.client import Client
from kthena_fast.sources.kubernetes.status.election import Election, Terms
from kthena_fast.sources.kubernetes.status.lease import Candidacy
from kthena_fast.sources.kubernetes.status.writer import Writer

if TYPE_CHECKING:
    from kthena_fast.kube.configuration import Cluster
    from kthena_fast.routing.snapshot import Snapshot
    from kthena_fast.telemetry.registry import Registry

log = logging.getLogger(__name__)


class StatusReporter:
    """See `sources.Reporter`. It has connections of its own, so that what it waits for holds up no watch."""

    def __init__(
        self,
        cluster: Cluster,
        namespaces: Iterable[str] = (),
        *,
        lease_name: str,
        lease_namespace: str,
        terms: Terms | None = None,
    ) -> None:
        """`namespaces`: only objects in these are written to; none: in all."""
        self._cluster = cluster
        self._namespaces = tuple(dict.fromkeys(namespaces))
        # The host's name is the pod's; it alone would be the same after a restart of the container.
        identity = f"{socket.gethostname()}_{uuid.uuid4()}"
        self.lease = Election(lease_name, lease_namespace, identity, terms or Terms())

    async def run(self, snapshot: Callable[[], Snapshot | None], registry: Registry) -> None:
        """See `sources.Reporter`."""
        clock = asyncio.get_running_loop().time
        async with Client(self._cluster) as kube:
            candidacy = Candidacy(kube, self.lease, clock=clock)
            writer = Writer(
                kube,
                registry,
                leads=candidacy.leads,
                snapshot=snapshot,
                namespaces=self._namespaces,
                clock=clock,
            )
            try:
                async with asyncio.TaskGroup() as tasks:
                    tasks.create_task(candidacy.run(), name="election")
                    tasks.create_task(writer.run(), name="status")
            finally:
                # The writer has ended: nobody writes any more under the Lease that is given back.
                await candidacy.leave()
