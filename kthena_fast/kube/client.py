"""Requests to the API server: paths and plain mappings in, plain mappings out.

1. A request ends within `timeout` seconds, in a mapping, an `ApiError` or an `Unreachable`, and is sent once: whether
   another try makes sense is the caller's to say. Only a 401 is answered by one more try, with renewed credentials.
2. Nothing that comes is held without a bound: an answer, a page and a line of a watch each have their largest size.
   Under a CRD that keeps unknown fields an object may be nested deeper than can be read; that part of it is left out.
3. A list is read in pages of about `PAGE_BYTES`, however large its objects are, since a page is decoded in one piece
   while the loop waits.
4. A watch that says nothing for `SILENCE` is taken for dead: bookmarks come every minute. A peer that is gone without
   a word is found by TCP's keep-alive within half a minute.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import ssl
import tempfile
import weakref
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Self

import aiohttp
import orjson

from kthena_fast import __version__
from kthena_fast.kube import answers, failures

if TYPE_CHECKING:
    from types import TracebackType

    from kthena_fast.kube.configuration import Cluster
    from kthena_fast.kube.credentials import Certificate

Object = dict[str, Any]

CONNECT_TIMEOUT = 10.0
CLOSE_TIMEOUT = 1.0
"""Seconds in which closed connections come to their end, which takes a few iterations of the loop."""
TIMEOUT = 30.0
"""Seconds for a whole request that is no watch."""
SILENCE = 150.0
"""Seconds without a byte after which a watch is given up: two bookmarks and a half."""
WATCH_SECONDS = (300, 600)
"""How long a watch is asked to last, drawn between these, so that not all of them end together."""
PAGE_BYTES = 128 << 10
"""About how large a page of a list is: a millisecond to decode, and two to take in."""
FIRST_PAGE = 50
"""Objects in the first page, before their size is known."""
MAX_PAGE_OBJECTS = 500
PAGES_AT_ONCE = 3
"""What a page is decoded into is many times its size, and leaves holes where it was: 47 MB with twenty at once. One
that waits for its turn is one piece of bytes."""
KEEP_ALIVE = {"TCP_KEEPIDLE": 15, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 3}
USER_AGENT = f"kthena-fast/{__version__}"


class PatchType(StrEnum):
    """What a patch is: the content type that says so."""

    JSON = "application/json-patch+json"
    MERGE = "application/merge-patch+json"
    STRATEGIC = "application/strategic-merge-patch+json"
    APPLY = "application/apply-patch+yaml"
    """Server-side apply; needs `fieldManager`, and `force` to take fields over."""


_AT_ONCE = contextlib.nullcontext()


class Client:
    """One program's connections to one API server. To be closed, or used in `async with`."""

    def __init__(self, cluster: Cluster) -> None:
        """Opens nothing yet; needs a running loop."""
        self.cluster = cluster
        self._sockets: weakref.WeakSet[socket.socket] = weakref.WeakSet()
        self.taking = asyncio.Semaphore(PAGES_AT_ONCE)
        """For `pages`, from who reads many lists at once."""
        self._contexts: dict[Certificate | None, ssl.SSLContext] = {}
        self._session = aiohttp.ClientSession(
            # As many watches as there are; requests beside them are few.
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=60.0, socket_factory=self._socket),
            # Uncompressed, since to unpack costs the loop more than the network costs within a cluster.
            headers={"User-Agent": USER_AGENT, "Accept": "application/json", "Accept-Encoding": "identity"},
            # An answer is redirected by nobody who may, and cookies are nobody's here.
            cookie_jar=aiohttp.DummyCookieJar(),
        )

    async def close(self) -> None:
        """Close every connection; a watch that is read then ends."""
        await self._session.close()
        # aiohttp does not wait for connections that say goodbye in TLS, as those of requests that were broken off do:
        # a loop that is closed before has handles left (uvloop then raises EBUSY). So they hear that all is over.
        for sock in self._open_sockets():
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        deadline = asyncio.get_running_loop().time() + CLOSE_TIMEOUT
        while self._open_sockets() and asyncio.get_running_loop().time() < deadline:  # noqa: ASYNC110 - no event tells it
            await asyncio.sleep(0.001)

    def _open_sockets(self) -> list[socket.socket]:
        return [sock for sock in self._sockets if sock.fileno() >= 0]

    def _socket(self, address: aiohttp.AddrInfoType) -> socket.socket:
        """A socket whose peer is asked now and then whether it is still there: rule 4."""
        family, kind, protocol, *_ = address
        sock = socket.socket(family, kind, protocol)
        self._sockets.add(sock)
        # Not every system has all of them.
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            for name, value in KEEP_ALIVE.items():
                if hasattr(socket, name):
                    sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
        return sock

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    # Objects

    async def get(self, path: str, query: Mapping[str, str] | None = None, *, timeout: float = TIMEOUT) -> Object:
        """The object at `path`."""
        return await self.request("GET", path, query=query, timeout=timeout)

    async def create(self, path: str, body: Object, query: Mapping[str, str] | None = None) -> Object:
        """Create an object in the collection at `path`; a conflict where it is there already."""
        return await self.request("POST", path, body, query=query)

    async def replace(self, path: str, body: Object, query: Mapping[str, str] | None = None) -> Object:
        """Put `body` in place of the object; a conflict where its `resourceVersion` is no longer the current one."""
        return await self.request("PUT", path, body, query=query)

    async def patch(
        self,
        path: str,
        body: Object | list[Object],
        kind: PatchType = PatchType.MERGE,
        query: Mapping[str, str] | None = None,
    ) -> Object:
        """Change the object at `path`; of a merge patch with `metadata.resourceVersion` only that version."""
        return await self.request("PATCH", path, body, query=query, content_type=kind)

    async def delete(self, path: str, body: Object | None = None) -> Object:
        """Delete the object at `path`; `body` is a `DeleteOptions`, such as preconditions."""
        return await self.request("DELETE", path, body)

    async def pages(
        self,
        path: str,
        query: Mapping[str, str] | None = None,
        *,
        timeout: float = TIMEOUT,
        turn: AbstractAsyncContextManager[Any] = _AT_ONCE,
    ) -> AsyncGenerator[answers.Page, None]:
        """The collection at `path`, page by page; `query` may hold `labelSelector` and `fieldSelector`.

        `turn` is held while a page is decoded and until the next one is asked for, and never while the server is waited
        for: a list that hangs holds up no other. Who leaves before the end closes the pages.
        A list that takes so long that the server forgets it ends in an `ApiError` that `is_gone`: begin anew.
        """
        limit, token = FIRST_PAGE, ""
        while True:
            asked = {**(query or {}), "limit": str(limit)} | ({"continue": token} if token else {})
            text = await self._answer("GET", path, None, asked, "application/json", timeout)
            size, before = len(text), token
            async with turn:
                page, token = answers.page(text, path)
                del text
                limit = max(1, min(MAX_PAGE_OBJECTS, len(page.items) * PAGE_BYTES // size))
                yield page
                # Not held while the next one is waited for.
                del page
            if not token:
                return
            if token == before:
                raise failures.Malformed(f"GET {path}: the list does not end, for a page names itself as the next one")

    # Requests

    async def request(
        self,
        method: str,
        path: str,
        body: Object | list[Object] | None = None,
        *,
        query: Mapping[str, str] | None = None,
        content_type: str = "application/json",
        timeout: float = TIMEOUT,
    ) -> Object:
        """The decoded answer of one request; see rule 1."""
        return answers.mapping(await self._answer(method, path, body, query, content_type, timeout), path)

    async def _answer(
        self,
        method: str,
        path: str,
        body: Object | list[Object] | None,
        query: Mapping[str, str] | None,
        content_type: str,
        timeout: float,
    ) -> bytes:
        payload = orjson.dumps(body) if body is not None else None
        limits = aiohttp.ClientTimeout(total=timeout, connect=min(timeout, CONNECT_TIMEOUT))
        async with self._exchange(method, path, payload, query, content_type, limits) as response:
            return await answers.bounded(response, answers.MAX_ANSWER_BYTES)

    @contextlib.asynccontextmanager
    async def _exchange(
        self,
        method: str,
        path: str,
        payload: bytes | None,
        query: Mapping[str, str] | None,
        content_type: str,
        limits: aiohttp.ClientTimeout,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """A response that is a success, while its body is read; failures of reading are told as `Unreachable` too."""
        what = f"{method} {path}"
        try:
            async with contextlib.AsyncExitStack() as held:
                response = await held.enter_async_context(
                    await self._send(method, path, payload, query, content_type, limits)
                )
                if response.status == 401:
                    self.cluster.credentials.renew()
                    await held.aclose()
                    response = await held.enter_async_context(
                        await self._send(method, path, payload, query, content_type, limits)
                    )
                if response.status >= 300:
                    raise await self._refusal(response)
                yield response
        except aiohttp.ClientConnectorCertificateError as error:
            # A certificate that was renewed is verified with those that are in the file now.
            self._contexts.clear()
            raise failures.Unreachable(f"{what}: {error.certificate_error}") from error
        except aiohttp.ClientConnectorError as error:
            # Its own text shows an object of Python.
            raise failures.Unreachable(f"{what}: {self.cluster.server}: {_told(error.os_error)}") from error
        except aiohttp.SocketTimeoutError as error:
            raise failures.Silent(f"{what}: nothing came for {limits.sock_read:g} s") from error
        except aiohttp.ClientPayloadError as error:
            # The same.
            raise failures.Unreachable(f"{what}: the connection ended within the answer") from error
        except aiohttp.ClientError as error:
            raise failures.Unreachable(f"{what}: {_told(error)}") from error
        except TimeoutError as error:
            raise failures.Unreachable(f"{what}: no answer in time") from error
        except (OSError, ValueError) as error:
            # ValueError: a path or a header that cannot be sent.
            raise failures.Unreachable(f"{what}: {_told(error)}") from error

    async def _refusal(self, response: aiohttp.ClientResponse) -> failures.ApiError:
        text = await answers.bounded(response, 1 << 20)
        try:
            status = orjson.loads(text)
        except ValueError:
            status = None
        if not isinstance(status, dict):
            # A proxy, or the API server before it knows who is asking.
            status = {"message": text[:200].decode(errors="replace").strip() or response.reason}
        if response.status == 401 and self.cluster.source:
            # The server says no more than that it does not know us.
            status["message"] = f"{status.get('message')}: it does not accept the credentials of {self.cluster.source}"
        try:
            retry_after = float(response.headers["Retry-After"])
        except (KeyError, ValueError):
            retry_after = None
        return failures.from_status(status, response.status, retry_after)

    async def _send(
        self,
        method: str,
        path: str,
        payload: bytes | None,
        query: Mapping[str, str] | None,
        content_type: str,
        limits: aiohttp.ClientTimeout,
    ) -> aiohttp.ClientResponse:
        cluster = self.cluster
        proof = await cluster.credentials.prove()
        headers = dict(proof.headers)
        if payload is not None:
            headers["Content-Type"] = content_type
        return await self._session.request(
            method,
            cluster.server + path,
            params=query,
            data=payload,
            headers=headers,
            timeout=limits,
            ssl=self._context(proof.certificate),
            server_hostname=cluster.server_name or None,
            proxy=cluster.proxy or None,
            allow_redirects=False,
        )

    def _context(self, certificate: Certificate | None) -> ssl.SSLContext:
        context = self._contexts.get(certificate)
        if context is None:
            # One that was renewed takes the place of the one before it.
            self._contexts.clear()
            context = self._contexts[certificate] = _tls(self.cluster, certificate)
        return context

    # Watches

    @contextlib.asynccontextmanager
    async def watch(
        self, path: str, version: str, query: Mapping[str, str] | None = None, *, silence: float = SILENCE
    ) -> AsyncIterator[AsyncIterator[list[answers.Event]]]:
        """The changes of the collection at `path` since `version`, as they come: as many at a time as came together.

        Ends when the server ends it, which it does after some minutes; go on from the version of the last object.
        `ApiError`: the server refused, at once or within the stream (`is_gone`: list anew). `Unreachable`: it broke,
        went silent, or said what cannot be understood; what had come before was handed over.
        """
        asked = {
            **(query or {}),
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": version,
            "timeoutSeconds": str(random.randint(*WATCH_SECONDS)),  # noqa: S311 - spreads load, hides nothing
        }
        limits = aiohttp.ClientTimeout(total=None, connect=CONNECT_TIMEOUT, sock_read=silence)
        async with (
            self._exchange("GET", path, None, asked, "application/json", limits) as response,
            contextlib.aclosing(answers.events(response, path)) as events,
        ):
            yield events


def _tls(cluster: Cluster, certificate: Certificate | None) -> ssl.SSLContext:
    ca_file = str(cluster.ca_file) if cluster.ca_file is not None else None
    try:
        context = ssl.create_default_context(cafile=ca_file, cadata=cluster.ca_data or None)
    except (OSError, ValueError) as error:
        # Which of its files it was, the ssl module does not say.
        where, why = ca_file or "certificate-authority-data", getattr(error, "strerror", None) or error
        raise failures.Unreachable(f"{where}, which verifies {cluster.server}, does not load: {why}") from error
    try:
        # Kubernetes' own authorities are older than what RFC 5280 came to ask of them.
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
        if not cluster.verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if certificate is not None:
            # OpenSSL takes it from a file only.
            with tempfile.NamedTemporaryFile("w") as pair:
                pair.write(f"{certificate.certificate}\n{certificate.key}")
                pair.flush()
                context.load_cert_chain(pair.name)
    except (OSError, ssl.SSLError) as error:
        raise failures.Unreachable(f"TLS to {cluster.server} cannot be set up: {_told(error)}") from error
    return context


def _told(error: BaseException) -> str:
    return str(error) or type(error).__name__
