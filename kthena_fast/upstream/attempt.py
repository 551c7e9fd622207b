"""What the relay and the forwarder tell each other, and what they ask of others."""

from __future__ import annotations

from enum import Enum
from typing import Protocol

from kthena_fast.wire.usage import Usage


class Outcome(Enum):
    """How one attempt on one connection ended."""

    DONE = "the whole answer went to the client"
    CUT = "the answer broke off after its head had gone to the client"
    REFUSED = "the engine answered with a status that another pod may do better; the client got nothing"
    UNREACHABLE = "there was no connection to be had; not a byte of the request was written"
    LOST = "the connection ended before a whole response head"
    STALE = "a connection that was kept from an earlier request ended before the first byte of a response"
    MALFORMED = "what came was not an HTTP/1.1 answer; the client got nothing"
    TIMED_OUT = "no response head in time"


class Tally(Protocol):
    """Learns what an answer costs while it streams; fairness charges by it.

    Declared here because whoever charges is a neighbour of this room.
    """

    def on_events(self, count: int) -> None:
        """So many more content events went to the client."""

    def on_usage(self, usage: Usage) -> None:
        """The engine reported usage: at the end, or again and again when it reports continuously."""


class Gauge(Protocol):
    """Is told of one request's attempts, at most one of which is under way; `telemetry.requests.Meter` is one."""

    def attempt_began(self) -> None: ...

    def attempt_ended(self) -> None: ...
