"""How a stream says that it will not be whole."""

from __future__ import annotations

import orjson

from kthena_fast.errors import GatewayError


def event(error: GatewayError, *, mid_event: bool) -> bytes:
    """One SSE event with OpenAI's error object; its SDK raises on it. No `[DONE]` follows.

    `mid_event`: the client has got the beginning of an event that will not be completed; a blank line ends it.
    """
    body = orjson.dumps(
        {"error": {"message": error.message, "type": error.type, "param": error.param, "code": error.code}}
    )
    return (b"\n\ndata: %b\n\n" if mid_event else b"data: %b\n\n") % body
