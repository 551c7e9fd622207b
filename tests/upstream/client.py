"""A `Downstream` that remembers, and exchanges to go with it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from kthena_fast.exchange.downstream import Flow, Framing
from kthena_fast.exchange.record import Exchange


def an_exchange(method: str = "POST") -> Exchange:
    return Exchange(
        method,
        b"/v1/chat/completions",
        "/v1/chat/completions",
        "",
        "HTTP/1.1",
        [],
        "192.0.2.1",
        "192.0.2.1",
        "http",
        b"r-1",
        0.0,
        0.0,
    )


class Client:
    """What a client of the gateway would have got; `repr` tells it for asserting on.

    `high_water` makes it slow: it pauses the flow when it holds that many bytes, until `drain`.
    """

    def __init__(self, *, accepts_chunked: bool = True, wants_body: bool = True, high_water: int = 0) -> None:
        self.accepts_chunked = accepts_chunked
        self.wants_body = wants_body
        self.started = False
        self.status = 0
        self.lines = b""
        self.framing: Framing | None = None
        self.wire = b""
        """Body bytes as they would stand on the wire."""
        self.writes: list[bytes] = []
        self.end = "open"
        self.flow: Flow | None = None
        self.held = 0
        self.most_held = 0
        self.pauses = 0
        self._high_water = high_water
        self._paused = False
        self._changed = asyncio.Event()

    def end_connection(self) -> None:
        raise AssertionError("the way upstream does not decide on the client's connection")

    def start(self, status: int, lines: bytes, framing: Framing, first: bytes = b"") -> None:
        assert not self.started
        self.started = True
        self.status = status
        self.lines = lines
        self.framing = framing
        self._take(first)

    def write(self, data: bytes) -> None:
        assert self.started
        assert self.end == "open"
        assert data
        self._take(data)

    def attach(self, flow: Flow | None) -> None:
        assert (flow is None) is not (self.flow is None)
        self.flow = flow
        self._paused = False
        self._regulate()

    def finish(self) -> None:
        self._finish("finished")

    def abort(self) -> None:
        self._finish("aborted")

    def drain(self) -> None:
        self.held = 0
        if self._paused and self.flow is not None:
            self._paused = False
            self.flow.resume_reading()

    @property
    def body(self) -> bytes:
        """The body as the client understands it; raises where the framing is wrong."""
        if self.framing is not Framing.CHUNKED:
            return self.wire
        return unchunked(self.wire, is_whole=self.end == "finished")

    def header(self, name: bytes) -> bytes | None:
        for line in self.lines.split(b"\r\n"):
            key, _, value = line.partition(b":")
            if key.lower() == name:
                return value.strip()
        return None

    async def until(self, holds: Callable[[Client], bool]) -> None:
        while not holds(self):
            self._changed.clear()
            await self._changed.wait()

    def __repr__(self) -> str:
        how = self.framing.name if self.framing is not None else None
        return f"<{self.status} {how} {self.body!r} {self.end}>"

    def _finish(self, end: str) -> None:
        assert self.started
        assert self.end == "open"
        assert self.flow is None
        self.end = end
        self._changed.set()

    def _take(self, data: bytes) -> None:
        self.wire += data
        self.writes.append(data)
        self.held += len(data)
        self.most_held = max(self.most_held, self.held)
        self._regulate()
        self._changed.set()

    def _regulate(self) -> None:
        if self._high_water and self.held > self._high_water and self.flow is not None and not self._paused:
            self._paused = True
            self.pauses += 1
            self.flow.pause_reading()


def unchunked(wire: bytes, *, is_whole: bool) -> bytes:
    """Decode chunks strictly, but for extensions. A broken answer stops between two of them and lacks the last one."""
    body = b""
    while wire:
        size, found, wire = wire.partition(b"\r\n")
        assert found, size
        length = int(size.partition(b";")[0], 16)
        if length == 0:
            assert wire == b"\r\n", wire
            assert is_whole
            return body
        assert len(wire) >= length + 2, wire
        assert wire[length : length + 2] == b"\r\n", wire
        body += wire[:length]
        wire = wire[length + 2 :]
    assert not is_whole
    return body


def chunked(*pieces: bytes) -> bytes:
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"
