"""The source of both twins; `pool` is the contract."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from kthena_fast.routing.snapshot import Pod
from kthena_fast.upstream.connection import IN_USE, Connection

if TYPE_CHECKING:
    from kthena_fast.transport.sockets import Sockets

IDLE_SECONDS: Final = 60.0
"""How long a connection is kept unused; engines that give up earlier (vLLM: 5 s) close it themselves."""

SWEEP_SECONDS: Final = 10.0
MOST_IDLE: Final = 512
"""Kept for one pod; a burst may open more, which are closed when it is over."""


class Kept:
    """The connections that wait at one pod. Each knows the one before it: where there are a thousand pods, a list for
    each would be made anew with each request."""

    __slots__ = ("idle", "is_retired", "last", "pod")

    def __init__(self, pod: Pod) -> None:
        self.pod = pod
        self.idle = 0
        """How many there are."""
        self.last: Connection | None = None
        """The one that was given back last, and is used next."""
        self.is_retired = False

    def waiting(self) -> list[Connection]:
        """All of them, that which was given back last first."""
        found = []
        connection = self.last
        while connection is not None:
            found.append(connection)
            connection = connection.before
        return found

    def forget(self, connection: Connection) -> None:
        if connection.idle_since == IN_USE:
            return
        self.idle -= 1
        if connection is self.last:
            self.last = connection.before
        else:
            after = self.last
            while after is not None and after.before is not connection:
                after = after.before
            assert after is not None
            after.before = connection.before
        connection.before = None


class Pool:
    """Gives connections out and takes them back; connects directly, whatever proxy the environment names."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        *,
        connect_timeout: float,
        tls: ssl.SSLContext | None = None,
        most_idle: int = MOST_IDLE,
        sockets: Sockets | None = None,
    ) -> None:
        """`tls` is used for pods that ask for it; whether it verifies is for its maker to say. `most_idle` connections
        are kept for each pod. Plain ones are of `sockets`, if there are any, else of the loop."""
        self._loop = loop
        self._sockets = sockets
        self._connect_timeout = connect_timeout
        self._tls = tls
        self._most_idle = most_idle
        self._kept: set[Kept] = set()
        self._sweeper: asyncio.TimerHandle | None = None
        self._is_closed = False

    def __repr__(self) -> str:
        return f"<Pool pods={len(self._kept)} idle={self.idle}>"

    @property
    def idle(self) -> int:
        """Connections that wait for work."""
        return sum(kept.idle for kept in self._kept)

    def take(self, pod: Pod) -> Connection | None:
        """A connection that waits for work, or None: then `connect`."""
        kept: Kept | None = pod.connections
        if kept is None:
            return None
        while kept.last is not None:
            connection = kept.last
            kept.last = connection.before
            kept.idle -= 1
            connection.before = None
            connection.idle_since = IN_USE
            if not connection.transport.is_closing():
                return connection
            # Its transport knows of its end and has not told it yet.
        return None

    async def connect(self, pod: Pod) -> Connection:
        """A new connection; `OSError` (`TimeoutError` and `ssl.SSLError` among them) when there is none to be had."""
        kept: Kept | None = pod.connections
        if kept is None:
            kept = pod.connections = Kept(pod)
            kept.is_retired = self._is_closed
            self._kept.add(kept)
        tls = self._tls if pod.tls else None
        if pod.tls and tls is None:
            raise OSError("the pod asks for TLS and none is set up")
        connection = Connection(kept)
        try:
            async with asyncio.timeout(self._connect_timeout):
                await self._open(connection, pod, tls)
        except UnicodeError as problem:
            raise OSError(f"{pod.host!r} is not a host name") from problem
        except BaseException:
            # A cancellation may come when all is done but the return.
            connection.abort()
            raise
        if not connection.is_open:
            raise ConnectionResetError("closed as soon as it was open")
        sock = connection.transport.get_extra_info("socket")
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # A node that vanishes during a long silence says nothing; the kernel asks.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        return connection

    async def _open(self, connection: Connection, pod: Pod, tls: ssl.SSLContext | None) -> None:
        if tls is None and self._sockets is not None:
            await self._sockets.connect(lambda: connection, pod.host, pod.port)
            return
        await self._loop.create_connection(  # type: ignore[type-var]  # a protocol by shape, not by ancestry
            lambda: connection,
            pod.host,
            pod.port,
            ssl=tls,
            server_hostname=pod.server_name if tls is not None else None,
        )

    def give_back(self, pod: Pod, connection: Connection, now: float | None = None) -> None:
        """The exchange is over: the connection is kept when it can serve again, and closed when not.

        `now` is the loop's time, for who knows it: the loop asks the system each time.
        """
        kept: Kept = pod.connections
        if not connection.is_reusable() or kept.is_retired or kept.idle >= self._most_idle:
            connection.abort()
            return
        connection.rest(self._loop.time() if now is None else now)
        connection.before = kept.last
        kept.last = connection
        kept.idle += 1
        if self._sweeper is None:
            self._sweeper = self._loop.call_later(SWEEP_SECONDS, self._sweep)

    def follow(self, came: Iterable[Pod], left: Iterable[Pod]) -> None:
        """These pods are served from now on, one that left before is welcome again; and those are no longer."""
        for pod in left:
            if pod.connections is None:
                # For who chose it before it left.
                pod.connections = Kept(pod)
            self._retire(pod.connections)
        for pod in came:
            kept: Kept | None = pod.connections
            if kept is not None and kept.is_retired and not self._is_closed:
                kept.is_retired = False
                self._kept.add(kept)

    def close(self) -> None:
        """Close what waits; what is in use is closed when it is given back."""
        self._is_closed = True
        if self._sweeper is not None:
            self._sweeper.cancel()
            self._sweeper = None
        for kept in list(self._kept):
            self._retire(kept)

    def _retire(self, kept: Kept) -> None:
        kept.is_retired = True
        self._kept.discard(kept)
        for connection in kept.waiting():
            connection.abort()

    def _sweep(self) -> None:
        self._sweeper = None
        oldest = self._loop.time() - IDLE_SECONDS
        for kept in self._kept:
            for connection in kept.waiting():
                if connection.idle_since <= oldest:
                    connection.abort()
        if any(kept.idle for kept in self._kept):
            self._sweeper = self._loop.call_later(SWEEP_SECONDS, self._sweep)
