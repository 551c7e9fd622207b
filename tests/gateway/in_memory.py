"""A loop whose connections are in memory: what is written on one side is handed to the other, without a kernel between.

uvloop runs callbacks, tasks and timers as it always does; only its servers and connections are none.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Any

import uvloop


class Transport(asyncio.Transport):
    """Takes everything at once; `on_write` hears of it."""

    def __init__(self, protocol: Any, address: tuple[str, int] = ("192.0.2.1", 40_000)) -> None:
        super().__init__({"peername": address, "socket": _Socket()})
        self.protocol = protocol
        self.address = address
        self.on_write: Callable[[bytes], object] = _ignore
        self.ended = False
        """Whether it was closed, or at least its direction."""
        self._closing = False
        self._reads = True

    def write(self, data: bytes | bytearray | memoryview[Any]) -> None:
        self.on_write(data)  # type: ignore[arg-type]  # the gateway writes bytes

    def get_write_buffer_size(self) -> int:
        return 0

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None: ...

    def get_protocol(self) -> Any:
        return self.protocol

    def set_protocol(self, protocol: Any) -> None:
        self.protocol = protocol

    def is_closing(self) -> bool:
        return self._closing

    def is_reading(self) -> bool:
        return self._reads

    def pause_reading(self) -> None:
        self._reads = False

    def resume_reading(self) -> None:
        self._reads = True

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self.ended = True

    def close(self) -> None:
        if not self._closing:
            self._closing = self.ended = True
            asyncio.get_running_loop().call_soon(self._lose)

    abort = close

    def _lose(self) -> None:
        self.protocol.connection_lost(None)


class Loop(uvloop.Loop):
    """Nothing comes to its servers, and it connects to nothing: `on_connect` is told of each connection it is asked
    for, before its protocol is."""

    def __init__(self) -> None:
        super().__init__()
        self.on_connect: Callable[[Transport], object] = _ignore

    async def create_server(self, *_: Any, sock: socket.socket | None = None, **__: Any) -> Any:
        return _Server(sock)

    async def create_connection(self, protocol_factory: Callable[[], Any], *where: Any, **_: Any) -> Any:
        protocol = protocol_factory()
        host, port = where
        transport = Transport(protocol, (host, port))
        self.on_connect(transport)
        protocol.connection_made(transport)
        return transport, protocol


class _Server:
    def __init__(self, sock: socket.socket | None) -> None:
        self.sockets = () if sock is None else (sock,)

    def close(self) -> None:
        for sock in self.sockets:
            sock.close()

    async def wait_closed(self) -> None: ...


class _Socket:
    family = socket.AF_UNIX

    def setsockopt(self, *_: object) -> None: ...


def _ignore(_: object) -> None: ...
