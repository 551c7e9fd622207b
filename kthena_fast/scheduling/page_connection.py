"""`PageConnection`: one connection to an engine's metrics, an asyncio protocol that reads one page after the other.

1. A page is what came with status 200, whole, in at most MOST_BYTES. Nothing is followed. What came before the
   connection ended is whole only where the engine said no length.
2. Each `send` is answered once, by `on_page`, `on_no_page` or `on_lost`; after `abort` by nothing.
3. It stays open only where the answer ended as HTTP says, and with nothing behind it.
"""

from __future__ import annotations

import asyncio
from typing import Final, Protocol

import httptools

MOST_BYTES: Final = 4 * 2**20
"""Of one answer; engines send some 50 KiB."""

_LENGTHS: Final = frozenset((b"content-length", b"transfer-encoding"))


class Asker(Protocol):
    """Who wants the page; `asking.Asking` has this shape."""

    def on_page(self, page: bytes | None) -> None: ...

    def on_no_page(self, problem: str) -> None: ...

    def on_lost(self, problem: str, *, is_stale: bool) -> None: ...


class PageConnection(asyncio.Protocol):
    """Made before it is open."""

    __slots__ = (
        "_asker",
        "_body",
        "_has_length",
        "_is_asked",
        "_is_over",
        "_is_used",
        "_keeps",
        "_parser",
        "_size",
        "_status",
        "_transport",
    )

    def __init__(self, asker: Asker) -> None:
        self._asker: Asker | None = asker
        self._transport: asyncio.Transport | None = None
        self._parser: httptools.HttpResponseParser | None = httptools.HttpResponseParser(self)
        self._is_used = False
        """Whether it has brought a page before."""
        # the page that is asked for
        self._is_asked = False
        self._size = 0
        self._status = 0
        self._has_length = False
        self._body: list[bytes] = []
        self._is_over = False
        self._keeps = False

    @property
    def is_open(self) -> bool:
        return self._transport is not None and not self._transport.is_closing()

    def send(self, request: bytes) -> None:
        """Ask for the page; not while it is asked for."""
        assert self._transport is not None
        self._is_asked = True
        self._size = self._status = 0
        self._has_length = self._is_over = self._keeps = False
        self._transport.write(request)

    def abort(self) -> None:
        """Close at once, and tell nothing any more."""
        self._asker = None
        self._body = []
        # It refers to us as we do to it.
        self._parser = None
        if self._transport is not None:
            self._transport.abort()

    # What the loop calls

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # TCP's can be written to
        self._transport = transport
        if self._asker is None:
            transport.abort()

    def data_received(self, data: bytes) -> None:
        if self._asker is None:
            return
        if not self._is_asked:
            # It would be taken for the next page.
            self._end("data that was not asked for")
            return
        assert self._parser is not None
        self._size += len(data)
        if self._size > MOST_BYTES:
            self._asker.on_no_page(f"more than {MOST_BYTES} bytes")
            return
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as problem:
            self._asker.on_no_page(repr(problem))
            return
        if self._is_over:
            self._finish(self._asker)

    def eof_received(self) -> None:
        if self._asker is not None and self._is_asked and self._status and not self._has_length:
            self._finish(self._asker)

    def connection_lost(self, failure: Exception | None) -> None:
        self._end(repr(failure) if failure is not None else "the engine closed the connection")

    def _end(self, problem: str) -> None:
        asker = self._asker
        self.abort()
        if asker is not None:
            asker.on_lost(problem, is_stale=self._is_used and not self._size)

    def _finish(self, asker: Asker) -> None:
        self._is_asked = False
        self._is_used = True
        body = self._body
        self._body = []
        if not self._keeps:
            self.abort()
        if self._status == 200:
            asker.on_page(body[0] if len(body) == 1 else b"".join(body))
        else:
            asker.on_page(None)

    # What the parser calls

    def on_message_begin(self) -> None:
        # Where that is a second answer, to what was not asked, the connection is not used again.
        self._keeps = False

    def on_header(self, name: bytes, value: bytes) -> None:
        if name.lower() in _LENGTHS:
            self._has_length = True

    def on_headers_complete(self) -> None:
        if not self._is_over:
            assert self._parser is not None
            self._status = self._parser.get_status_code()

    def on_body(self, body: bytes) -> None:
        if not self._is_over:
            self._body.append(body)

    def on_message_complete(self) -> None:
        if not self._is_over:
            assert self._parser is not None
            self._is_over = True
            self._keeps = self._parser.should_keep_alive()
