"""Where objects come from: `backend` (flags), `manifests` (a watched folder), `kubernetes` (an API server, watched).

`validation` holds manifests to the same rules without serving them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from kthena_fast.routing.objects import Objects, Rejection
from kthena_fast.routing.snapshot import Snapshot
from kthena_fast.telemetry.registry import Registry


class Fault(NamedTuple):
    """Something that cannot be read now; what was read of it before stays in service."""

    resource: str
    """What, in few words that may become a metric's label: `pods`."""
    where: str
    """Which part of it, such as a namespace; empty: all of it."""
    message: str

    def __str__(self) -> str:
        return f"{self.resource}{f' of {self.where}' if self.where else ''} cannot be read: {self.message}"


@dataclass(frozen=True, slots=True)
class Observation:
    """Everything a source knows at one moment; `routing.build` makes a snapshot of it."""

    objects: Objects
    rejected: tuple[Rejection, ...] = ()
    """Objects, documents and files that were set aside, in a stable order."""
    synced: bool = True
    """False: not everything was read yet, so a name that is missing may still come."""
    snapshot: Snapshot | None = None
    """The snapshot of it, where the source keeps one up object by object."""
    faults: tuple[Fault, ...] = ()
    """What cannot be read now, in a stable order."""


class Reporter(Protocol):
    """Tells the owners of objects, where these come from, what became of them."""

    async def run(self, snapshot: Callable[[], Snapshot | None], registry: Registry) -> None:
        """Report on what is in service (None: nothing yet) until cancelled; what is left to be done then is brief."""


class Source(Protocol):
    """Reads objects for as long as it runs."""

    async def run(self, publish: Callable[[Observation], None]) -> None:
        """Call `publish` with the first observation, and again whenever it changed, until cancelled.

        An object that did not change is the same Python object in every observation. What cannot be read for a while
        is no reason to return or to raise: what was good stays in service.
        """
