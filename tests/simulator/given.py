"""Small workloads for the tests of this room."""

from collections.abc import Sequence

from kthena_fast.simulator.arrivals import MINUTE, SECOND, Arrival, Client, Workload


def arrival(
    at: float, client: int = 0, tokens_in: int = 100, tokens_out: int = 100, limit: int | None = None
) -> Arrival:
    """``at`` is in seconds."""
    return Arrival(int(at * SECOND), client, tokens_in, tokens_out, tokens_out if limit is None else limit)


def workload(arrivals: Sequence[Arrival], clients: Sequence[Client] = (), ends: int = MINUTE) -> Workload:
    count = max((one.client for one in arrivals), default=0) + 1
    named = tuple(clients) or tuple(Client(f"c{number}") for number in range(1, count + 1))
    return Workload("given", named, tuple(sorted(arrivals)), ends)
