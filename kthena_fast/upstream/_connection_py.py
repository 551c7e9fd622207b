"""The source of both twins; `connection` is the contract."""

from __future__ import annotations

import asyncio
from typing import Final, Protocol

from kthena_fast.transport.stream import Stream, own
from kthena_fast.upstream.relay import Relay

ONE_BUFFER: Final = 64 * 1024
"""Bytes. Up to here head and body are joined into one buffer; beyond, a copy costs more than a second buffer."""

IN_USE: Final = -1.0
"""In place of a time."""


class Owner(Protocol):
    """Where connections are kept; it is told of those that ended."""

    def forget(self, connection: Connection) -> None: ...


class Connection:
    """An asyncio protocol that serves one exchange at a time, and the `Flow` that a slow client pauses."""

    __slots__ = ("_owner", "_paused", "_relay", "_served", "_stream", "before", "idle_since", "is_open", "transport")

    def __init__(self, owner: Owner) -> None:
        self._owner = owner
        self._relay: Relay | None = None
        self._served = 0
        self._paused = False
        self.idle_since = IN_USE
        """When it was given back; `IN_USE` while it is in use."""
        self.before: Connection | None = None
        """What was given back before it and waits, too; its owner's."""
        self.is_open = False
        self.transport: asyncio.Transport
        self._stream: Stream | None
        """The same, if it is ours: its methods need not be looked for."""

    def is_reusable(self) -> bool:
        """Whether another exchange may follow the last one."""
        relay = self._relay
        return (
            self.is_open
            and relay is not None
            and relay.is_over
            and relay.is_reusable
            # An engine may answer before it has read the request; what is left of it would precede the next one.
            and self._has_sent_all()
        )

    def _has_sent_all(self) -> bool:
        stream = self._stream
        if stream is not None:
            return not stream.is_closing() and stream.get_write_buffer_size() == 0
        return not self.transport.is_closing() and self.transport.get_write_buffer_size() == 0

    def send(self, head: bytes, body: bytes, relay: Relay) -> None:
        """Write the request, in one go; the answer goes to `relay`."""
        self._relay = relay
        self._served += 1
        if len(body) <= ONE_BUFFER:
            stream = self._stream
            if stream is not None:
                stream.write(head + body)
            else:
                self.transport.write(head + body)
        else:
            self.transport.writelines((head, body))

    def rest(self, now: float) -> None:
        """The exchange is over and the connection is kept: it holds on to nothing of it."""
        self._relay = None
        self.idle_since = now
        if self._stream is not None:
            self._stream.is_patient = False
        # A client that was slow to the end has left it paused.
        self.resume_reading()

    def abort(self) -> None:
        """Close at once, whatever is under way: an engine that generates for nobody is to notice."""
        relay = self._relay
        self._relay = None
        if relay is not None:
            relay.abandon()
        if self.is_open:
            self.is_open = False
            self._owner.forget(self)
            self.transport.abort()

    def on_stream(self) -> None:
        """What comes from here on are pieces of a stream, whose client does not miss a fraction of a millisecond."""
        if self._stream is not None:
            self._stream.is_patient = True

    # What the client's slowness calls

    def pause_reading(self) -> None:
        if self.is_open and not self._paused and not self.transport.is_closing():
            self._paused = True
            self.transport.pause_reading()

    def resume_reading(self) -> None:
        if self._paused:
            self._paused = False
            if self.is_open and not self.transport.is_closing():
                self.transport.resume_reading()

    # What the loop calls

    def connection_made(self, transport: asyncio.Transport) -> None:
        self.transport = transport
        self._stream = own(transport)
        self.is_open = True

    def data_received(self, data: bytes) -> None:
        relay = self._relay
        if relay is not None:
            relay.receive(data)
        else:
            # Nothing was asked. The next request must not get this as its answer.
            self.abort()

    def eof_received(self) -> None:
        if self._relay is not None:
            self._relay.on_eof()

    def connection_lost(self, failure: Exception | None) -> None:
        if self.is_open:
            self.is_open = False
            self._owner.forget(self)
        relay = self._relay
        self._relay = None
        if relay is not None:
            why = "the engine closed the connection" if failure is None else _said(failure)
            relay.on_lost(reused=self._served > 1, why=why)

    def pause_writing(self) -> None:
        """The request is in memory anyhow; there is nothing to hold back."""

    def resume_writing(self) -> None:
        """See `pause_writing`."""


def _said(failure: Exception) -> str:
    if isinstance(failure, OSError) and failure.strerror:
        return failure.strerror.lower()
    return type(failure).__name__
