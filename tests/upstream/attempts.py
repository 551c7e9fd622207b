"""A relay with bytes put in by hand: no socket, no loop turn."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import ModuleType
from typing import Any

from kthena_fast.upstream.attempt import Outcome
from kthena_fast.wire.usage import Usage
from tests.upstream.client import Client, an_exchange

LENGTH = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
STREAM = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nTransfer-Encoding: chunked\r\n\r\n"
UNTIL_CLOSE = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"

EVENT = b'data: {"choices":[{"index":0,"delta":{"content":"word"}}]}\n\n'
USAGE = b'data: {"choices":[],"usage":{"prompt_tokens":7,"completion_tokens":2}}\n\n'
DONE = b"data: [DONE]\n\n"


class Flow:
    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...

    def on_stream(self) -> None: ...


class Tally:
    def __init__(self) -> None:
        self.events = 0
        self.usages: list[Usage] = []

    def on_events(self, count: int) -> None:
        self.events += count

    def on_usage(self, usage: Usage) -> None:
        self.usages.append(usage)


class Attempt:
    """A relay between what the test says for the engine and a client that remembers."""

    def __init__(
        self,
        module: ModuleType,
        *,
        client: Client | None = None,
        method: str = "POST",
        strip_usage: bool = False,
        may_refuse: bool = False,
        tally: Tally | None = None,
    ) -> None:
        self.client = client or Client()
        self.exchange = an_exchange(method)
        loop = asyncio.get_running_loop()
        self.told: list[Outcome] = []
        """What whoever waits for the end heard."""
        self.relay: Any = module.Relay(
            loop, self.exchange, self.client, Flow(), strip_usage, may_refuse, tally, self.told.append
        )

    def hear(self, *pieces: bytes) -> Attempt:
        for piece in pieces:
            self.relay.receive(piece)
        return self

    def lose(self, *, reused: bool = False) -> Attempt:
        self.relay.on_lost(reused=reused, why="reset")
        return self

    @property
    def outcome(self) -> Outcome | None:
        outcome: Outcome | None = self.relay.outcome
        assert self.told == ([] if outcome is None else [outcome])
        return outcome

    def __repr__(self) -> str:
        return f"{self.outcome and self.outcome.name} {self.client!r} reusable={self.relay.is_reusable}"


Begin = Callable[..., Attempt]


def cuts(data: bytes) -> list[list[bytes]]:
    """`data` cut in two at every offset, and byte by byte."""
    return [[data[:at], data[at:]] for at in range(1, len(data))] + [[data[at : at + 1] for at in range(len(data))]]
