"""Clients and an engine that cost little, for crowds whose size is the point.

They know as much HTTP as the gateway writes: a head, `Content-Length`, a body.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Callable
from typing import cast

ANSWER = b'{"id":"1","object":"chat.completion","choices":[],"usage":{"prompt_tokens":3,"completion_tokens":4}}'

_LENGTH = re.compile(rb"\r\ncontent-length: (\d+)\r\n", re.IGNORECASE)


class Messages(asyncio.Protocol):
    """Cuts what comes into messages and hands each, head and body, to `on_message`."""

    transport: asyncio.Transport

    def __init__(self) -> None:
        self._came = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's has its methods and is none by name.
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._came += data
        while (end := self._came.find(b"\r\n\r\n")) >= 0:
            found = _LENGTH.search(self._came, 0, end + 2)
            whole = end + 4 + (int(found[1]) if found is not None else 0)
            if len(self._came) < whole:
                return
            message, self._came = self._came[:whole], self._came[whole:]
            self.on_message(message)

    def on_message(self, message: bytes) -> None:
        raise NotImplementedError


class Engine(Messages):
    """Answers at once."""

    def on_message(self, message: bytes) -> None:
        self.transport.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (len(ANSWER), ANSWER)
        )


class Client(Messages):
    """Sends one request after the other, and collects the statuses of their answers."""

    def __init__(self, requests: list[bytes]) -> None:
        super().__init__()
        self._left = requests[::-1]
        self.statuses: list[int] = []
        self.over: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.transport.write(self._left.pop())

    def on_message(self, message: bytes) -> None:
        self.statuses.append(int(message[9:12]))
        if self._left:
            self.transport.write(self._left.pop())
        else:
            self.leave()

    def leave(self) -> None:
        self.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.over.done():
            self.over.set_result(None)


@contextlib.asynccontextmanager
async def engine() -> AsyncIterator[str]:
    """`host:port` of a cheap engine."""
    loop = asyncio.get_running_loop()
    listening = await loop.create_server(Engine, "127.0.0.1", 0)
    try:
        host, port = listening.sockets[0].getsockname()[:2]
        yield f"{host}:{port}"
    finally:
        listening.close()


async def connect(port: int, count: int, requests: Callable[[int], list[bytes]]) -> list[Client]:
    """So many clients, the first with `requests(0)` and so on."""
    loop = asyncio.get_running_loop()
    clients: list[Client] = []
    # In pieces: a listener's backlog is finite.
    for first in range(0, count, 100):
        pairs = await asyncio.gather(
            *(
                loop.create_connection(lambda number=number: Client(requests(number)), "127.0.0.1", port)  # type: ignore[misc]  # a factory
                for number in range(first, min(first + 100, count))
            )
        )
        clients += [client for _, client in pairs]
    return clients
