"""Finished records of requests, as the journey leaves them, for the tests of this room."""

from typing import Any

from kthena_fast.exchange.record import Exchange

WALL = 1772356500.4821
"""2026-03-01T09:15:00.4821Z, the time of the reference's example."""
BEGAN = 100.0


def exchange(**facts: Any) -> Exchange:
    """A chat completion that was served; `facts` replace its fields."""
    record = Exchange(
        "POST",
        b"/v1/chat/completions",
        "/v1/chat/completions",
        "",
        "HTTP/1.1",
        [],
        "10.0.0.1",
        "10.0.0.7",
        "http",
        b"req-1",
        BEGAN,
        WALL,
    )
    served: dict[str, Any] = {
        "model": "chat",
        "parsed": BEGAN + 0.001,
        "prompt_estimate": 12,
        "route": "prod/chat",
        "server": "prod/chat-7b",
        "pod": "chat-7b-0",
        "upstream_model": "org/chat-7b",
        "forwarded": BEGAN + 0.002,
        "attempts": 1,
        "upstream_status": 200,
        "status": 200,
        "first_byte": BEGAN + 0.045,
        "upstream_ended": BEGAN + 0.812,
        "bytes_out": 312,
        "output_tokens": 34,
        "ended": BEGAN + 0.812,
    }
    for name, value in (served | facts).items():
        setattr(record, name, value)
    return record


def refused(error: Any, **facts: Any) -> Exchange:
    """A request that failed before anything was understood of it."""
    record = Exchange(
        "POST", b"/v1/completions", "/v1/completions", "", "HTTP/1.1", [], "", "", "http", b"req-2", BEGAN, WALL
    )
    record.error = error
    record.status = error.status
    record.ended = BEGAN
    for name, value in facts.items():
        setattr(record, name, value)
    return record
