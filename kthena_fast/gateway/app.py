"""The gateway, put together: here, and only here, the rooms are introduced to each other.

`start` opens the ports before anything is read, so that `/healthz` answers from the first moment; `drain` lets what was
accepted finish; `stop` ends what is left. Each may be called once, in this order; a failed `start` cleans up.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import random
import socket
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aiohttp import web

from kthena_fast import __version__, scheduling
from kthena_fast.auth.identity import Identifier
from kthena_fast.core import _choice
from kthena_fast.gateway import allocation, debug, inference, pages, router_config, runtime, tls
from kthena_fast.gateway.fairness import Fairness
from kthena_fast.gateway.journey import Journey
from kthena_fast.gateway.observing import Observer
from kthena_fast.gateway.state import State
from kthena_fast.queueing import shares
from kthena_fast.serving import admin, certificate, listening, watched
from kthena_fast.settings import Settings, allowed
from kthena_fast.telemetry.access_log import AccessLog
from kthena_fast.telemetry.lag import LoopLag
from kthena_fast.telemetry.registry import Registry
from kthena_fast.telemetry.requests import RequestMetrics
from kthena_fast.upstream.deadlines import Deadlines
from kthena_fast.upstream.forward import Forwarder
from kthena_fast.upstream.pool import Pool
from kthena_fast.wire import paths

if sys.platform == "linux":
    from kthena_fast.transport.listener import Listener
    from kthena_fast.transport.sockets import Sockets

if TYPE_CHECKING:
    import ssl

    from kthena_fast.routing.snapshot import Snapshot
    from kthena_fast.sources import Reporter, Source

log = logging.getLogger(__name__)

PICKER = "least-requests"

TRUSTING = (
    "fairness takes users' names from what clients send (FAIRNESS_USER_SOURCES=%s): whoever reaches this gateway can "
    "invent them"
)

ABORT_PATIENCE = 5.0
"""Seconds that requests have to end once they were aborted, and their clients to take what was answered."""

COLLECT_AFTER = 20_000
"""Objects more than before, after which Python's collector looks at the youngest: about 300 requests' worth."""

TLS_GOODBYE = 5.0
"""Seconds that a client has to answer the end of its TLS session; then its connection is closed without."""


class CannotStart(Exception):
    """Why there is no gateway, in one line."""


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line says; see `kthena-fast gateway --help`. A port of 0 takes a free one."""

    host: str = "::"
    port: int = 8080
    metrics_port: int = 9090
    debug_port: int = 15000
    tls_cert: Path | None = None
    tls_key: Path | None = None
    router_config: Path | None = None
    metrics_on_inference_port: bool = False
    express: bool = True
    """Whether usual requests take the express lane; without it aiohttp serves them all, with the same answers."""
    own_sockets: bool = sys.platform == "linux" and not _choice.NO_EXTENSIONS
    """Whether plain connections are those of `transport.sockets`, for which there has to be an epoll; without it they
    are the loop's, as connections with TLS are: without extensions those are quicker."""


