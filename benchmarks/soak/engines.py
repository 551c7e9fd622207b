"""`python -m benchmarks.soak.engines N`: mock engines in one process, whose ports are the first line on stdout."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys

import uvloop

from kthena_fast.mock_engine import EngineConfig, MockEngine

CONFIG = EngineConfig(
    models=("mock",),
    output_tokens=12,
    token_interval=0.01,
    # Below the gateway's minute, so that connections end from either side.
    keepalive_timeout=2.0,
    keep_requests=0,
)


async def serve(count: int) -> None:
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    async with contextlib.AsyncExitStack() as stack:
        servers = [await stack.enter_async_context(MockEngine(CONFIG).running()) for _ in range(count)]
        print(*(server.port for server in servers), flush=True)
        await stopped.wait()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1])))
