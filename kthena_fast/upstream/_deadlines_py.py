"""The source of both twins; `deadlines` is the contract."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable

GRANULARITY = 0.1
"""Seconds. A deadline passes at most this much late, and never early."""


class Deadline:
    """One callback to come; `Deadlines.cancel` gives it up."""

    __slots__ = ("_bucket", "_callback")

    def __init__(self, bucket: set[Deadline], callback: Callable[[], object]) -> None:
        self._bucket = bucket
        self._callback = callback


class Deadlines:
    """Calls back once the seconds have passed. Callbacks run in the loop and raise nothing they want handled here."""

    __slots__ = ("_buckets", "_due", "_loop", "_timer", "_timer_at")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._buckets: dict[int, set[Deadline]] = {}
        self._due: list[int] = []
        """The keys of `_buckets` as a heap."""
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0

    def __len__(self) -> int:
        """How many are still to come."""
        return sum(map(len, self._buckets.values()))

    def add(self, seconds: float, callback: Callable[[], object]) -> Deadline:
        # Rounded up: a deadline that passes early would fail a request that was still in time.
        due = int((self._loop.time() + seconds) / GRANULARITY) + 1
        bucket = self._buckets.get(due)
        if bucket is None:
            bucket = self._buckets[due] = set()
            heapq.heappush(self._due, due)
            self._arm(due)
        deadline = Deadline(bucket, callback)
        bucket.add(deadline)
        return deadline

    def cancel(self, deadline: Deadline) -> None:
        """Give it up; one that has passed or was given up before is left as it is."""
        deadline._bucket.discard(deadline)

    def close(self) -> None:
        """Give up all of them."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._buckets.clear()
        self._due.clear()

    def _arm(self, due: int) -> None:
        """Have the loop wake us for the bucket, unless it does so for an earlier one."""
        if self._timer is not None:
            if self._timer_at <= due:
                return
            self._timer.cancel()
        self._timer_at = due
        self._timer = self._loop.call_at(due * GRANULARITY, self._pass)

    def _pass(self) -> None:
        self._timer = None
        # Taken now: a callback that sets another deadline arms the timer anew, for a bucket that is not due.
        armed_for = self._timer_at
        now = self._loop.time()
        # The loop may wake a timer up to its clock's resolution early; the bucket armed for is due by definition.
        while self._due and (self._due[0] <= armed_for or self._due[0] * GRANULARITY <= now):
            bucket = self._buckets.pop(heapq.heappop(self._due))
            while bucket:
                deadline = bucket.pop()
                try:
                    deadline._callback()
                except Exception as failure:  # noqa: BLE001 - one failing callback must not take the others' time away
                    self._loop.call_exception_handler({"message": "a deadline's callback failed", "exception": failure})
        if self._due:
            self._arm(self._due[0])
