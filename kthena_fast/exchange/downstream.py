"""What a step may do towards the client, whichever way the request came in (the express lane or aiohttp).

The rooms below `gateway` know only this. All calls are synchronous and never block: what the client does not take waits
in the transport, and `attach` lets its slowness reach the engine's socket. A client that leaves cancels the task that
serves it, so no step asks "is he still there?" before it writes; writes to a lost client go nowhere.
"""

from __future__ import annotations

from enum import Enum
from typing import Final, Protocol

LEAVING: Final = "the gateway is leaving"
"""The message of a cancellation that ends a request because the drain's time is over, not because its client left."""


class Framing(Enum):
    """How the end of an answer's body is told."""

    LENGTH = "Content-Length"
    CHUNKED = "chunked"
    CLOSE = "the end of the connection"


class Flow(Protocol):
    """Where an answer comes from: asyncio's ReadTransport has this shape."""

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...


class Downstream(Protocol):
    """The client's side of one exchange: an answer is `start`, then `write`s, then `finish` or `abort`."""

    @property
    def accepts_chunked(self) -> bool:
        """Whether the client speaks HTTP/1.1; without it a body of unknown length ends with the connection."""

    @property
    def wants_body(self) -> bool:
        """False for HEAD: the head goes out as it is, the body does not."""

    @property
    def started(self) -> bool:
        """Whether a head was written: after it there is no other answer to give."""

    def end_connection(self) -> None:
        """No other request may follow on this connection; called before `start`, which says so to the client."""

    def start(self, status: int, lines: bytes, framing: Framing, first: bytes = b"") -> None:
        """Write the status line, `lines` (header lines, each with its CRLF), what `framing` and the connection's state
        ask for (`Transfer-Encoding: chunked`, `Connection: close`), the blank line and `first`, in one write.

        `lines` holds no Connection and no Transfer-Encoding; with `Framing.LENGTH` it holds Content-Length.
        `first` and every later `write` are bytes as they stand on the wire: the caller has framed them.
        """

    def write(self, data: bytes) -> None:
        """Pass bytes on, as they are."""

    def attach(self, flow: Flow | None) -> None:
        """From now on `flow` pauses while the client is slow and resumes when it caught up; None ends that."""

    def finish(self) -> None:
        """The answer is whole: the connection may serve the next request."""

    def abort(self) -> None:
        """The answer cannot be made whole: close the connection so that the client can tell."""
