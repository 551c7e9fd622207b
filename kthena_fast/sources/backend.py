"""Engines given on the command line: every `--backend` serves every `--model`, and counts as always ready.

1. What the flags say is shown as the objects it stands for: one ModelServer over all backends and one ModelRoute per
   model, so that routing, metrics and `/debug` know nothing of flags.
2. A backend's name is resolved every 30 s, and each of its addresses is a pod. What cannot be resolved keeps its last
   addresses; if it never had any, it is tried again soon.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import re
import socket
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import NamedTuple
from urllib.parse import urlsplit

from kthena_fast.resources import decoding
from kthena_fast.resources.model_route import ModelRoute
from kthena_fast.resources.model_server import ENDPOINTS, ModelServer
from kthena_fast.routing.objects import Engine, Objects
from kthena_fast.sources import Observation

log = logging.getLogger(__name__)

RESOLVE_SECONDS = 30.0
RETRY_SECONDS = 1.0
"""While a backend has no address at all."""

SERVER = "backend"
"""Name of the ModelServer, in the namespace `default`."""

_DEFAULT_PORTS = {"http": 80, "https": 443}
# What may stand in a request line and in a log line.
_PATH = re.compile(r"(?:[!$&'()*+,;=:@/A-Za-z0-9._~-]|%[0-9A-Fa-f]{2})*", re.ASCII)
_HOST = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,252})", re.ASCII)

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
"""The addresses of a name; OSError if there are none to be had."""
Pause = Callable[[float], Awaitable[None]]


class Backend(NamedTuple):
    """One `--backend`."""

    host: str
    port: int
    tls: bool
    prefix: bytes

    @property
    def is_address(self) -> bool:
        """Whether there is nothing to resolve."""
        try:
            ipaddress.ip_address(self.host)
        except ValueError:
            return False
        return True

    @property
    def authority(self) -> str:
        """`host:port`."""
        return _authority(self.host, self.port)

    def engine(self, address: str) -> Engine:
        """The engine at one address of the backend, named as it is reached."""
        name = _authority(address, self.port) + self.prefix.decode()
        return Engine(name, address, self.port, self.tls, self.prefix, "" if self.is_address else self.host)


def _authority(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def parse(url: str) -> Backend:
    """The backend of `http://host:port/prefix`; ValueError names the URL and what is allowed."""
    allowed = "must be http:// or https:// with a host and, if need be, a port and a path"
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise ValueError(f"--backend {url!r} {allowed}") from None
    if ":" in host and "%" not in host:
        host = str(ipaddress.IPv6Address(host))
    elif not _HOST.fullmatch(host):
        raise ValueError(f"--backend {url!r} {allowed}")
    if parts.scheme not in _DEFAULT_PORTS or port == 0 or not _PATH.fullmatch(parts.path):
        raise ValueError(f"--backend {url!r} {allowed}")
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise ValueError(f"--backend {url!r} must have no user, no query and no fragment")
    return Backend(
        host, port or _DEFAULT_PORTS[parts.scheme], parts.scheme == "https", parts.path.rstrip("/").encode("ascii")
    )


async def resolve(host: str, port: int) -> Sequence[str]:
    """Every address of a name, in a stable order."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return sorted({str(address[0]) for *_, address in found})


class BackendSource:
    """Backends and models as the command line gave them; ValueError for what is not a backend."""

    def __init__(
        self,
        urls: Iterable[str],
        models: Iterable[str],
        *,
        resolve: Resolve = resolve,
        pause: Pause = asyncio.sleep,
    ) -> None:
        self._backends = tuple(dict.fromkeys(parse(url) for url in urls))
        self._resolve = resolve
        self._pause = pause
        self._addresses: dict[Backend, tuple[str, ...]] = {
            backend: (backend.host,) for backend in self._backends if backend.is_address
        }
        self._server = _server(self._backends)
        self._routes = {
            route.metadata.key: route
            for route in (_route(number, model) for number, model in enumerate(dict.fromkeys(models), 1))
        }

    async def run(self, publish: Callable[[Observation], None]) -> None:
        """See `Source`. The first observation follows the first attempt to resolve every name."""
        published: Observation | None = None
        names = [backend for backend in self._backends if not backend.is_address]
        while True:
            await asyncio.gather(*(self._look_up(backend) for backend in names))
            observation = self._observation()
            if observation != published:
                publish(observation)
                published = observation
            has_all = all(backend in self._addresses for backend in self._backends)
            await self._pause(RESOLVE_SECONDS if has_all else RETRY_SECONDS)

    async def _look_up(self, backend: Backend) -> None:
        try:
            found = tuple(await self._resolve(backend.host, backend.port))
        except (OSError, UnicodeError) as error:
            kept = self._addresses.get(backend)
            outcome = f"{', '.join(kept)} stays in service" if kept else "it has no address yet"
            log.warning("the backend %s cannot be resolved (%s): %s", backend.host, error, outcome)
        else:
            self._addresses[backend] = found

    def _observation(self) -> Observation:
        engines = tuple(
            backend.engine(address) for backend in self._backends for address in self._addresses.get(backend, ())
        )
        key = self._server.metadata.key
        return Observation(Objects(routes=self._routes, servers={key: self._server}, engines={key: engines}))


def _server(backends: Iterable[Backend]) -> ModelServer:
    first, *_ = backends
    server = decoding.decode(
        {
            "apiVersion": ModelServer.API_VERSION,
            "kind": ModelServer.KIND,
            "metadata": {
                "name": SERVER,
                "annotations": {ENDPOINTS: ",".join(backend.authority for backend in backends)},
            },
            "spec": {
                # The engine's kind is not known and decides nothing here; vLLM's API is what most speak.
                "inferenceEngine": "vLLM",
                "workloadSelector": {},
                "workloadPort": {"port": first.port, "protocol": "https" if first.tls else "http"},
            },
        }
    )
    assert isinstance(server, ModelServer)
    return server


def _route(number: int, model: str) -> ModelRoute:
    if not model.strip():
        raise ValueError(f"--model {model!r} must be a name")
    route = decoding.decode(
        {
            "apiVersion": ModelRoute.API_VERSION,
            "kind": ModelRoute.KIND,
            "metadata": {"name": f"model-{number}"},
            "spec": {"modelName": model, "rules": [{"targetModels": [{"modelServerName": SERVER}]}]},
        }
    )
    assert isinstance(route, ModelRoute)
    return route
