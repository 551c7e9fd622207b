"""A fixed piece of work of the gateway's kind, to tell a slower gateway from a build of Python that needs more.

It is never made faster: a change here makes every ratio in `accepted.json` void.
"""

from __future__ import annotations

import asyncio
from typing import Any

import httptools
import orjson


class Proxy:
    """Reads a request, looks at its body, waits for an answer in a task of its own, reads that and counts it."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._counts: dict[str, float] = {}
        self._fields: list[tuple[bytes, bytes]] = []
        self._pieces: list[bytes] = []
        self._whole = False

    async def serve(self, request: bytes, answer: bytes) -> bytes:
        return await self._loop.create_task(self._serve(request, answer))

    async def _serve(self, request: bytes, answer: bytes) -> bytes:
        fields, body = self._read(httptools.HttpRequestParser(self), request)
        document = orjson.loads(body)
        sent = self._head(b"POST /v1/chat/completions HTTP/1.1", fields, len(body)) + body
        came: asyncio.Future[bytes] = self._loop.create_future()
        self._loop.call_soon(came.set_result, answer if sent else b"")
        fields, body = self._read(httptools.HttpResponseParser(self), await came)
        usage = orjson.loads(body)["usage"]
        for name, count in usage.items():
            key = f"{document['user']}/{document['model']}/{name}"
            self._counts[key] = self._counts.get(key, 0.0) + count
        return self._head(b"HTTP/1.1 200 OK", fields, len(body)) + body

    def _read(self, parser: Any, data: bytes) -> tuple[list[tuple[bytes, bytes]], bytes]:
        self._fields = []
        self._pieces = []
        self._whole = False
        parser.feed_data(data)
        assert self._whole
        return self._fields, b"".join(self._pieces)

    @staticmethod
    def _head(first: bytes, fields: list[tuple[bytes, bytes]], length: int) -> bytes:
        lines = [first]
        for name, value in fields:
            if name not in {b"connection", b"accept-encoding", b"content-length", b"host"}:
                lines.append(b"%b: %b" % (name, value))
        lines += [b"content-length: %d" % length, b"", b""]
        return b"\r\n".join(lines)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._fields.append((name.lower(), value))

    def on_body(self, body: bytes) -> None:
        self._pieces.append(body)

    def on_message_complete(self) -> None:
        self._whole = True
