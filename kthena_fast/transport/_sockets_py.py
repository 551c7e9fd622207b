"""The source of both twins; `sockets` is the contract."""

from __future__ import annotations

import asyncio
import select
import socket
import time
from collections import deque
from collections.abc import Callable
from typing import Any, Final

import aiohappyeyeballs

from kthena_fast.transport import _calls as calls
from kthena_fast.transport.stream import Outbox, Stream

MOST_EVENTS: Final = 256
"""Sockets that something happened to, and as many that wait in line, are served in one turn of the loop, before timers
and tasks have theirs."""

MOST_NAPS: Final = 4
"""In a row, before the rest of the loop has its turn."""

FEW: Final = 16
"""Streams that are served in one look, up to which there is time for a nap: where more have something, it is work that
waits, not time."""

COUNTED: Final = 64
"""Pieces from which it is told how dense they are."""

DENSE: Final = 2
"""Pieces that come during a nap, for it to save a waking."""

NEXT_ADDRESS: Final = 0.25
"""Seconds after which the next address of a host is tried beside the last; what RFC 8305 recommends."""

_EDGES: Final = select.EPOLLIN | select.EPOLLPRI | select.EPOLLOUT | select.EPOLLRDHUP | select.EPOLLET


class Sockets:
    """See `sockets.Sockets`."""

    __slots__ = (
        "_clock",
        "_counted",
        "_descriptor",
        "_epoll",
        "_events",
        "_is_called",
        "_is_closed",
        "_is_dense",
        "_line",
        "_loop",
        "_nap",
        "_outbox",
        "_since",
        "_sleep",
        "_streams",
    )

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        nap: float = 0.0,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        self._loop = loop
        self._outbox = Outbox()
        self._nap = nap
        self._clock = clock
        self._sleep = sleep
        # How dense the pieces are that may wait: since when so many were counted.
        self._since = clock()
        self._counted = 0
        self._is_dense = False
        self._epoll = select.epoll()
        self._descriptor = self._epoll.fileno()
        self._events = calls.room(MOST_EVENTS)
        self._streams: list[Stream | None] = []
        """By descriptor."""
        self._line: deque[Stream] = deque()
        """Those that may have more to read than edges tell of."""
        self._is_called = False
        self._is_closed = False
        loop.add_reader(self._descriptor, self._on_ready)

    def __len__(self) -> int:
        """Connections that are watched."""
        return sum(stream is not None for stream in self._streams)

    def adopt(self, opened: socket.socket, factory: Callable[[], Any]) -> Stream:
        try:
            opened.setblocking(False)
            opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            stream = Stream(self, self._outbox, self._loop, opened, factory())
            descriptor = opened.fileno()
            while len(self._streams) <= descriptor:
                self._streams.append(None)
            self._epoll.register(descriptor, _EDGES)
        except BaseException:
            opened.close()
            raise
        self._streams[descriptor] = stream
        stream.begin()
        return stream

    async def connect(self, factory: Callable[[], Any], host: str, port: int) -> Stream:
        found = await self._loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        opened = await aiohappyeyeballs.start_connection(found, happy_eyeballs_delay=NEXT_ADDRESS, loop=self._loop)
        return self.adopt(opened, factory)

    def close(self) -> None:
        if self._is_closed:
            return
        self._is_closed = True
        for stream in self._streams:
            if stream is not None:
                stream.abort()
        self._loop.remove_reader(self._descriptor)
        self._epoll.close()

    # What streams call

    def line_up(self, stream: Stream) -> None:
        """Have it read in the next turn of the loop, or later if the line is long."""
        self._line.append(stream)
        self._call()

    def forget(self, descriptor: int) -> None:
        """It is about to be closed."""
        self._streams[descriptor] = None
        if not self._is_closed:
            self._epoll.unregister(descriptor)

    # What the loop calls

    def _on_ready(self) -> None:
        naps = 0
        while not self._is_closed and self._look():
            if naps == MOST_NAPS:
                # What comes until then wakes nobody either.
                self._loop.call_soon(self._on_ready)
                return
            naps += 1
            self._sleep(self._nap)

    def _look(self) -> bool:
        """Serve those to whom something happened; whether a nap would save a waking, and nobody waits for more than a
        piece that may."""
        count = calls.wait(self._epoll, self._descriptor, self._events)
        patient = self._serve(count)
        self._counted += patient
        if self._counted >= COUNTED:
            now = self._clock()
            self._is_dense = (now - self._since) * DENSE < self._counted * self._nap
            self._since = now
            self._counted = 0
        return self._is_dense and 0 < patient == count <= FEW

    def _serve(self, count: int) -> int:
        """Serve those of so many events; how many of them may wait."""
        streams = self._streams
        events = self._events
        patient = 0
        outbox = self._outbox
        # What is alone would wait for nothing.
        outbox.is_open = count > 1
        try:
            for number in range(count):
                stream = streams[calls.descriptor_of(events, number)]
                if stream is not None:
                    if stream.is_patient:
                        patient += 1
                    if stream.takes_much:
                        outbox.send()
                    stream.on_events(calls.mask_of(events, number))
                    if stream.takes_much or outbox.is_full():
                        outbox.send()
        finally:
            outbox.is_open = False
            outbox.send()
        return patient

    def _on_turn(self) -> None:
        line = self._line
        count = min(len(line), MOST_EVENTS)
        self._is_called = False
        if count < len(line):
            self._call()
        for _ in range(count):
            line.popleft().on_turn()

    def _call(self) -> None:
        """Have the line served in the next turn of the loop."""
        if not self._is_called:
            self._is_called = True
            self._loop.call_soon(self._on_turn)
