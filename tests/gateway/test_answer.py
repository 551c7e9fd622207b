"""The client's side of one exchange, on a transport of its own."""

from __future__ import annotations

import asyncio
import socket

from kthena_fast.exchange.downstream import Framing
from kthena_fast.gateway.answer import Answer, Pressure


async def test_an_answer_to_a_client_that_is_gone_goes_nowhere() -> None:
    ours, theirs = socket.socketpair()
    with theirs:
        transport, _ = await asyncio.get_running_loop().create_connection(asyncio.Protocol, sock=ours)
        answer = Answer(transport, Pressure(), http_1_1=True, keep_alive=True, head_only=False, closes=lambda: False)
        transport.abort()
        # uvloop closes the handle in the next iteration, and raises from then on.
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        answer.start(200, b"", Framing.CHUNKED, b"first")
        answer.write(b"second")
        assert theirs.recv(100) == b""
