"""The source of both twins; `incoming` is the contract."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from kthena_fast.gateway import _whole as whole_room
from kthena_fast.gateway.bodies import Hold

if TYPE_CHECKING:
    from kthena_fast.gateway.bodies import Budget

MOST_AT_ONCE: Final = 8 * 1024 * 1024
"""Bytes of a body for which room is taken with its first piece; a larger one gets twice what it needs, again and again.
(Memory that is not written yet costs nothing.)"""


class Incoming:
    """See `incoming.Incoming`."""

    __slots__ = ("_budget", "_hold", "_length", "_most", "_piece", "_room", "is_in_place", "missing")

    def __init__(self, budget: Budget, most: int) -> None:
        self._budget = budget
        self._hold = Hold(budget)
        self._most = most
        self._length = 0
        self.missing = 0
        """Bytes that are still to come."""
        self.is_in_place = False
        """Whether some of it was received into its room, so that nobody knows what stands behind it."""
        self._piece = b""
        """All of it, if it came in one piece."""
        self._room: bytearray | None = None
        """Where the pieces are put otherwise."""

    def begin(self, length: int) -> None:
        self._length = self.missing = length
        self.is_in_place = False

    def is_too_large(self) -> bool:
        return self._length > self._most

    def take(self, data: bytes) -> None:
        """Keep a piece, all of which belongs to it; of one that is too large nothing is kept."""
        at = self.came()
        end = at + len(data)
        self.missing -= len(data)
        if self.is_too_large():
            return
        if self._room is None:
            if end == self._length:
                self._piece = data
                return
            # Room for the others is taken only now: a client may announce much and send nothing.
            self._room = whole_room.blank(min(self._length, max(MOST_AT_ONCE, end)))
        elif end > len(self._room):
            self._room = whole_room.grown(self._room, min(self._length, 2 * end))
        whole_room.put(self._room, at, data)

    def room(self) -> bytearray | None:
        """Where the rest belongs, from `came` on, or as much of it as there is room for now; None: there is none yet.

        Whoever writes there says so by `received`, and stops once this is forgotten.
        """
        if self._room is not None and self._is_full():
            self._room = whole_room.grown(self._room, min(self._length, 2 * len(self._room)))
        return self._room

    def came(self) -> int:
        """Bytes that have come."""
        return self._length - self.missing

    def received(self, size: int) -> bool:
        """So much more is in the room; whether that is full, and more is to come."""
        self.is_in_place = True
        self.missing -= size
        return self._is_full()

    def _is_full(self) -> bool:
        """Whether more is to come than there is room for."""
        return self.missing > 0 and self._room is not None and self.came() == len(self._room)

    def is_ready(self) -> bool:
        """Whether all of it is here and may be held; then it is counted in."""
        if self.missing or self.is_too_large() or not self._budget.has_room_for(self._length):
            return False
        self.hold()
        return True

    def hold(self) -> None:
        """Count in what has come; GatewayError 503 where that is too much."""
        self._hold.grow_to(self.came())

    def whole(self) -> bytes:
        """All of it; it is kept here no longer."""
        if self._room is not None:
            whole = whole_room.sealed(self._room)
            self._room = None
            return whole
        piece = self._piece
        self._piece = b""
        return piece

    def forget(self) -> bool:
        """Give back what it holds; whether there was a room, in which nothing may be written any more."""
        had_room = self._room is not None
        self._piece = b""
        self._room = None
        self._hold.release()
        return had_room
