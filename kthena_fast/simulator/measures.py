"""What a run is judged by. Rates are weighted tokens a second, waits are seconds from arrival to first token.

1. The *bound* of what two clients that both wait can differ by is
   ``2 x max(w_in L_in, w_out C O_max) + C x largest estimate error``, per share (divided by the smallest), L_in and
   O_max being the longest input and output, C the most permits that were out. `vtc` keeps it but for very few permits.
2. The *safe bound*, which `vtc` always keeps, has a sum in place of the maximum, since the last input and the outputs
   that follow it both count (docs/fairness.md). They differ where one input weighs as much as all outputs at once
   (`test_with_one_permit_two_clients_differ_by_a_request_each_way_which_is_more_than_the_bound`).
3. The *service difference* is the paper's: every 30 s, over the 60 s around it, the sum over clients of
   ``min(max_j s_j - s_i, |r_i - s_i|)``, s served and r requested rates, per share.
4. Jain's index is 1 where all are equal and 1/n where one has everything.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from kthena_fast.queueing.tariff import Tariff
from kthena_fast.simulator.arrivals import SECOND, Arrival, Workload
from kthena_fast.simulator.engine import Request
from kthena_fast.simulator.policies import Policy

TICK: Final = 30 * SECOND

Floats = npt.NDArray[np.float64]


class Records:
    """What a run writes down while it goes."""

    __slots__ = (
        "_requested", "_samples", "_tariff", "_workload",
        "most_out", "pool_time", "rejections", "requests", "served", "widest", "worst_estimate",
    )  # fmt: skip

    def __init__(self, workload: Workload, tariff: Tariff) -> None:
        self._workload = workload
        self._tariff = tariff
        self.served = [0] * len(workload.clients)
        """Units so far, by client: input when the permit is given, output as it comes."""
        self._requested = [0] * len(workload.clients)
        self._samples: list[tuple[list[int], list[int]]] = []
        self.rejections = [0] * len(workload.clients)
        self.requests: list[Request] = []
        """Those that were accepted, in the order of their arrival."""
        self.most_out = 0
        """The most permits at once."""
        self.worst_estimate = 0
        """Output tokens by which what was reserved was most wrong."""
        self.widest = 0.0
        self.pool_time = 0
        """Tokens of the pool in use, times nanoseconds."""

    def cost(self, arrival: Arrival) -> int:
        tariff = self._tariff
        return tariff.request_weight + tariff.input_units(arrival.input) + tariff.output_units(arrival.output)

    def demands(self) -> list[int]:
        """Units that each client asks for in all."""
        demands = [0] * len(self._workload.clients)
        for arrival in self._workload.arrivals:
            demands[arrival.client] += self.cost(arrival)
        return demands

    def serve(self, client: int, units: int) -> None:
        self.served[client] += units

    def asked(self, arrival: Arrival) -> None:
        self._requested[arrival.client] += self.cost(arrival)

    def refused(self, arrival: Arrival) -> None:
        self.rejections[arrival.client] += 1

    def sample(self) -> None:
        self._samples.append((list(self.served), list(self._requested)))

    def rates(self) -> tuple[Floats, Floats]:
        """Served and requested, [tick][client]: over the minute around each tick."""
        samples = np.array(self._samples, dtype=np.float64)
        if len(samples) < 3:
            empty = np.zeros((0, len(self.served)))
            return empty, empty
        rates = (samples[2:] - samples[:-2]) / self._tariff.denominator / (2 * TICK / SECOND)
        return rates[:, 0], rates[:, 1]


@dataclass(frozen=True, slots=True)
class Wait:
    """Of those who got a first token."""

    mean: float
    p50: float
    p99: float
    most: float


@dataclass(frozen=True, slots=True)
class ClientResult:
    name: str
    share: float
    requests: int
    rejected: int
    answered: int
    """Got a first token."""
    finished: int
    requested_rate: float
    rate: float
    wait: Wait | None
    """None: nobody got a first token."""


@dataclass(frozen=True, slots=True)
class Difference:
    """The paper's service difference over the ticks."""

    most: float
    mean: float
    variance: float


@dataclass(frozen=True, slots=True)
class Course:
    """How it went over time, for plots: [tick][client]."""

    rates: tuple[tuple[float, ...], ...]
    waits: tuple[tuple[float | None, ...], ...]
    """Mean wait of those who arrived in the half minute that begins with the tick."""


@dataclass(frozen=True, slots=True)
class Result:
    workload: str
    policy: str
    seconds: float
    clients: tuple[ClientResult, ...]
    gap: float
    """Largest |W_f - W_g| while both wait, in weighted tokens per share."""
    bound: float
    safe_bound: float
    is_bounded: bool
    """Whether the policy promises the bound."""
    most_permits: int
    difference: Difference
    tokens_per_second: float
    """Input and output that the engine did."""
    pool_use: float
    """Mean part of the pool in use."""
    jain_service: float
    jain_waits: float
    course: Course


