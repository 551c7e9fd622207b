"""The source of both twins; `least_requests` is the contract."""

from __future__ import annotations

from collections.abc import Collection

from kthena_fast.routing.snapshot import Pod, Server


class LeastRequests:
    """Fewest in flight goes first; pods that have equally few take turns."""

    def pick(self, server: Server, tried: Collection[Pod]) -> Pod | None:
        pods = server.pods
        count = len(pods)
        if count == 0:
            return None
        # Beginning behind the last winner and taking only what is strictly better is what makes ties go round.
        start = server.turn % count
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
