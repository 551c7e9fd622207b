"""The source of both twins; `least_requests` is the contract."""

from __future__ import annotations

from collections.abc import Collection
from importlib import import_module
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from kthena_fast.routing import _snapshot_py as snapshot
    from kthena_fast.routing.snapshot import Pod, Server
else:
    # A twin works with twins of its own kind, whatever the chooser chose.
    snapshot = import_module(__name__.replace("scheduling._least_requests", "routing._snapshot"))

MANY: Final = 32
"""Pods from which on a look at each costs more than counting them."""


class LeastRequests:
    """Fewest in flight goes first; pods that have equally few take turns."""

    def pick(self, server: Server, tried: Collection[Pod]) -> Pod | None:
        pods = server.pods
        count = len(pods)
        if count == 0:
            return None
        if count == 1 and pods[0] not in tried:
            server.turn = 0
            return pods[0]
        # Beginning behind the last winner and taking only what is strictly better is what makes ties go round.
        start = server.turn % count
        if count >= MANY and not tried:
            census = server.census
            # Pods are counted for one server at a time: after a change, for the one in service.
            if census is None or not census.is_current:
                census = server.census = snapshot.Census(pods)
            at = census.first(start)
            server.turn = (at + 1) % count
            return pods[at]
        best: Pod | None = None
        at = start
        for index in range(start, start + count):
            pod = pods[index - count if index >= count else index]
            if (best is None or pod.in_flight < best.in_flight) and pod not in tried:
                best = pod
                at = index
                if pod.in_flight == 0:
                    break
        if best is not None:
            server.turn = (at + 1) % count
        return best
