"""The source of both twins; `bodies` is the contract."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from kthena_fast import errors

if TYPE_CHECKING:
    from kthena_fast.upstream.deadlines import Deadlines


class Budget:
    """Bytes that may be held at one moment, all requests together."""

    __slots__ = ("_most", "held", "limit")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.held = 0
        self._most = 0

    def has_room_for(self, count: int) -> bool:
        return self.held + count <= self.limit

    def hold(self, count: int) -> None:
        """Count bytes in; GatewayError 503 `overloaded` where they would be too many."""
        if not self.has_room_for(count):
            raise errors.overloaded(
                f"The gateway holds as many bytes of request bodies as it may (MAX_BUFFERED_BYTES, {self.limit})."
            )
        self.held += count
        self._most = max(self._most, self.held)

    def release(self, count: int) -> None:
        self.held -= count

    def take_most(self) -> int:
        """How many there were at most since this was asked last."""
        most, self._most = self._most, self.held
        return most


class Hold:
    """What one request has counted in; given back once."""

    __slots__ = ("_budget", "_count")

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self._count = 0

    def grow_to(self, count: int) -> None:
        if count > self._count:
            self._budget.hold(count - self._count)
            self._count = count

    def release(self) -> None:
        self._budget.release(self._count)
        self._count = 0


class Progress:
    """Calls `fail` once no byte was seen for a while: one deadline that is pushed on lazily, not one per piece."""

    __slots__ = ("_deadline", "_deadlines", "_fail", "_moved", "_patience")

    def __init__(self, deadlines: Deadlines, patience: float, fail: Callable[[], None]) -> None:
        self._deadlines = deadlines
        self._patience = patience
        self._fail = fail
        self._moved = False
        self._deadline = deadlines.add(patience, self._on_deadline)

    def moved(self) -> None:
        self._moved = True

    def _on_deadline(self) -> None:
        if self._moved:
            self._moved = False
            self._deadline = self._deadlines.add(self._patience, self._on_deadline)
        else:
            self._fail()

    def done(self) -> None:
        self._deadlines.cancel(self._deadline)
