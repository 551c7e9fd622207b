"""The engine on a socket: for the length of a `with`, or until a signal."""

import asyncio
import contextlib
import signal
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable

from aiohttp import web

from .config import EngineConfig

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]

_MAX_HEADER_BYTES = 2**20
"""Well above what any gateway passes on: limits are the gateway's to test."""


class RunningEngine:
    """Where an engine listens, and what hangs on it."""

    __slots__ = ("_server", "host", "port", "url")

    def __init__(self, server: web.Server, host: str, port: int, scheme: str) -> None:
        self._server = server
        self.host = host
        self.port = port
        name = f"[{host}]" if ":" in host else host
        self.url = f"{scheme}://{name}:{port}"

    @property
    def connections(self) -> int:
        """Open at this moment, idle ones included."""
        return len(self._server.connections)

    def drop_connections(self) -> None:
        """Closes every connection at once, as the death of a process would."""
        for connection in self._server.connections:
            if connection.transport is not None:
                connection.transport.abort()


@contextlib.asynccontextmanager
async def running(
    handler: Handler,
    config: EngineConfig,
    host: str,
    port: int,
    tls: ssl.SSLContext | None = None,
    *,
    grace: float = 0.0,
) -> AsyncIterator[RunningEngine]:
    """Listens on entry; on exit gives open answers `grace` seconds, then drops them."""
    server = web.Server(
        handler,
        # A lost client cancels its handler: that is how an abort is noticed at once.
        handler_cancellation=True,
        # The journal wants bodies as they were received.
        auto_decompress=False,
        access_log=None,
        keepalive_timeout=config.keepalive_timeout,
        max_line_size=_MAX_HEADER_BYTES,
        max_field_size=_MAX_HEADER_BYTES,
        max_headers=10_000,
    )
    runner = web.ServerRunner(server, handle_signals=False, shutdown_timeout=grace or 60.0)
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, port, ssl_context=tls)
        await site.start()
        actual: int = runner.addresses[0][1]
        engine = RunningEngine(server, host, actual, "https" if tls else "http")
        try:
            yield engine
        finally:
            if not grace:
                engine.drop_connections()
    finally:
        await runner.cleanup()


async def serve(
    handler: Handler,
    config: EngineConfig,
    host: str,
    port: int,
    *,
    grace: float,
    announce: Callable[[RunningEngine], None],
) -> None:
    """Serves until SIGTERM or SIGINT; open answers then have `grace` seconds, or until a second signal."""
    loop = asyncio.get_running_loop()
    stopped = asyncio.Event()
    async with running(handler, config, host, port, grace=grace) as engine:

        def on_signal() -> None:
            if stopped.is_set():
                engine.drop_connections()
            stopped.set()

        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, on_signal)
        announce(engine)
        await stopped.wait()
