"""The source of both twins; `stream` is the contract.

Rules
1. The socket is watched once, for both directions and by its edges: a piece that is shorter than what was asked for was
   all of it, unless an end or an urgent byte stands behind it, which the event tells; and of one that the kernel did
   not take whole an edge tells when there is room. So reading, writing, pausing and going on ask the kernel for nothing
   but the bytes.
2. What came and was not read (a pause, or too much for one turn) waits in line: no edge tells of it again.
3. Of what it does itself a protocol is told nothing from within its own call, but that it is to pause its writing.
4. What came is read before what waits is written: a peer may answer and go without having read everything.
5. The descriptor stays open until `connection_lost` was told: no other socket has its number before.
6. What is written while the outbox is open waits as if the kernel had not taken it, until the outbox sends.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import select
import socket
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, Final, Protocol

from kthena_fast.transport import _calls as calls

MUCH: Final = 32 * 1024
"""Bytes of a piece behind which as many are awaited."""

READS_AT_ONCE: Final = 4
"""Pieces of `_calls.MOST_READ` bytes that one connection may take before others have their turn."""

MOST_GATHERED: Final = 32
"""Connections whose writes wait for each other. Each is served in some 8 us, and one that brings much is waited for by
none: so what waits does so for a quarter of a millisecond at most."""

SMALL: Final = 16 * 1024
"""Bytes of a piece that may wait; with a larger one its peer is busy for long enough anyhow."""

HIGH_WATER: Final = 64 * 1024
"""Bytes that may wait before the protocol is to pause; asyncio's default."""

_READABLE: Final = select.EPOLLIN | select.EPOLLRDHUP | select.EPOLLHUP | select.EPOLLERR
_WRITABLE: Final = select.EPOLLOUT | select.EPOLLHUP | select.EPOLLERR
_SPLIT: Final = select.EPOLLPRI | select.EPOLLRDHUP | select.EPOLLHUP | select.EPOLLERR
"""Something that no piece holds: an urgent byte or the end. The kernel cuts what came there."""

_BROKEN: Final = select.EPOLLHUP | select.EPOLLERR


class Keeper(Protocol):
    """Who watches the sockets."""

    def line_up(self, stream: Stream) -> None: ...

    def forget(self, descriptor: int) -> None: ...


class Outbox:
    """See `stream.Outbox`."""

    __slots__ = ("_streams", "is_open")

    def __init__(self) -> None:
        self.is_open = False
        """Whether what is written may wait for `send`."""
        self._streams: list[Stream] = []

    def add(self, stream: Stream) -> None:
        self._streams.append(stream)

    def is_full(self) -> bool:
        return len(self._streams) >= MOST_GATHERED

    def send(self) -> None:
        streams = self._streams
        # Those that are there now; and one that fails altogether leaves the others in it.
        for _ in range(len(streams)):
            streams.pop(0).on_sending()


