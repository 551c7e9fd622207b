"""`Asking`: one engine's metrics page, asked for again and again over one connection that is kept.

1. No task and no timer while the connection is kept, and nothing is looked up: a thousand engines are asked each
   second. Only to connect takes a task.
2. Each `ask` is answered once: with the page, or with None once the deadline has passed, or whatever else was wrong.
   After `close` it is not answered at all.
3. A connection that the engine closed before the first byte of an answer, when it had been used before, is nobody's
   failure: it is asked once more over a new one.
4. Whatever else an engine does with the connection, it is closed and the next ask opens another.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Callable
from typing import Any, Final, Protocol

from kthena_fast.routing.snapshot import Pod
from kthena_fast.scheduling.page_connection import PageConnection

log = logging.getLogger(__name__)

TIMEOUT_SECONDS: Final = 5.0
"""From the ask to the end of the page, connecting included."""


class Timers(Protocol):
    """Coarse timers (`upstream.deadlines.Deadlines` has this shape, but is a neighbour)."""

    def add(self, seconds: float, callback: Callable[[], object]) -> Any: ...

    def cancel(self, deadline: Any) -> None: ...


class Asking:
    """Asks one pod."""

    __slots__ = (
        "_connecting",
        "_connection",
        "_deadline",
        "_on_page",
        "_request",
        "_timers",
        "_tls",
        "is_asked",
        "is_new",
        "pod",
        "turn",
    )

    def __init__(
        self, pod: Pod, tls: ssl.SSLContext, timers: Timers, on_page: Callable[[Pod, bytes | None], None], turn: int = 0
    ) -> None:
        self.pod = pod
        self._tls = tls if pod.tls else None
        self._timers = timers
        self._on_page = on_page
        self._request = b"GET %b/metrics HTTP/1.1\r\n%bAccept: */*\r\n\r\n" % (pod.prefix, pod.host_line)
        self.is_asked = False
        """Whether an answer is owed."""
        self.is_new = True
        """Whether it was never asked."""
        self.turn = turn
        """How often it could have been asked, counted by who asks; it does not begin at the same number for all."""
        self._deadline: Any = None
        self._connecting: asyncio.Task[PageConnection] | None = None
        self._connection: PageConnection | None = None

    def __repr__(self) -> str:
        return f"<Asking {self.pod!r} asked={self.is_asked}>"

    def ask(self) -> None:
        """Have the page told; not while it `is_asked`."""
        self.is_asked = True
        self.is_new = False
        self._deadline = self._timers.add(TIMEOUT_SECONDS, self._on_timeout)
        if self._connection is not None and self._connection.is_open:
            self._connection.send(self._request)
        else:
            self._connect()

    def close(self) -> None:
        """Ask no more, and tell nothing of what was asked."""
        self._settle()
        self._hang_up()

    async def closed(self) -> None:
        """Return once what `close` has cancelled has ended."""
        if self._connecting is not None:
            await asyncio.wait([self._connecting])

    def _connect(self) -> None:
        self._connecting = asyncio.get_running_loop().create_task(self._open())
        self._connecting.add_done_callback(self._on_connected)

    async def _open(self) -> PageConnection:
        pod = self.pod
        connection = PageConnection(self)
        try:
            await asyncio.get_running_loop().create_connection(
                lambda: connection,
                pod.host,
                pod.port,
                ssl=self._tls,
                server_hostname=pod.server_name if self._tls is not None else None,
            )
        except BaseException:
            # A cancellation may come when all is done but the return.
            connection.abort()
            raise
        return connection

    def _on_connected(self, connecting: asyncio.Task[PageConnection]) -> None:
        # What was given up may end when the next one is under way.
        is_wanted = connecting is self._connecting and self.is_asked
        if connecting is self._connecting:
            self._connecting = None
        if connecting.cancelled():
            return
        problem = connecting.exception()
        if problem is not None:
            # It may be anything: a name that is none, a certificate that is not trusted, nobody who listens.
            if is_wanted:
                self._fail(repr(problem))
            return
        connection = connecting.result()
        if not is_wanted:
            connection.abort()
        elif not connection.is_open:
            self._fail("closed as soon as it was open")
        else:
            self._connection = connection
            connection.send(self._request)

    def _on_timeout(self) -> None:
        self._fail(f"no page within {TIMEOUT_SECONDS:.0f} s")

    def _fail(self, problem: str) -> None:
        log.debug("%r did not say how busy it is: %s", self.pod, problem)
        self._hang_up()
        self._answer(None)

    def _answer(self, page: bytes | None) -> None:
        self._settle()
        self._on_page(self.pod, page)

    def _settle(self) -> None:
        self.is_asked = False
        if self._deadline is not None:
            self._timers.cancel(self._deadline)
            self._deadline = None

    def _hang_up(self) -> None:
        if self._connecting is not None:
            self._connecting.cancel()
        connection = self._connection
        if connection is not None:
            self._connection = None
            connection.abort()

    # What the connection calls, unless it was aborted

    def on_page(self, page: bytes | None) -> None:
        """None: the engine answered and has none."""
        if page is None:
            log.debug("%r shows no metrics", self.pod)
        self._answer(page)

    def on_no_page(self, problem: str) -> None:
        """What came is no answer, or too much of one."""
        self._fail(problem)

    def on_lost(self, problem: str, *, is_stale: bool) -> None:
        """The connection has ended; `is_stale`: before the first byte of an answer, and not before the first answer."""
        self._connection = None
        if not self.is_asked:
            return
        if is_stale:
            self._connect()
        else:
            self._fail(problem)
