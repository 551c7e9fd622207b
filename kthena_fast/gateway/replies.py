"""Answers that the gateway gives itself: OpenAI error objects and small JSON documents."""

from __future__ import annotations

from email.utils import formatdate
from typing import TYPE_CHECKING, Any

import orjson

from kthena_fast.exchange.downstream import Framing

if TYPE_CHECKING:
    from kthena_fast.errors import GatewayError
    from kthena_fast.exchange.downstream import Downstream


def error_document(error: GatewayError) -> dict[str, Any]:
    """OpenAI's error object: what every SDK of theirs understands."""
    return {"error": {"message": error.message, "type": error.type, "param": error.param, "code": error.code}}


def error_lines(error: GatewayError) -> bytes:
    """The header lines that go with an error beyond those of any JSON answer."""
    lines = b""
    if error.retry_after is not None:
        lines += b"Retry-After: %d\r\n" % error.retry_after
    if error.should_retry is not None:
        lines += b"x-should-retry: " + (b"true" if error.should_retry else b"false") + b"\r\n"
    if error.allow:
        lines += b"Allow: " + error.allow.encode() + b"\r\n"
    return lines


def send(
    downstream: Downstream, status: int, content_type: bytes, body: bytes, request_id: bytes, lines: bytes = b""
) -> None:
    """Answer with a body that is at hand."""
    head = (
        b"Content-Type: %b\r\nContent-Length: %d\r\nX-Request-Id: %b\r\nDate: %b\r\n"
        % (content_type, len(body), request_id, formatdate(usegmt=True).encode())
        + lines
    )
    downstream.start(status, head, Framing.LENGTH, body)
    downstream.finish()


def send_json(downstream: Downstream, status: int, document: Any, request_id: bytes, lines: bytes = b"") -> int:
    """Answer with a JSON document; returns the length of its body in bytes."""
    body = orjson.dumps(document)
    send(downstream, status, b"application/json", body, request_id, lines)
    return len(body)


def refuse(downstream: Downstream, error: GatewayError, request_id: bytes, lines: bytes = b"") -> int:
    """Answer with an error; returns the length of its body in bytes."""
    if error.close:
        downstream.end_connection()
    return send_json(downstream, error.status, error_document(error), request_id, error_lines(error) + lines)


def raw_refusal(error: GatewayError, request_id: bytes) -> bytes:
    """The whole answer to what never became a request: it ends its connection."""
    body = orjson.dumps(error_document(error))
    return (
        b"HTTP/1.1 %d \r\nContent-Type: application/json\r\nContent-Length: %d\r\nX-Request-Id: %b\r\n"
        b"Connection: close\r\n\r\n" % (error.status, len(body), request_id)
    ) + body
