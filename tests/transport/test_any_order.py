"""Whatever is done in whatever order, no byte is lost, doubled or out of its place."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest
import uvloop
from hypothesis import given
from hypothesis import strategies as st

from tests.conftest import CORES
from tests.transport import ends

SIZES = st.one_of(st.integers(1, 300), st.integers(1, 700_000))
STEPS = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(["send", "write", "read"]), SIZES),
        st.tuples(st.sampled_from(["pause", "resume", "turn", "limit"]), st.integers(0, 3)),
    ),
    max_size=40,
)


class Conversation:
    """Numbers each byte that goes either way, and compares."""

    def __init__(self, told: ends.Told, transport: Any, peer: ends.Peer) -> None:
        self.told, self.transport, self.peer = told, transport, peer
        self.sent = self.written = self.unsent = b""
        self.read = b""

    async def do(self, step: str, size: int) -> None:
        match step:
            case "send":
                self.unsent += counted(len(self.sent) + len(self.unsent), size)
                self.send()
            case "write":
                piece = counted(len(self.written), size)
                self.written += piece
                self.transport.write(piece)
            case "read":
                try:
                    self.read += self.peer.socket.recv(size)
                except BlockingIOError:
                    await asyncio.sleep(0)
            case "pause":
                self.transport.pause_reading()
            case "resume":
                self.transport.resume_reading()
            case "limit":
                self.transport.set_write_buffer_limits(high=size * 1000)
            case "turn":
                await ends.turns(size)

    def send(self) -> None:
        try:
            size = self.peer.socket.send(self.unsent)
        except BlockingIOError:
            return
        self.sent += self.unsent[:size]
        self.unsent = self.unsent[size:]

    async def end(self) -> None:
        self.transport.resume_reading()
        self.transport.write_eof()
        sending = asyncio.create_task(self.peer.send(self.unsent))
        self.read += await self.peer.read_all()
        await sending
        self.peer.socket.shutdown(socket.SHUT_WR)
        await self.told.until_lost()
        assert self.read == self.written
        assert self.told.data == self.sent + self.unsent
        assert self.told.calls.count("pause") - self.told.calls.count("resume") in {0, 1}
        assert [call for call in self.told.calls if call in {"made", "eof", "lost"}] == ["made", "eof", "lost"]


def counted(at: int, size: int) -> bytes:
    """Bytes that show where they belong."""
    first = at // 4
    return b"".join(number.to_bytes(4, "big") for number in range(first, first + size // 4 + 2))[at % 4 :][:size]


@pytest.mark.parametrize("name", ["loop", *CORES])
@given(steps=STEPS, buffer=st.sampled_from([0, 4096]))
def test_no_byte_is_lost_whatever_is_done(name: str, steps: list[tuple[str, int]], buffer: int) -> None:
    async def play() -> None:
        async with ends.maker(name) as maker, ends.connected(maker, buffer=buffer) as (told, transport, peer):
            conversation = Conversation(told, transport, peer)
            for step, size in steps:
                await conversation.do(step, size)
            await conversation.end()

    uvloop.run(play())
