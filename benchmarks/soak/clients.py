"""Clients of every kind, good and bad. Each turn of a client is one of `TURNS`, drawn by weight."""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import orjson

from kthena_fast.mock_engine.faults import FaultName

PATIENCE = 30.0
"""Seconds for an answer; beyond it a request counts as lost."""

MODEL = "soak"
FAULT_VALUES = {FaultName.SLOW_HEAD: "0.3", FaultName.STATUS: "503", FaultName.DIE_MID_STREAM: "3"}


@dataclass(slots=True)
class Tally:
    """What became of the turns."""

    turns: Counter[str] = field(default_factory=Counter)
    statuses: Counter[int] = field(default_factory=Counter)
    failures: Counter[str] = field(default_factory=Counter)
    """Turns that must succeed and did not."""


class Broken(Exception):
    """An answer that ended before its end."""


class Client:
    """One client with at most one connection, which it keeps while it can."""

    def __init__(self, port: int, tally: Tally, dice: random.Random) -> None:
        self._port = port
        self._tally = tally
        self._dice = dice
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._last = "nothing"
        """The turn before, which may have left the connection in a state."""

    async def live(self, ends: float) -> None:
        """Take turns until the loop's clock says `ends`."""
        loop = asyncio.get_running_loop()
        names, weights = list(TURNS), [weight for weight, _ in TURNS.values()]
        while loop.time() < ends:
            (name,) = self._dice.choices(names, weights)
            self._tally.turns[name] += 1
            # Who meets a fault may have to wait for long, and leaves when it is time.
            until = loop.time() + PATIENCE if name in MUST_SUCCEED else max(ends, loop.time() + 0.5)
            try:
                async with asyncio.timeout_at(until):
                    await TURNS[name][1](self)
            except (OSError, asyncio.IncompleteReadError, Broken, TimeoutError) as problem:
                if name in MUST_SUCCEED:
                    self._tally.failures[f"{name} after {self._last}: {problem!r}"] += 1
                self.leave()
            self._last = name
            await asyncio.sleep(self._dice.uniform(0.0, 0.4))
        self.leave()

    def leave(self) -> None:
        """Close at once; what is under way is lost."""
        if self._writer is not None:
            self._writer.transport.abort()
        self._reader = self._writer = None

    async def whole(self) -> None:
        self._expect(200, await self._ask(self._chat()))

    async def streamed(self) -> None:
        self._expect(200, await self._ask(self._chat(stream=True)))

    async def large(self) -> None:
        """A body of several reads there, and one back."""
        self._expect(200, await self._ask(self._chat("X-Mock-Fault: big-body:300000", pad=200_000)))

    async def not_found(self) -> None:
        self._expect(404, await self._ask(self._chat(model=f"unknown-{self._dice.random()}")))

    async def models(self) -> None:
        self._expect(200, await self._ask(b"GET /v1/models HTTP/1.1\r\nHost: soak\r\n\r\n"))

    async def faulty(self) -> None:
        """Whatever the engine does wrong; the client must get some end."""
        name = self._dice.choice(list(FaultName))
        value = FAULT_VALUES.get(name)
        fault = f"X-Mock-Fault: {name}:{value}" if value else f"X-Mock-Fault: {name}"
        await self._ask(self._chat(fault, stream=self._dice.random() < 0.5))

    async def slow_reader(self) -> None:
        """Takes a large stream in small sips through a small window."""
        self.leave()
        await self._connect(receive_buffer=8192)
        reader = self._say(self._chat("X-Mock-Fault: big-body:1000000", stream=True))
        for _ in range(10):
            await reader.read(4096)
            await asyncio.sleep(self._dice.uniform(0.01, 0.1))
        self.leave()

    async def leaves_before_the_answer(self) -> None:
        await self._connect()
        self._say(self._chat(f"X-Mock-First-Token-Delay: {self._dice.choice([0, 300])}ms"))
        await asyncio.sleep(self._dice.uniform(0.0, 0.05))
        self.leave()

    async def leaves_during_the_stream(self) -> None:
        await self._connect()
        reader = self._say(self._chat("X-Mock-Output-Tokens: 50", stream=True))
        await reader.read(self._dice.randrange(1, 2000))
        self.leave()

    async def leaves_inside_its_request(self) -> None:
        await self._connect()
        request = self._chat(pad=100_000)
        self._say(request[: self._dice.randrange(1, len(request))])
        await asyncio.sleep(self._dice.uniform(0.0, 0.05))
        self.leave()

    async def says_nothing(self) -> None:
        """Connects, and perhaps begins a head that never ends: the gateway's timeouts are for such."""
        self.leave()
        await self._connect()
        reader = self._say(self._dice.choice([b"", b"POST /v1/chat/completions HT"]))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._dice.uniform(0.5, 4.0)):
                await reader.read()
        self.leave()

    async def nonsense(self) -> None:
        await self._connect()
        self._say(
            self._dice.choice(
                [
                    b"\x16\x03\x01 this is no HTTP\r\n\r\n",
                    b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
                    b"POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n{",
                    b"POST /v1/x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
                    b"GET /" + b"a" * 50_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n",
                ]
            )
        )
        assert self._reader is not None
        await self._reader.read(4096)
        self.leave()

    def _expect(self, status: int, got: int) -> None:
        if got != status:
            raise Broken(f"{got} instead of {status}")

    def _chat(self, *lines: str, model: str = MODEL, pad: int = 0, stream: bool = False) -> bytes:
        content = "Say something." + " " * pad
        document = {
            "model": model,
            "messages": [{"role": "user", "content": content}],
            "user": f"user-{self._dice.randrange(50)}",
        }
        body = orjson.dumps({**document, "stream": True} if stream else document)
        head = ["POST /v1/chat/completions HTTP/1.1", "Host: soak", f"Content-Length: {len(body)}", *lines, "", ""]
        return "\r\n".join(head).encode() + body

    async def _connect(self, receive_buffer: int | None = None) -> None:
        if self._writer is not None:
            return
        sock = socket.socket()
        sock.setblocking(False)
        if receive_buffer is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        try:
            await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", self._port))
        except BaseException:
            sock.close()
            raise
        self._reader, self._writer = await asyncio.open_connection(sock=sock)

    def _say(self, request: bytes) -> asyncio.StreamReader:
        assert self._writer is not None
        assert self._reader is not None
        self._writer.write(request)
        return self._reader

    async def _ask(self, request: bytes) -> int:
        """The status of the answer, once it is whole."""
        if self._writer is not None and self._writer.transport.is_closing():
            self.leave()
        await self._connect()
        reader = self._say(request)
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        while head.startswith(b"http/1.1 1"):
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
        status = int(head[9:12])
        self._tally.statuses[status] += 1
        if b"\r\ntransfer-encoding: chunked\r\n" in head:
            await _skip_chunks(reader)
        elif b"\r\ncontent-length: " in head:
            await reader.readexactly(int(head.partition(b"\r\ncontent-length: ")[2].partition(b"\r\n")[0]))
        else:
            await reader.read()
        if b"\r\nconnection: close\r\n" in head:
            self.leave()
        return status


async def _skip_chunks(reader: asyncio.StreamReader) -> None:
    while size := int(await reader.readuntil(b"\r\n"), 16):
        await reader.readexactly(size + 2)
    await reader.readuntil(b"\r\n")


TURNS: dict[str, tuple[float, Callable[[Client], Awaitable[None]]]] = {
    "whole": (30, Client.whole),
    "streamed": (30, Client.streamed),
    "large": (2, Client.large),
    "unknown model": (2, Client.not_found),
    "model list": (2, Client.models),
    "engine at fault": (12, Client.faulty),
    "slow reader": (3, Client.slow_reader),
    "leaves before the answer": (6, Client.leaves_before_the_answer),
    "leaves during the stream": (6, Client.leaves_during_the_stream),
    "leaves inside its request": (3, Client.leaves_inside_its_request),
    "says nothing": (2, Client.says_nothing),
    "nonsense": (2, Client.nonsense),
}
"""Weight and turn."""

MUST_SUCCEED = frozenset({"whole", "streamed", "large", "unknown model", "model list"})