def measure(workload: Workload, policy: Policy, tariff: Tariff, pool: int, records: Records) -> Result:
    seconds = workload.ends / SECOND
    by_client: list[list[Request]] = [[] for _ in workload.clients]
    for request in records.requests:
        by_client[request.arrival.client].append(request)
    demands = records.demands()
    clients = tuple(
        _client(number, workload, tariff, records, requests, demands[number])
        for number, requests in enumerate(by_client)
    )
    bound, safe_bound = bounds(workload, tariff, records)
    done = sum(
        request.arrival.input + min(request.produced, request.arrival.output)
        for request in records.requests
        if request.produced
    )
    rates, requested = records.rates()
    shares = np.array([client.share for client in workload.clients])
    return Result(
        workload=workload.name,
        policy=policy.name,
        seconds=seconds,
        clients=clients,
        gap=tariff.service(records.widest),
        bound=tariff.service(bound),
        safe_bound=tariff.service(safe_bound),
        is_bounded=policy.is_bounded,
        most_permits=records.most_out,
        difference=service_difference(rates / shares, requested / shares),
        tokens_per_second=done / seconds,
        pool_use=records.pool_time / (pool * workload.ends),
        jain_service=jain([client.rate / client.share for client in clients if client.requests]),
        jain_waits=jain([client.wait.mean for client in clients if client.wait is not None]),
        course=Course(tuple(map(tuple, rates.tolist())), waits_over_time(workload, by_client)),
    )


def _client(
    number: int, workload: Workload, tariff: Tariff, records: Records, requests: Sequence[Request], demand: int
) -> ClientResult:
    seconds = workload.ends / SECOND
    waits = [waited for request in requests if (waited := wait_of(request)) is not None]
    return ClientResult(
        name=workload.clients[number].name,
        share=workload.clients[number].share,
        requests=len(requests) + records.rejections[number],
        rejected=records.rejections[number],
        answered=len(waits),
        finished=sum(is_finished(request) for request in requests),
        requested_rate=tariff.service(demand) / seconds,
        rate=tariff.service(records.served[number]) / seconds,
        wait=wait(waits),
    )


def bounds(workload: Workload, tariff: Tariff, records: Records) -> tuple[float, float]:
    """The bound and the safe bound, in units per share."""
    if not workload.arrivals:
        return 0.0, 0.0
    once = tariff.request_weight + tariff.input_units(max(arrival.input for arrival in workload.arrivals))
    permits = records.most_out
    outputs = permits * tariff.output_units(max(arrival.output for arrival in workload.arrivals))
    error = permits * tariff.output_units(records.worst_estimate)
    share = min(client.share for client in workload.clients)
    return (2 * max(once, outputs) + error) / share, (2 * (once + outputs) + error) / share


def is_finished(request: Request) -> bool:
    return request.produced == request.steps


def wait_of(request: Request) -> float | None:
    """Seconds to the first token; None: it has not come."""
    if request.first_token_at is None:
        return None
    return (request.first_token_at - request.arrival.at) / SECOND


def wait(waits: Sequence[float]) -> Wait | None:
    if not waits:
        return None
    ordered = sorted(waits)
    return Wait(
        mean=math.fsum(ordered) / len(ordered), p50=rank(ordered, 0.5), p99=rank(ordered, 0.99), most=ordered[-1]
    )


def rank(ordered: Sequence[float], part: float) -> float:
    """The least that at least this part does not exceed."""
    return ordered[math.ceil(part * len(ordered)) - 1]


def service_difference(served: Floats, requested: Floats) -> Difference:
    if not served.size:
        return Difference(0.0, 0.0, 0.0)
    behind = served.max(axis=1, keepdims=True) - served
    sums = np.minimum(behind, np.abs(requested - served)).sum(axis=1)
    return Difference(float(sums.max()), float(sums.mean()), float(sums.var()))


def jain(amounts: Sequence[float]) -> float:
    """1.0 of nothing, and where all are 0."""
    squares = math.fsum(amount * amount for amount in amounts)
    return math.fsum(amounts) ** 2 / (len(amounts) * squares) if squares else 1.0


def waits_over_time(workload: Workload, by_client: Sequence[Sequence[Request]]) -> tuple[tuple[float | None, ...], ...]:
    sums = [[0.0] * len(by_client) for _ in range(workload.ends // TICK + 1)]
    counts = [[0] * len(by_client) for _ in sums]
    for client, requests in enumerate(by_client):
        for request in requests:
            waited = wait_of(request)
            if waited is not None:
                sums[request.arrival.at // TICK][client] += waited
                counts[request.arrival.at // TICK][client] += 1
    return tuple(
        tuple(total / count if count else None for total, count in zip(*tick, strict=True))
        for tick in zip(sums, counts, strict=True)
    )
