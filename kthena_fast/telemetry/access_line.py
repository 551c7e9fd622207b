"""One line per request, from its record: upstream's layout, text or JSON, with our fields after upstream's.

1. Fields, their order and when they are left out are upstream's, up to the timings; then come user, first token,
   bytes, client and the queue.
2. Lines cannot be forged. In text, a value with a space, a quote or anything that is not printable is written as a JSON
   string, and inside the quotes around method, path and protocol the path is escaped like one. (Upstream writes
   both as they are, so its `error=` message has bare spaces; ours is quoted.) In JSON all of it is a string anyway.
3. A value is cut (`one_line.MAX_VALUE`): the client chooses the model's name, and its body may have 32 MiB.
4. Durations are whole milliseconds, cut off, not rounded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from kthena_fast.telemetry import one_line
from kthena_fast.telemetry.one_line import cut
from kthena_fast.telemetry.text_line import MODEL_SERVER
from kthena_fast.telemetry.text_line import text as text
from kthena_fast.telemetry.text_line import timings as timings

if TYPE_CHECKING:
    from collections.abc import Callable

    from kthena_fast.exchange.record import Exchange

Format = Literal["text", "json"]


def formatter(form: Format) -> Callable[[Exchange, float], bytes]:
    """The function that turns a finished record, and the time it ended at, into its line."""
    return {"text": text, "json": as_json}[form]


def as_json(exchange: Exchange, now: float) -> bytes:
    fields: dict[str, Any] = {
        "timestamp": one_line.timestamp(exchange.wall),
        "method": exchange.method,
        "path": cut(exchange.path),
        "protocol": exchange.protocol,
        "status_code": exchange.status,
    }
    error = exchange.error
    if error is not None:
        fields["error"] = {"type": error.reason, "message": cut(error.message)}
    fields["model_name"] = cut(exchange.model)
    server = exchange.server
    tokens = exchange.input_tokens or exchange.prompt_estimate
    for name, value in (
        ("model_route", exchange.route),
        ("model_server", server),
        ("selected_pod", exchange.pod),
        ("request_id", cut(exchange.request_id.decode("latin-1"))),
        ("backend_type", MODEL_SERVER if server else ""),
        ("backend_name", server),
        ("upstream_model", exchange.upstream_model),
        ("upstream_status_code", exchange.upstream_status),
        ("upstream_attempts", exchange.attempts),
        ("error_origin", "upstream" if error is not None and error.origin == "upstream" else ""),
        ("input_tokens", tokens),
        ("output_tokens", exchange.output_tokens),
    ):
        if value:
            fields[name] = value  # noqa: PERF403 - among others, in their order
    total, request, upstream, response = timings(exchange, now)
    fields["duration_total"] = total
    fields["duration_request_processing"] = request
    fields["duration_upstream_processing"] = upstream
    fields["duration_response_processing"] = response
    if exchange.user:
        fields["user"] = cut(exchange.user)
    if exchange.streaming and exchange.first_byte is not None:
        fields["ttft"] = _milliseconds(exchange.first_byte - exchange.began)
    fields["bytes"] = exchange.bytes_out
    if exchange.client:
        fields["client"] = cut(exchange.client)
    if exchange.policy:
        fields["queue_time"] = _milliseconds(exchange.queue_time)
        fields["queue_position"] = exchange.queue_position
        if exchange.usage_at_admission is not None:
            fields["usage_at_admission"] = _number(exchange.usage_at_admission)
        if exchange.share_at_admission is not None:
            fields["share_at_admission"] = _number(exchange.share_at_admission)
        fields["policy"] = exchange.policy
    return one_line.as_json(fields) + b"\n"


def _milliseconds(seconds: float) -> int:
    return int(seconds * 1000 + 0.0005)


def _number(value: float) -> int | float:
    # Thousandths of tokens, and shares as somebody wrote them: what Python writes of them is short, and rounds nothing.
    return int(value) if value.is_integer() else value
