"""The model of an engine with continuous batching.

1. It takes requests in the order in which they were given to it, at the begin of a step, while the sum of input and
   most output of those it runs fits its pool. One that is larger than the pool counts as large as the pool.
2. A step takes `BASE + EACH x running`. The first step of a request reads its prompt and gives token 1; step i gives
   token i. Nothing is preempted.
3. The two numbers are calibrated: with the pool full of 256/256 it does about 893 tokens (in and out) a second, what
   the VTC paper measured for Llama-2-7B on an A10G with this pool. Of a step's 42.6 ms there, 25 read the weights
   (14 GB at some 600 GB/s), the rest grows with the batch.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Final

from kthena_fast.core.heap import Ticket
from kthena_fast.simulator.arrivals import Arrival

POOL: Final = 10_000
BASE: Final = 25_000_000
EACH: Final = 923_800


class Request(Ticket):
    """An arrival, and what has become of it. Times are nanoseconds, None for what has not happened."""

    __slots__ = ("arrival", "first_token_at", "produced", "reserved", "steps")

    def __init__(self, arrival: Arrival) -> None:
        super().__init__()
        self.arrival = arrival
        self.reserved = 0
        """Output tokens that were charged in advance."""
        # What generates nothing (an embedding) has its prompt read all the same.
        self.steps = arrival.output or 1
        """That the engine takes over it."""
        self.produced = 0
        """Steps that it has taken: with each a token, if it generates any."""
        self.first_token_at: int | None = None


class Engine:
    __slots__ = ("_fresh", "line", "pool", "running", "used")

    def __init__(self, pool: int = POOL) -> None:
        self.pool = pool
        self.used = 0
        """Tokens of the pool that those who run have reserved."""
        self.running: list[Request] = []
        self.line: deque[Request] = deque()
        """Given to it and not yet taken."""
        self._fresh: list[Request] = []

    def need(self, arrival: Arrival) -> int:
        return min(arrival.input + arrival.limit, self.pool)

    def take(self) -> None:
        """At the begin of a step: take from the line what fits."""
        while self.line:
            need = self.need(self.line[0].arrival)
            if self.used + need > self.pool:
                return
            self.used += need
            request = self.line.popleft()
            self.running.append(request)
            self._fresh.append(request)

    def step_time(self) -> int:
        return BASE + EACH * len(self.running)

    def steps_to_next_end(self) -> int:
        """Until one of those who run has all its tokens."""
        return min([request.steps - request.produced for request in self.running])

    def advance(self, steps: int, now: int) -> Sequence[Request]:
        """So many steps, the first of which begins now; those who end with them. No more than to the next end."""
        first = now + self.step_time()
        for request in self._fresh:
            request.first_token_at = first
        self._fresh.clear()
        ended: list[Request] = []
        for request in self.running:
            request.produced += steps
            if request.produced == request.steps:
                ended.append(request)
        if ended:
            self.running = [request for request in self.running if request.produced < request.steps]
            self.used -= sum(self.need(request.arrival) for request in ended)
        return ended
