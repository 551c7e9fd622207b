"""What every way to choose a pod has in common."""

from __future__ import annotations

from collections.abc import Collection
from typing import Protocol

from kthena_fast.routing.snapshot import Pod, Server


class Picker(Protocol):
    """Decides and changes nothing but `server.turn` and what it keeps there; the caller counts what is in flight."""

    def pick(self, server: Server, tried: Collection[Pod]) -> Pod | None:
        """One of the server's pods that is not among `tried`, or None when there is none left."""
