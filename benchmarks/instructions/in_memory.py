"""A loop whose connections are in memory: what is written on one side is handed to the other, without a kernel between.

uvloop runs callbacks, tasks and timers as it always does; only its servers and connections are none.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Any

import uvloop

Factory = Callable[[], Any]
"""Makes the protocol of a connection."""


class Transport(asyncio.Transport):
    """Takes everything at once; `on_write` hears of it."""

    def __init__(self, protocol: Any) -> None:
        super().__init__({"peername": ("192.0.2.1", 40_000), "socket": _Socket()})
        self.protocol = protocol
        self.on_write: Callable[[bytes], object] = _ignore
        self._closing = False

    def write(self, data: bytes | bytearray | memoryview[Any]) -> None:
        self.on_write(data)  # type: ignore[arg-type]  # the gateway writes bytes

    def get_write_buffer_size(self) -> int:
        return 0

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None: ...

    def is_closing(self) -> bool:
        return self._closing

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None: ...

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...

    def close(self) -> None:
        if not self._closing:
            self._closing = True
            asyncio.get_running_loop().call_soon(self.protocol.connection_lost, None)

    abort = close


class Loop(uvloop.Loop):
    """Accepts no connection of its own accord (`factories` holds what would make their protocols, in the order of the
    servers), and connects to nothing: `on_connect` is told of each connection that the gateway opens."""

    def __init__(self) -> None:
        super().__init__()
        self.factories: list[Factory] = []
        self.on_connect: Callable[[Transport], object] = _ignore

    async def create_server(self, protocol_factory: Factory, *_: Any, **__: Any) -> Any:
        self.factories.append(protocol_factory)
        return _Server()

    async def create_connection(self, protocol_factory: Factory, *_: Any, **__: Any) -> Any:
        protocol = protocol_factory()
        transport = Transport(protocol)
        self.on_connect(transport)
        protocol.connection_made(transport)
        return transport, protocol


class _Server:
    sockets: tuple[socket.socket, ...] = ()

    def close(self) -> None: ...

    async def wait_closed(self) -> None: ...


class _Socket:
    def setsockopt(self, *_: object) -> None: ...


def _ignore(_: object) -> None: ...
