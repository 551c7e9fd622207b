"""Where objects come from: `backend` (flags), `manifests` (a watched folder); Kubernetes will be one more.

`validation` holds manifests to the same rules without serving them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from kthena_fast.routing.objects import Objects, Rejection


@dataclass(frozen=True, slots=True)
class Observation:
    """Everything a source knows at one moment; `routing.build` makes a snapshot of it."""

    objects: Objects
    rejected: tuple[Rejection, ...] = ()
    """Objects, documents and files that were set aside, in a stable order."""
    synced: bool = True
    """False: not everything was read yet, so a name that is missing may still come."""


class Source(Protocol):
    """Reads objects for as long as it runs."""

    async def run(self, publish: Callable[[Observation], None]) -> None:
        """Call `publish` with the first observation, and again whenever it changed, until cancelled.

        An object that did not change is the same Python object in every observation. What cannot be read for a while
        is no reason to return or to raise: what was good stays in service.
        """