class Stream:
    """See `stream.Stream`."""

    __slots__ = (
        "_buffered",
        "_descriptor",
        "_failure",
        "_has_ended",
        "_has_more",
        "_high",
        "_is_closing",
        "_is_full",
        "_is_gathered",
        "_is_in_line",
        "_is_losing",
        "_is_paused",
        "_keeper",
        "_loop",
        "_low",
        "_opened",
        "_outbox",
        "_protocol",
        "_receive",
        "_room",
        "_room_at",
        "_room_told",
        "_sent",
        "_shuts",
        "_waiting",
        "is_patient",
        "takes_much",
    )

    def __init__(
        self,
        keeper: Keeper,
        outbox: Outbox,
        loop: asyncio.AbstractEventLoop,
        opened: socket.socket,
        protocol: asyncio.Protocol,
    ) -> None:
        self._keeper = keeper
        self._outbox = outbox
        self._loop = loop
        self._opened = opened
        self._descriptor = opened.fileno()
        self._protocol: Any = protocol
        self._receive: Callable[[bytes], object] = protocol.data_received
        """Its method, which every piece would have to look for."""
        self.is_patient = False
        """Whether what comes may wait for a moment, so that several pieces are served at once; the protocol says so."""
        # reading
        self._room: bytearray | None = None
        """Where what comes belongs, if that is known."""
        self._room_at = 0
        self._room_told: Callable[[int], object] = _ignore
        self._is_paused = False
        self._has_more = False
        """Something may have come of which no edge will tell."""
        self._is_in_line = False
        self.takes_much = False
        """Whether the last piece was a large one."""
        self._has_ended = False
        # writing
        self._waiting: deque[bytes] = deque()
        self._buffered = 0
        """Bytes that wait."""
        self._sent = 0
        """Bytes that the kernel has of the first piece that waits."""
        self._high = HIGH_WATER
        self._low = HIGH_WATER // 4
        self._is_gathered = False
        """Whether the outbox has it."""
        self._is_full = False
        """Whether the protocol was told to pause."""
        self._shuts = False
        """Whether the direction of writing ends once all is written."""
        # the end
        self._is_closing = False
        self._is_losing = False
        self._failure: BaseException | None = None

    def __repr__(self) -> str:
        words = ["closing"] * self._is_closing + ["paused"] * self._is_paused + ["ended"] * self._has_ended
        return f"<Stream {self._descriptor} {' '.join([*words, f'buffered={self._buffered}'])}>"

    # What every transport of asyncio has

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """`socket`, and while it is connected `peername` and `sockname`."""
        if name == "socket":
            return self._opened
        with contextlib.suppress(OSError):
            if name == "peername":
                return self._opened.getpeername()
            if name == "sockname":
                return self._opened.getsockname()
        return default

    def set_protocol(self, protocol: asyncio.Protocol) -> None:
        self._protocol = protocol
        self._receive = protocol.data_received

    def get_protocol(self) -> asyncio.Protocol:
        protocol: asyncio.Protocol = self._protocol
        return protocol

    def is_closing(self) -> bool:
        return self._is_closing

    def close(self) -> None:
        """Read no more, and close when all is written."""
        if self._is_closing:
            return
        self._is_closing = True
        if not self._buffered:
            self._lose_soon()

    def abort(self) -> None:
        """Close at once; what waits is lost."""
        self._fail(None)

    # Reading

    def is_reading(self) -> bool:
        return not (self._is_paused or self._is_closing or self._has_ended)

    def pause_reading(self) -> None:
        self._is_paused = True

    def resume_reading(self) -> None:
        self._is_paused = False
        if self._has_more and not self._is_closing:
            self._line_up()

    def receive_into(self, room: bytearray | None, at: int = 0, told: Callable[[int], object] | None = None) -> None:
        """Have what comes next received into `room` from `at` on until it is full, without a copy: `told` is called
        with how many bytes came, instead of the protocol's `data_received`. No room: no longer.

        Compiled, it may as well be bytes that nobody else has seen. ValueError where `at` is not in it.
        """
        if room is not None and not 0 <= at < len(room):
            raise ValueError(f"the room has {len(room)} bytes, and none at {at}")
        self._room = room
        self._room_at = at
        self._room_told = _ignore if told is None else told

    # Writing

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Bytes; ValueError unless `high` >= `low` >= 0."""
        if high is None:
            high = HIGH_WATER if low is None else 4 * low
        if low is None:
            low = high // 4
        if not 0 <= low <= high:
            raise ValueError(f"high ({high}) must be at least low ({low}), and low at least 0")
        self._high = high
        self._low = low
        self._pause_if_full()

    def get_write_buffer_limits(self) -> tuple[int, int]:
        return self._low, self._high

    def get_write_buffer_size(self) -> int:
        return self._buffered

    def can_write_eof(self) -> bool:
        return True

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Give the kernel what it takes, and the rest once it takes more; RuntimeError after `write_eof`."""
        # `bytes` would take a number for a length.
        piece = data if type(data) is bytes else bytes(memoryview(data))
        if self._shuts:
            raise RuntimeError("the direction of writing was ended by write_eof")
        if self._is_closing or not piece:
            return
        sent = 0
        if not self._buffered:
            if self._outbox.is_open and len(piece) <= SMALL:
                self._gather()
            else:
                try:
                    sent = calls.send(self._descriptor, piece, 0)
                except OSError as failure:
                    self._fail(failure)
                    return
                if sent == len(piece):
                    return
            self._sent = sent
        self._waiting.append(piece)
        self._buffered += len(piece) - sent
        self._pause_if_full()

    def _gather(self) -> None:
        if not self._is_gathered:
            self._is_gathered = True
            self._outbox.add(self)

    def writelines(self, pieces: Iterable[bytes | bytearray | memoryview]) -> None:
        for piece in pieces:
            self.write(piece)

    def write_eof(self) -> None:
        """End the direction of writing once all is written."""
        if self._is_closing or self._shuts:
            return
        self._shuts = True
        if not self._buffered:
            self._shut()

    # What its keeper calls

    def begin(self) -> None:
        """Tell the protocol of it."""
        self._tell(self._protocol.connection_made, self)

    def on_events(self, events: int) -> None:
        """Something happened to the socket; `events` are epoll's bits."""
        if events & _READABLE and not self._is_closing:
            self._on_readable(events)
        if self._buffered and not self._is_gathered and events & _WRITABLE:
            self._flush()

    def on_sending(self) -> None:
        """The outbox sends what was written."""
        self._is_gathered = False
        if self._buffered:
            self._flush()

    def on_turn(self) -> None:
        """It has come to the front of the line."""
        self._is_in_line = False
        if self._has_more and self.is_reading():
            self._has_more = False
            self._read(True)

    def _on_readable(self, events: int) -> None:
        if self._has_ended:
            # Of a peer that has said its last only its going is news.
            if events & _BROKEN and not self._shuts:
                self._fail(_reset())
        elif self._is_paused:
            self._has_more = True
        elif not self._has_more:
            self._read((events & _SPLIT) != 0)

    def _read(self, to_the_end: bool) -> None:
        """Take what came; `to_the_end`: more may stand behind a piece that is short, and no edge will tell of it."""
        for _ in range(READS_AT_ONCE):
            asked = calls.MOST_READ
            data = None
            try:
                if self._room is not None:
                    asked = min(asked, len(self._room) - self._room_at)
                    size = calls.receive_into(self._descriptor, self._room, self._room_at, self._room_at + asked)
                else:
                    data = calls.receive_much(self._descriptor) if self.takes_much else calls.receive(self._descriptor)
                    size = -1 if data is None else len(data)
            except OSError as failure:
                self._fail(failure)
                return
            if size < 0:
                return
            if not size:
                self._on_end()
                return
            self.takes_much = size >= MUCH
            try:
                if data is None:
                    self._fill(size)
                else:
                    self._receive(data)
            except (KeyboardInterrupt, SystemExit):
                raise
            except BaseException as problem:  # noqa: BLE001 - a CancelledError, too, is no other connection's affair
                self._on_fault(problem)
                return
            if self._is_closing or (size < asked and not to_the_end):
                return
            if self._is_paused:
                self._has_more = True
                return
        self._has_more = True
        self._line_up()

    def _fill(self, size: int) -> None:
        """So much came into its place."""
        assert self._room is not None
        self._room_at += size
        if self._room_at == len(self._room):
            # What is full is another one's from here on.
            self._room = None
        self._room_told(size)

    def _line_up(self) -> None:
        """Once, however often reading is paused and resumed until its turn: others wait for theirs."""
        if not self._is_in_line:
            self._is_in_line = True
            self._keeper.line_up(self)

    def _on_end(self) -> None:
        self._has_ended = True
        if not self._tell(self._protocol.eof_received):
            self.close()
        elif self._opened.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            # It has gone by now, and the event that told of both was this one.
            self._fail(_reset())

    def _pause_if_full(self) -> None:
        if self._buffered > self._high and not self._is_full:
            self._is_full = True
            self._tell(self._protocol.pause_writing)

    def _flush(self) -> None:
        """Write what waits, as far as the kernel takes it."""
        waiting = self._waiting
        while waiting:
            piece = waiting[0]
            try:
                sent = calls.send(self._descriptor, piece, self._sent)
            except OSError as failure:
                self._fail(failure)
                return
            self._buffered -= sent
            self._sent += sent
            if self._sent < len(piece):
                break
            self._sent = 0
            waiting.popleft()
        if not self._buffered:
            if self._is_closing:
                self._lose_soon()
                return
            if self._shuts:
                self._shut()
        if self._is_full and self._buffered <= self._low:
            self._is_full = False
            self._tell(self._protocol.resume_writing)

    def _shut(self) -> None:
        # A peer that is gone needs no telling.
        with contextlib.suppress(OSError):
            self._opened.shutdown(socket.SHUT_WR)

    # The end

    def _tell(self, method: Callable[..., object], *arguments: object) -> object:
        """Call a method of the protocol, whose faults end its connection and nothing else."""
        try:
            return method(*arguments)
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as problem:  # noqa: BLE001 - as in `_read`
            self._on_fault(problem)
            return None

    def _on_fault(self, problem: BaseException) -> None:
        self._loop.call_exception_handler(
            {
                "message": "a protocol failed; its connection is closed",
                "exception": problem,
                "transport": self,
                "protocol": self._protocol,
            }
        )
        self._fail(problem)

    def _fail(self, failure: BaseException | None) -> None:
        """Close at once."""
        self._waiting.clear()
        self._buffered = self._sent = 0
        self._is_closing = True
        if self._failure is None:
            self._failure = failure
        self._lose_soon()

    def _lose_soon(self) -> None:
        if not self._is_losing:
            self._is_losing = True
            self._loop.call_soon(self._lose)

    def _lose(self) -> None:
        protocol = self._protocol
        self._keeper.forget(self._descriptor)
        try:
            protocol.connection_lost(self._failure)
        finally:
            self._opened.close()
            # Each holds the other.
            self._protocol = None
            self._receive = self._room_told = _ignore
            self._room = None


def _ignore(_: object) -> None: ...


def _reset() -> ConnectionResetError:
    return ConnectionResetError(errno.ECONNRESET, "Connection reset by peer")
