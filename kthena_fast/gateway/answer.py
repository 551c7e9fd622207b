"""`Answer`: the client's side of one exchange on a transport, whichever way the request came in.

The connection keeps one `Pressure`, which remembers whether the client is slow; each request on it has an `Answer`.
"""

from __future__ import annotations

import http
from typing import TYPE_CHECKING

from kthena_fast.exchange.downstream import Flow, Framing

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

STATUS_LINES = {
    **{code: f"HTTP/1.1 {code} \r\n".encode() for code in range(100, 1000)},
    **{status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in http.HTTPStatus},
}

WRITE_HIGH_WATER = 1
"""Bytes that may wait in a client's transport before the engine's socket is paused. 1: as soon as the kernel takes no
more; what one read brought in then waits, and nothing else, which keeps a slow client under 256 KiB. Not 0: transports
of TLS pause at so many, others beyond, and at 0 bytes of 0 nothing would come to resume them
(test_a_connection_over_tls_carries_one_stream_after_another)."""

CLOSE_PATIENCE = 30.0
"""Seconds that a client has to take what is still to be written once its connection is closed; then the rest is dropped
with the connection. One that never reads would keep it, and its descriptor, for ever."""


class Pressure:
    """Whether a connection's client is slow, and whom to tell. Lives as long as the connection."""

    __slots__ = ("flow", "paused")

    def __init__(self) -> None:
        self.paused = False
        self.flow: Flow | None = None

    def pause(self) -> None:
        self.paused = True
        if self.flow is not None:
            self.flow.pause_reading()

    def resume(self) -> None:
        self.paused = False
        if self.flow is not None:
            self.flow.resume_reading()


class Answer:
    """One answer on a client's connection (`exchange.downstream.Downstream`)."""

    __slots__ = (
        "_closes",
        "_pressure",
        "_transport",
        "accepts_chunked",
        "complete",
        "keep_alive",
        "started",
        "wants_body",
    )

    def __init__(
        self,
        transport: asyncio.WriteTransport,
        pressure: Pressure,
        *,
        http_1_1: bool,
        keep_alive: bool,
        head_only: bool,
        closes: Callable[[], bool],
    ) -> None:
        self._transport = transport
        self._pressure = pressure
        self._closes = closes
        """Whether the process has begun to shut down: answers then end their connection."""
        self.accepts_chunked = http_1_1
        self.wants_body = not head_only
        self.keep_alive = keep_alive
        """Whether another request may follow; final once `complete`."""
        self.started = False
        self.complete = False

    def end_connection(self) -> None:
        self.keep_alive = False

    def start(self, status: int, lines: bytes, framing: Framing, first: bytes = b"") -> None:
        self.started = True
        if framing is Framing.CLOSE or self._closes():
            self.keep_alive = False
        parts = [STATUS_LINES[status], lines]
        if framing is Framing.CHUNKED:
            parts.append(b"Transfer-Encoding: chunked\r\n")
        if not self.keep_alive:
            parts.append(b"Connection: close\r\n\r\n")
        elif not self.accepts_chunked:
            parts.append(b"Connection: keep-alive\r\n\r\n")
        else:
            parts.append(b"\r\n")
        if first and self.wants_body:
            parts.append(first)
        self._send(b"".join(parts))

    def write(self, data: bytes) -> None:
        if self.wants_body:
            self._send(data)

    def _send(self, data: bytes) -> None:
        # The client may be gone since this iteration of the loop began; what is to end for that ends in the next one.
        # uvloop raises for a write to a closed transport (test_an_answer_to_a_client_that_is_gone_goes_nowhere).
        if not self._transport.is_closing():
            self._transport.write(data)

    def attach(self, flow: Flow | None) -> None:
        self._pressure.flow = flow
        if flow is not None and self._pressure.paused:
            flow.pause_reading()

    def finish(self) -> None:
        self.complete = True

    def abort(self) -> None:
        """Close without the end that the framing promised: what was written is still flushed, so that an error event
        at the end of a stream arrives."""
        self.keep_alive = False
        self._transport.close()

    def __repr__(self) -> str:
        words = ["started"] * self.started + ["complete"] * self.complete + ["keep-alive"] * self.keep_alive
        return f"<Answer {' '.join(words) or 'untouched'}>"