class Gateway:
    """One gateway in one process."""

    def __init__(self, options: Options, settings: Settings, source: Source, reporter: Reporter | None = None) -> None:
        self.options = options
        self.settings = settings
        self.state = State()
        self.registry = Registry()
        self.port = options.port
        """The inference port, once it is open; the same for the two others."""
        self.metrics_port = options.metrics_port
        self.debug_port = options.debug_port
        self._source = source
        self._reporter = reporter
        self._reporting: asyncio.Task[None] | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._closing = contextlib.AsyncExitStack()
        self._listener: asyncio.Server | Listener | None = None
        self._way: inference.InferenceWay | None = None
        self._access_log: AccessLog | None = None
        self._fairness: Fairness | None = None

    async def start(self) -> None:
        """Open the ports and begin to read objects; CannotStart says what is in the way."""
        log.info("kthena-fast %s starts (%s core)", __version__, _choice.loaded_core())
        try:
            await self._open()
        except (
            listening.CannotListen,
            certificate.BadCertificate,
            router_config.BadRouterConfig,
            shares.BadShares,
        ) as problem:
            await self.stop()
            raise CannotStart(str(problem)) from problem
        except BaseException:
            await self.stop()
            raise
        log.info(
            "serving on %s, metrics on port %d, debug on localhost port %d",
            listening.show(self.options.host, self.port),
            self.metrics_port,
            self.debug_port,
        )
        gc.collect()
        gc.freeze()
        # What a request uses is freed without the collector: looking for cycles every 700 objects finds none.
        gc.set_threshold(COLLECT_AFTER)

    async def _open(self) -> None:
        settings, options, state = self.settings, self.options, self.state
        loop = asyncio.get_running_loop()
        if options.router_config is not None:
            self._follow_file("router-config", router_config.Followed(options.router_config).look)
        context = self._certificate()
        engines = tls.Engines(settings.upstream_ca_file)
        if settings.upstream_ca_file:
            self._follow_file("engine-authorities", engines.look)

        self._access_log = access_log = _open_access_log(settings)
        access_log.report_to(self.registry)
        self._closing.callback(access_log.close)
        self.registry.declare_build(__version__, _choice.loaded_core())
        request_metrics = RequestMetrics(self.registry, paths.label)
        deadlines = Deadlines(loop)
        self._closing.callback(deadlines.close)
        sockets = self._sockets(loop)
        pool = Pool(loop, connect_timeout=settings.connect_timeout, tls=engines.context, sockets=sockets)
        self._closing.callback(pool.close)
        identifier = Identifier(settings.fairness_user_sources)
        if settings.enable_fairness_scheduling:
            if identifier.trusts_clients:
                log.warning("%s", TRUSTING % ",".join(settings.fairness_user_sources))
            self._fairness = Fairness(settings, loop, deadlines, self.registry, engines.context)
        observer = Observer(
            state,
            self.registry,
            request_metrics,
            pool,
            self._fairness,
            verifies_engines=bool(settings.upstream_ca_file),
        )
        forwarder = Forwarder(loop, pool, deadlines, scheduling.PICKERS[PICKER]())
        turns = self._fairness.turns if self._fairness is not None else None
        journey = Journey(state, forwarder, request_metrics, access_log, turns, identifier, loop.time, random.random)

        health = pages.health(state)
        public = dict(health)
        if options.metrics_on_inference_port:
            public["/metrics"] = pages.metrics(self.registry)
        self._way = inference.InferenceWay(settings, state, journey, deadlines, public, express=options.express)
        opened = listening.open_socket("--port", options.host, options.port)
        self.port = listening.port_of(opened)
        self._listener = await self._listen(opened, self._way.accept, sockets, context)
        self._closing.callback(self._listener.close)
        opened = listening.open_socket("--metrics-port", options.host, options.metrics_port)
        self.metrics_port = listening.port_of(opened)
        await self._serve(admin.metrics_application(self.registry, health), opened)
        opened = listening.open_socket("--debug-port", "localhost", options.debug_port)
        self.debug_port = listening.port_of(opened)
        pages_of_debug = debug.application(state, self._fairness)
        pages_of_debug.router.add_get(runtime.PATH, runtime.page(state, self._way, pool, deadlines))
        await self._serve(pages_of_debug, opened)

        self._tasks.append(asyncio.create_task(allocation.give_back(self._way.budget), name="memory"))
        lag = LoopLag(loop, self.registry)
        lag.start()
        self._closing.callback(lag.stop)
        if self._fairness is not None:
            self._tasks += [asyncio.create_task(running, name="fairness") for running in self._fairness.start()]
            self._closing.callback(self._fairness.stop)
        self._tasks.append(asyncio.create_task(self._follow(observer), name="source"))
        if self._reporter is not None:
            self._reporting = asyncio.create_task(self._report(self._reporter), name="reporter")
            self._tasks.append(self._reporting)

    def _sockets(self, loop: asyncio.AbstractEventLoop) -> Sockets | None:
        if not self.options.own_sockets:
            return None
        sockets = Sockets(loop, self.settings.stream_coalescing)
        self._closing.callback(sockets.close)
        return sockets

    async def _listen(
        self,
        opened: socket.socket,
        accept: Callable[[], Any],
        sockets: Sockets | None,
        context: ssl.SSLContext | None,
    ) -> asyncio.Server | Listener:
        loop = asyncio.get_running_loop()
        if sockets is not None and context is None:
            return Listener(sockets, loop, opened, accept)
        return await loop.create_server(
            accept,
            sock=opened,
            # uvloop listens anew, with a backlog of 100: a burst of clients beyond it is reset.
            backlog=listening.BACKLOG,
            ssl=context,
            ssl_handshake_timeout=self.settings.header_timeout if context else None,
            ssl_shutdown_timeout=TLS_GOODBYE if context else None,
        )

    def _certificate(self) -> ssl.SSLContext | None:
        chain, key = self.options.tls_cert, self.options.tls_key
        if chain is None or key is None:
            return None
        pair = certificate.Certificate(chain, key)
        self._follow_file("certificate", pair.look)
        return pair.context

    def _follow_file(self, name: str, look: Callable[[], object]) -> None:
        self._tasks.append(asyncio.create_task(watched.keep_looking(look), name=name))

    async def _serve(self, application: web.Application, opened: socket.socket) -> None:
        """Serve one of the plain applications."""
        runner = web.AppRunner(application, access_log=None, handle_signals=False, shutdown_timeout=1.0)
        await runner.setup()
        self._closing.push_async_callback(runner.cleanup)
        await web.SockSite(runner, opened).start()

    async def _follow(self, observer: Observer) -> None:
        """Put what the source reads into service for as long as the process lives."""
        try:
            await self._source.run(observer.observe)
        except Exception as problem:
            log.exception("the source of objects failed; what it read before stays in service")
            if not self.state.synced:
                self.state.detail = f"the source of objects failed: {problem!r}"

    async def _report(self, reporter: Reporter) -> None:
        """Have the owners of objects told what became of them; requests are served whatever becomes of that."""
        try:
            await reporter.run(self._in_service, self.registry)
        except Exception:
            log.exception("the status of objects is no longer written")

    def _in_service(self) -> Snapshot | None:
        return self.state.snapshot if self.state.synced else None

    def reopen_logs(self) -> None:
        """SIGHUP: the access log's file was moved away."""
        if self._access_log is not None:
            self._access_log.reopen()

    async def drain(self) -> None:
        """Let accepted requests finish: they get DRAIN_TIMEOUT, then waiters are refused and streams aborted."""
        state, settings = self.state, self.settings
        state.draining = True
        if self._reporting is not None:
            # At once, so that a replica that stays takes over, however long requests go on here.
            self._reporting.cancel()
        if settings.drain_delay:
            await asyncio.sleep(settings.drain_delay)
        if self._listener is not None:
            self._listener.close()
        if self._way is None:
            return
        self._way.close()
        try:
            async with asyncio.timeout(settings.drain_timeout):
                await self._ended(self._way)
        except TimeoutError:
            log.warning(
                "%d requests on %d connections are left at the end of DRAIN_TIMEOUT: they are ended",
                len(state.serving),
                self._way.open_connections,
            )
            state.abort_all()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(ABORT_PATIENCE):
                    await self._ended(self._way)

    async def _ended(self, way: inference.InferenceWay) -> None:
        """Return when every accepted request is settled and its client has what was answered."""
        await self.state.idle()
        await way.emptied()

    async def stop(self) -> None:
        """End everything that is left, and flush the logs."""
        self.state.draining = True
        for task in self._tasks:
            # What the drain has cancelled already is ending, and is not to be cut short.
            if not task.cancelling():
                task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._way is not None:
            await self._way.shutdown()
        await self._closing.aclose()


def _open_access_log(settings: Settings) -> AccessLog:
    try:
        return AccessLog(
            enabled=settings.access_log_enabled,
            form=settings.access_log_format,
            output=settings.access_log_output,
        )
    except OSError as problem:
        raise CannotStart(
            f"ACCESS_LOG_OUTPUT={settings.access_log_output!r} cannot be opened: {problem.strerror}; "
            f"{allowed('access_log_output')} is allowed"
        ) from problem


@contextlib.asynccontextmanager
async def running(
    options: Options, settings: Settings, source: Source, reporter: Reporter | None = None
) -> AsyncIterator[Gateway]:
    """A gateway for the length of a block: started before it, stopped without a drain behind it."""
    gateway = Gateway(options, settings, source, reporter)
    await gateway.start()
    try:
        yield gateway
    finally:
        await gateway.stop()
