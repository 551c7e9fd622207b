"""The webhook, put together: here, and only here, its parts are introduced to each other.

`start` opens the ports; reviews are answered once there is a certificate, and `/readyz` says what is in the way until
then. `drain` lets what was accepted finish, `stop` ends what is left. Each may be called once, in this order; a failed
`start` cleans up.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from aiohttp import web

from kthena_fast import __version__
from kthena_fast.core import _choice
from kthena_fast.kube import client, reflector
from kthena_fast.resources import decoding
from kthena_fast.serving import admin, certificate, listening, watched
from kthena_fast.telemetry import metrics
from kthena_fast.telemetry.lag import LoopLag
from kthena_fast.telemetry.registry import Registry
from kthena_fast.webhook import authority, connections, self_made
from kthena_fast.webhook.cluster import Cluster
from kthena_fast.webhook.configurations import Configurations
from kthena_fast.webhook.endpoint import Endpoint
from kthena_fast.webhook.secret import Secret

if TYPE_CHECKING:
    from kthena_fast.kube import configuration
    from kthena_fast.settings import Settings
    from kthena_fast.webhook.self_made import SelfMade

log = logging.getLogger(__name__)

FLAGS = ("--tls-cert-file", "--tls-private-key-file")

HANDSHAKE_TIMEOUT = 10.0
"""Seconds for a TLS handshake."""

GOODBYE_TIMEOUT = 5.0
"""Seconds that a caller has to answer the end of its TLS session; then its connection is closed without."""


class CannotStart(Exception):
    """Why there is no webhook, in one line."""


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line says; see `kthena-fast webhook --help`. A port of 0 takes a free one."""

    host: str = "::"
    port: int = 8443
    metrics_port: int = 9090
    tls_cert_file: Path = Path("/etc/webhook/certs/tls.crt")
    tls_private_key_file: Path = Path("/etc/webhook/certs/tls.key")
    cert_secret_name: str = "kthena-router-webhook-certs"  # noqa: S105 - a name
    webhook_service_name: str = "kthena-router-webhook"
    webhook_configuration_name: str = ""
    cluster_warnings: bool = True


