"""One run: a workload under a policy, from the first arrival to the end of the time.

Time goes from one *moment* (an arrival, a permit that opens, a turn of the ledger's ring, a sample) to the next; the
engine's steps in between are taken at once, since nothing decides anything there (`test_taking_steps_together...`).
What happens during a step sees what was charged up to the step before; the engine takes it in with the next one.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from kthena_fast.core.heap import Heap
from kthena_fast.core.ledger import Ledger
from kthena_fast.queueing.estimates import Ratios, RecentAnswers
from kthena_fast.queueing.tariff import Tariff
from kthena_fast.simulator import measures, permits
from kthena_fast.simulator.arrivals import MINUTE, SECOND, Arrival, Workload
from kthena_fast.simulator.engine import POOL, Engine, Request
from kthena_fast.simulator.gaps import Gaps
from kthena_fast.simulator.policies import Policy

MODEL: Final = "model"
MOST_QUEUED: Final = 1 << 24
"""Nothing is refused for length: the question is who waits."""
MOST_STEPS: Final = 1 << 40


@dataclass(frozen=True, slots=True)
class Setup:
    """What is the same for every policy of a comparison."""

    tariff: Tariff = field(default_factory=lambda: Tariff.of(1.0, 2.0))
    window: int = 5 * MINUTE
    pool: int = POOL
    concurrency: int | None = None
    """FAIRNESS_MAX_CONCURRENT; None: see `max_qps`."""
    max_qps: float | None = None
    """FAIRNESS_MAX_QPS; None: see `auto`."""
    auto: int | None = None
    """FAIRNESS_POD_CONCURRENCY, where the adaptive limit starts; None: as much as the engine has room for."""
    most_steps: int = MOST_STEPS
    """Steps of the engine that are taken at once at most."""

    def permits(self, engine: Engine) -> permits.Permits:
        if self.concurrency is not None:
            return permits.Count(self.concurrency)
        if self.max_qps is not None:
            return permits.Pace(self.max_qps)
        if self.auto is not None:
            return permits.Auto(engine, self.auto)
        return permits.Room(engine)


def simulate(workload: Workload, policy: Policy, setup: Setup) -> measures.Result:
    """Play a workload to its end and measure it."""
    run = _Run(workload, policy, setup)
    run.play()
    return measures.measure(workload, policy, setup.tariff, setup.pool, run.records)


class _Run:
    def __init__(self, workload: Workload, policy: Policy, setup: Setup) -> None:
        self._workload = workload
        self._policy = policy
        self._tariff = setup.tariff
        self._most_steps = setup.most_steps
        self._engine = Engine(setup.pool)
        self._permits = setup.permits(self._engine)
        # A seed of its own: keys of rows, too, are the same in every run.
        self._ledger = Ledger(setup.window / SECOND, max(len(workload.clients), 1), seed=0)
        self._heap = Heap(self._ledger, MODEL, policy.order, most=MOST_QUEUED, most_per_user=MOST_QUEUED)
        self._standings = [self._ledger.standing(float(client.share), client.rank) for client in workload.clients]
        self._ratios = Ratios()
        self._answers = RecentAnswers(max(len(workload.clients), 1))
        self._accepted: list[deque[int]] = [deque() for _ in workload.clients]
        self._waiting = [0] * len(workload.clients)
        self._out = 0
        self._next = 0
        """Place of the next arrival."""
        self._turn_at = 0
        self._sample_at = 0
        self._now = 0
        self.records = measures.Records(workload, setup.tariff)
        self._gaps = Gaps(workload.clients, self.records.demands())

    def play(self) -> None:
        ends = self._workload.ends
        engine = self._engine
        while self._now < ends:
            engine.take()
            moment, happen = self._next_moment()
            if not engine.running:
                if moment > ends:
                    break
                self._now = moment
                happen(moment)
                continue
            step = engine.step_time()
            steps = min(engine.steps_to_next_end(), (min(moment, ends) - self._now) // step, self._most_steps)
            if steps == 0:
                boundary = self._now + step
                while moment < boundary and moment <= ends:
                    happen(moment)
                    moment, happen = self._next_moment()
                if boundary > ends:
                    break
                steps = 1
            self._advance(steps, step)
        self._gaps.close()
        self.records.widest = self._gaps.widest

    # What happens, and when

    def _next_moment(self) -> tuple[int, Callable[[int], None]]:
        arrivals = self._workload.arrivals
        moment: int
        happen: Callable[[int], None]
        moment, happen = self._turn_at, self._turn
        if self._sample_at < moment:
            moment, happen = self._sample_at, self._sample
        if self._permits.next_moment is not None and self._permits.next_moment < moment:
            moment, happen = self._permits.next_moment, self._open
        if self._next < len(arrivals) and arrivals[self._next].at < moment:
            moment, happen = arrivals[self._next].at, self._arrive
        return moment, happen

    def _turn(self, now: int) -> None:
        begins = now + 1
        while self._ledger.sweep(begins / SECOND):
            pass
        width = round(self._ledger.width * SECOND)
        # A nanosecond before the next slot begins, so that what is charged as it begins finds it turned.
        self._turn_at = (begins // width + 1) * width - 1

    def _sample(self, now: int) -> None:
        self.records.sample()
        self._sample_at = now + measures.TICK

    def _open(self, now: int) -> None:
        self._permits.on_moment(now)
        self._call(now)

    def _arrive(self, now: int) -> None:
        arrival = self._workload.arrivals[self._next]
        self._next += 1
        client = arrival.client
        self.records.asked(arrival)
        if self._is_refused(arrival):
            self.records.refused(arrival)
            return
        request = Request(arrival)
        name = self._workload.clients[client].name
        units = self._tariff.request_weight + self._tariff.input_units(arrival.input)
        self._heap.enter(request, name, units, now / SECOND, self._standings[client])
        if self._waiting[client] == 0:
            self._gaps.begin(client, self.records.served)
        self._waiting[client] += 1
        self.records.requests.append(request)
        self._call(now)

    def _is_refused(self, arrival: Arrival) -> bool:
        if self._policy.per_minute is None:
            return False
        accepted = self._accepted[arrival.client]
        while accepted and accepted[0] <= arrival.at - 60 * SECOND:
            accepted.popleft()
        if len(accepted) >= self._policy.per_minute:
            return True
        accepted.append(arrival.at)
        return False

    # The life of a request that was accepted

    def _call(self, now: int) -> None:
        """Give a permit to the best, while there are any."""
        called = False
        while True:
            request = self._heap.first()
            if request is None:
                break
            assert isinstance(request, Request)
            arrival = request.arrival
            if not self._permits.has_room(arrival, now):
                break
            self._heap.pop(now / SECOND)
            self._permits.take(arrival, now)
            client = arrival.client
            self._waiting[client] -= 1
            if self._waiting[client] == 0:
                self._gaps.end(client)
            self._out += 1
            self.records.most_out = max(self.records.most_out, self._out)
            self._reserve(request)
            # The heap has charged the input; this adds what is reserved.
            self._charge(request, now)
            self.records.serve(client, request.units)
            self._engine.line.append(request)
            called = True
        if called:
            self._gaps.observe(self.records.served)

    def _reserve(self, request: Request) -> None:
        arrival = request.arrival
        if self._policy.reserve == "oracle":
            request.reserved = arrival.output
        elif self._policy.reserve == "mean":
            mean = int(self._answers.mean(self._ratios.answers, self._workload.clients[arrival.client].name))
            request.reserved = min(mean, arrival.limit)
        if self._policy.reserve:
            self.records.worst_estimate = max(self.records.worst_estimate, abs(request.reserved - arrival.output))

    def _charge(self, request: Request, now: int) -> None:
        """Settle what is owed so far; what was reserved is owed until more than that has come."""
        arrival = request.arrival
        output = max(min(request.produced, arrival.output), request.reserved)
        request.settle(request.units + self._tariff.output_units(output), now / SECOND)

    def _advance(self, steps: int, step: int) -> None:
        engine = self._engine
        running = engine.running
        self.records.pool_time += engine.used * steps * step
        ended = engine.advance(steps, self._now)
        self._now += steps * step
        now = self._now
        output_units = self._tariff.output_units(steps)
        for request in running:
            if request.arrival.output:
                self.records.serve(request.arrival.client, output_units)
            self._charge(request, now)
        for request in ended:
            self._end(request, now)
        self._gaps.observe(self.records.served)
        if ended:
            self._call(now)

    def _end(self, request: Request, now: int) -> None:
        arrival = request.arrival
        request.reserved = 0
        self._charge(request, now)
        request.leave()
        self._out -= 1
        self._permits.give_back(arrival)
        self._answers.learn(self._ratios.answers, self._workload.clients[arrival.client].name, arrival.output)
