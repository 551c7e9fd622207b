"""`Delivery`: how an answer reaches the wire, whole or broken by a fault.

Rules:
1. What is well-formed is written by aiohttp; what is not goes straight to the transport.
2. After a break the connection is closed behind the bytes already written, and the handler waits for aiohttp to
   cancel it: whatever it returned instead, aiohttp would try to answer.
3. A streamed answer begins with its head, at once; the first token may take its time (vLLM's order).
"""

import asyncio
import socket
import struct
from collections.abc import Mapping
from http import HTTPStatus
from typing import NoReturn

from aiohttp import web

from .faults import Fault, FaultName
from .journal import Record
from .refusals import by_fault

JSON = "application/json"
EVENTS = "text/event-stream; charset=utf-8"

_BAD_CHUNK = b"this is no chunk size\r\n"
_GARBAGE = b"\x16\x03\x01 this is not HTTP\r\n\r\n"


class Delivery:
    """One answer: `before()`, then either `whole(...)` or `begin()`, `write(...)`/`token(...)`..., `end()`."""

    __slots__ = ("_fault", "_name", "_record", "_request", "_response")

    def __init__(self, request: web.BaseRequest, record: Record) -> None:
        self._request = request
        self._record = record
        self._response: web.StreamResponse | None = None
        self._fault: Fault | None = None
        self._name: FaultName | None = None

    def meet(self, fault: Fault) -> None:
        """This answer suffers that."""
        self._fault = fault
        self._name = fault.name
        self._record.fault = fault.name

    async def before(self) -> None:
        """What happens ahead of any answer; Refusal, where the fault is one."""
        match self._fault:
            case Fault(FaultName.DIE_BEFORE_HEAD):
                await self._die()
            case Fault(FaultName.RESET):
                connection = self._transport.get_extra_info("socket")
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self._record.over = True
                self._transport.abort()
                await _for_ever()
            case Fault(FaultName.DIE_IN_HEAD):
                await self._die(b"HTTP/1.1 200 OK\r\nDate: Thu, 01 Jan 2026 00:00:00 GMT\r\nContent-Ty")
            case Fault(FaultName.GARBAGE):
                await self._die(_GARBAGE)
            case Fault(FaultName.HANG):
                await _for_ever()
            case Fault(FaultName.SLOW_HEAD, seconds):
                await asyncio.sleep(seconds)
            case Fault(FaultName.STATUS, status):
                raise by_fault(int(status))
            case Fault(FaultName.INFORMATIONAL, status):
                self._transport.write(_informational(int(status)))

    async def whole(
        self, status: int, body: bytes, content_type: str = JSON, headers: Mapping[str, str] | None = None
    ) -> web.StreamResponse:
        """An answer with its length in front."""
        fields = {"Content-Type": content_type, **(headers or {})}
        if self._fault is not None:
            body = await self._whole_by_fault(status, body, fields)
        response = web.Response(status=status, body=body, headers=fields)
        return await self._finish(response)

    async def begin(self) -> None:
        """The head of a stream of events."""
        if self._name is FaultName.HTTP10:
            self._transport.write(_head("HTTP/1.0", 200, {"Content-Type": EVENTS, "Connection": "close"}))
            return
        self._response = web.StreamResponse(headers={"Content-Type": EVENTS})
        if self._name is FaultName.CLOSE_AFTER:
            self._response.force_close()
        await self._response.prepare(self._request)

    async def write(self, events: bytes) -> None:
        """Events that carry no token; waits for a client that reads slowly."""
        if self._response is None:
            self._transport.write(events)
        elif events:
            await self._response.write(events)

    async def token(self, event: bytes) -> None:
        """The event, or events, of the next token."""
        sent = self._record.tokens_sent
        if self._fault is not None:
            event = await self._token_by_fault(sent, event)
        await self.write(event)
        self._record.tokens_sent = sent + 1

    async def end(self, closing: bytes) -> web.StreamResponse:
        """The last events and the end of the stream."""
        if self._name is FaultName.DIE_MID_STREAM:
            await self._die()
        if self._name is FaultName.BAD_CHUNK:
            await self._die(_BAD_CHUNK)
        await self.write(closing)
        if self._response is None:
            self._record.finished = True
            await self._die()
        return await self._finish(self._response)

    async def _whole_by_fault(self, status: int, body: bytes, fields: Mapping[str, str]) -> bytes:
        length = {"Content-Length": str(len(body))}
        half = len(body) // 2
        match self._fault:
            case Fault(FaultName.BIG_BODY, size):
                return body + b" " * int(size)
            case Fault(FaultName.DIE_MID_BODY):
                await self._die(_head("HTTP/1.1", status, {**fields, **length}) + body[:half])
            case Fault(FaultName.HTTP10):
                self._transport.write(_head("HTTP/1.0", status, fields) + body)
                self._record.finished = True
                await self._die()
            case Fault(FaultName.BAD_CHUNK):
                chunk = b"%x\r\n%b\r\n" % (half, body[:half])
                await self._die(
                    _head("HTTP/1.1", status, {**fields, "Transfer-Encoding": "chunked"}) + chunk + _BAD_CHUNK
                )
        return body

    async def _token_by_fault(self, sent: int, event: bytes) -> bytes:
        match self._fault:
            case Fault(FaultName.DIE_MID_STREAM, tokens) if sent >= tokens:
                await self._die()
            case Fault(FaultName.DIE_MID_BODY):
                await self.write(event[: len(event) // 2])
                await self._die()
            case Fault(FaultName.BAD_CHUNK) if sent == 1:
                await self._die(_BAD_CHUNK)
            case Fault(FaultName.BIG_BODY, size) if sent == 0:
                return event[:-2] + b" " * int(size) + event[-2:]
        return event

    async def _finish(self, response: web.StreamResponse) -> web.StreamResponse:
        if self._name is FaultName.CLOSE_AFTER:
            response.force_close()
        await response.prepare(self._request)
        await response.write_eof()
        self._record.finished = True
        if self._name is FaultName.CLOSE_SILENTLY:
            self._transport.close()
        return response

    async def _die(self, last_words: bytes = b"") -> NoReturn:
        self._record.over = True
        if last_words:
            self._transport.write(last_words)
        self._transport.close()
        await _for_ever()

    @property
    def _transport(self) -> asyncio.Transport:
        transport = self._request.transport
        if transport is None:
            raise ConnectionResetError("the client has left")
        return transport


async def _for_ever() -> NoReturn:
    await asyncio.get_running_loop().create_future()
    raise AssertionError("this future is never set")


def _head(version: str, status: int, fields: Mapping[str, str]) -> bytes:
    lines = [f"{version} {status} {HTTPStatus(status).phrase}", *(f"{name}: {value}" for name, value in fields.items())]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def _informational(status: int) -> bytes:
    return _head("HTTP/1.1", status, {"Link": "</>; rel=preload"} if status == 103 else {})