class Webhook:
    """One webhook in one process."""

    def __init__(
        self,
        options: Options,
        settings: Settings,
        kube: configuration.Cluster | str,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """`kube` is the API server, or a sentence that says why there is none."""
        self.options = options
        self.settings = settings
        self.registry = Registry(metrics.WEBHOOK)
        self.cluster = Cluster()
        self.port = options.port
        """The port of reviews, once it is open; the same for the other."""
        self.metrics_port = options.metrics_port
        self.draining = False
        self.endpoint: Endpoint | None = None
        self._kube = kube
        self._now = now
        self._waiting_for = "there is no certificate yet"
        self._self_made: SelfMade | None = None
        self._shown: certificate.Shown | None = None
        self._ready = asyncio.Event()
        self._connections = connections.Connections()
        self._socket: socket.socket | None = None
        self._listener: asyncio.Server | None = None
        self._runner: web.AppRunner | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._closing = contextlib.AsyncExitStack()

    async def start(self) -> None:
        """Open the ports; CannotStart says what is in the way."""
        log.info("kthena-fast %s starts as a webhook", __version__)
        try:
            await self._open()
        except listening.CannotListen as problem:
            await self.stop()
            raise CannotStart(str(problem)) from problem
        except BaseException:
            await self.stop()
            raise
        log.info("reviews on %s, metrics on port %d", listening.show(self.options.host, self.port), self.metrics_port)

    async def _open(self) -> None:
        options = self.options
        self.registry.declare_build(__version__, _choice.loaded_core())
        health = {"/healthz": lambda: _text(200, "ok"), "/readyz": self._readyz}
        self.endpoint = Endpoint(self.cluster, self.registry, lambda: self.draining)
        self._closing.callback(self.endpoint.close)
        # A caller that no longer waits ends its review.
        self._runner = web.AppRunner(
            self.endpoint.application(health, [self._connections.follow]),
            access_log=None,
            handle_signals=False,
            handler_cancellation=True,
            keepalive_timeout=connections.IDLE_TIMEOUT,
            logger=connections.log,
            shutdown_timeout=self.settings.drain_timeout,
        )
        await self._runner.setup()

        opened = listening.open_socket("--metrics-port", options.host, options.metrics_port)
        self.metrics_port = listening.port_of(opened)
        runner = web.AppRunner(
            admin.metrics_application(self.registry, health),
            access_log=None,
            handle_signals=False,
            shutdown_timeout=1.0,
        )
        await runner.setup()
        self._closing.push_async_callback(runner.cleanup)
        await web.SockSite(runner, opened).start()
        # Bound now, so that a port in use ends the start; served once there is a certificate.
        self._socket = listening.open_socket("--port", options.host, options.port)
        self.port = listening.port_of(self._socket)

        lag = LoopLag(asyncio.get_running_loop(), self.registry)
        lag.start()
        self._closing.callback(lag.stop)
        self._begin()

    def _begin(self) -> None:
        """Begin what goes on for as long as the process runs: the certificate, and what is known of the cluster."""
        options = self.options
        is_mounted = options.tls_cert_file.exists() or not options.cert_secret_name
        if not is_mounted and isinstance(self._kube, str):
            raise CannotStart(
                f"there is no certificate: {FLAGS[0]} {options.tls_cert_file} is not there, and none can be made: "
                f"{self._kube}"
            )
        kube = None
        if not isinstance(self._kube, str) and (options.cluster_warnings or not is_mounted):
            kube = client.Client(self._kube)
            self._closing.push_async_callback(kube.close)
            log.info("the API server is %s (%s)", self._kube.server, self._kube.source)
        if is_mounted:
            self._run("certificate", self._follow_files())
        else:
            assert kube is not None
            self._make_certificates(kube)
        if options.cluster_warnings:
            self._watch_cluster(kube)

    def _run(self, name: str, running: Coroutine[object, object, None]) -> None:
        task = asyncio.create_task(running, name=name)
        task.add_done_callback(_tell_failure)
        self._tasks.append(task)

    async def _follow_files(self) -> None:
        chain, key = self.options.tls_cert_file, self.options.tls_private_key_file
        said = ""
        while True:
            try:
                pair = certificate.Certificate(chain, key, FLAGS)
                ends = authority.ends(chain.read_bytes())
            except (certificate.BadCertificate, OSError, ValueError) as problem:
                self._waiting_for = str(problem)
                if said != self._waiting_for:
                    said = self._waiting_for
                    log.warning("%s; waiting for them", said)
                await asyncio.sleep(watched.LOOK_EVERY)
                continue
            break
        self._shown = pair
        await self._listen(ends)

        def look() -> None:
            if pair.look():
                self._tell_end(authority.ends(chain.read_bytes()))

        await watched.keep_looking(look)

    def _make_certificates(self, kube: client.Client) -> None:
        options, namespace = self.options, self._namespace()
        configurations = Configurations(
            kube, namespace, options.webhook_service_name, options.webhook_configuration_name
        )
        self._self_made = self_made.SelfMade(
            Secret(kube, namespace, options.cert_secret_name),
            configurations,
            self_made.names(options.webhook_service_name, namespace),
            self._now,
            self._serve,
        )
        self._run("configurations", configurations.run())
        self._run("certificate", self._self_made.run())

    def _namespace(self) -> str:
        """POD_NAMESPACE, or else that of the service account."""
        if "pod_namespace" in self.settings.model_fields_set or isinstance(self._kube, str):
            return self.settings.pod_namespace
        return self._kube.namespace

    def _watch_cluster(self, kube: client.Client | None) -> None:
        if kube is None:
            log.info("no warnings of targets that do not exist, and of names that are served already: %s", self._kube)
            return
        for plural, store in (
            ("modelroutes", self.cluster.routes),
            ("modelservers", self.cluster.servers),
            ("externalmodelproviders", self.cluster.providers),
        ):
            kept = reflector.Reflector(kube, f"/apis/{decoding.API_VERSION}/{plural}", store, on_change=_say)
            self._run(plural, kept.run())

    def _serve(self, context: ssl.SSLContext, ends: datetime) -> None:
        """Show a self-made certificate, from the first one on."""
        if self._shown is None:
            self._shown = certificate.Shown(context)
            self._run("listener", self._listen(ends))
        else:
            self._shown.use(context)
            self._tell_end(ends)

    async def _listen(self, ends: datetime) -> None:
        """Answer reviews, now that there is a first certificate."""
        assert self._runner is not None
        assert self._socket is not None
        assert self._shown is not None
        server = self._runner.server
        assert server is not None
        self._listener = await asyncio.get_running_loop().create_server(
            lambda: self._connections.accept(server()),
            sock=self._socket,
            backlog=listening.BACKLOG,
            ssl=self._shown.context,
            ssl_handshake_timeout=HANDSHAKE_TIMEOUT,
            ssl_shutdown_timeout=GOODBYE_TIMEOUT,
        )
        self._waiting_for = ""
        self._tell_end(ends)
        self._ready.set()
        log.info("ready: reviews are answered")

    def _tell_end(self, ends: datetime) -> None:
        self.registry.value(metrics.WEBHOOK_CERTIFICATE_EXPIRY).set(ends.timestamp())

    def _readyz(self) -> tuple[int, bytes, bytes]:
        if self.draining:
            return _text(503, "the webhook is shutting down")
        fault = self._self_made.fault if self._self_made is not None else ""
        if self._waiting_for:
            return _text(503, fault or self._waiting_for)
        return _text(200, f"ok, but {fault}" if fault else "ok")

    async def until_ready(self) -> None:
        """Return when reviews are answered."""
        await self._ready.wait()

    async def drain(self) -> None:
        """Leave: not ready any more, DRAIN_DELAY later no longer listening, then what was accepted is answered.

        That gets DRAIN_TIMEOUT; connections on which nothing is asked are closed at once.
        """
        self.draining = True
        if self.settings.drain_delay:
            await asyncio.sleep(self.settings.drain_delay)
        if self._listener is not None:
            self._listener.close()
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def stop(self) -> None:
        """End everything that is left."""
        self.draining = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._listener is not None:
            self._listener.close()
        elif self._socket is not None:
            self._socket.close()
        if self._runner is not None:
            await self._runner.cleanup()
        await self._closing.aclose()


def _tell_failure(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (problem := task.exception()) is not None:
        log.error("the task %s ended: %r", task.get_name(), problem, exc_info=problem)


def _say(kept: reflector.Reflector) -> None:
    if kept.fault is not None:
        log.warning("%s cannot be watched, so warnings may be missing or out of date: %s", kept.path, kept.fault)
    elif kept.synced:
        log.info("%s is watched", kept.path)


def _text(status: int, text: str) -> tuple[int, bytes, bytes]:
    return status, b"text/plain; charset=utf-8", f"{text}\n".encode()


@contextlib.asynccontextmanager
async def running(
    options: Options,
    settings: Settings,
    kube: configuration.Cluster | str,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> AsyncIterator[Webhook]:
    """A webhook for the length of a block: started before it, stopped without a drain behind it."""
    webhook = Webhook(options, settings, kube, now)
    await webhook.start()
    try:
        yield webhook
    finally:
        await webhook.stop()
