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

import functools
from typing import TYPE_CHECKING, Any, Literal

from kthena_fast.telemetry import one_line
from kthena_fast.telemetry.one_line import cut, quoted

if TYPE_CHECKING:
    from collections.abc import Callable

    from kthena_fast.exchange.record import Exchange

Format = Literal["text", "json"]

MODEL_SERVER = "model_server"

NO_WAIT = " queue_time=0ms queue_position=0"
"""Of nearly every request, where any could have to wait."""


def formatter(form: Format) -> Callable[[Exchange, float], bytes]:
    """The function that turns a finished record, and the time it ended at, into its line."""
    return {"text": text, "json": as_json}[form]


def text(exchange: Exchange, now: float) -> bytes:
    error = exchange.error
    failure = origin = ""
    if error is not None:
        failure = f" error={error.reason}:{quoted(error.message)}"
        origin = " error_origin=upstream" if error.origin == "upstream" else ""
    path = exchange.path
    request = _request_of_api(exchange.method, path, exchange.protocol) if len(path) < 64 else _request(exchange)
    # Only names of objects are kept: what matched no route may be any name, a new one each time.
    where = _where if exchange.route else _where.__wrapped__
    route, backend = where(cut(exchange.model), exchange.route, exchange.server, exchange.upstream_model)
    pod = f" selected_pod={_object_name(exchange.pod)}" if exchange.pod else ""
    request_id = f" request_id={quoted(exchange.request_id.decode('latin-1'))}" if exchange.request_id else ""
    upstream_status = f" upstream_status_code={exchange.upstream_status}" if exchange.upstream_status else ""
    attempts = f" upstream_attempts={exchange.attempts}" if exchange.attempts else ""
    total, reading, upstream, response = timings(exchange, now)
    return (
        f'[{one_line.timestamp(exchange.wall)}] "{request}" {exchange.status}{failure}{route}{pod}{request_id}{backend}'
        f"{upstream_status}{attempts}{origin}{_tokens(exchange)}"
        f" timings={total}ms({reading}+{upstream}+{response}){_ours(exchange)}\n"
    ).encode()


def _request(exchange: Exchange) -> str:
    return f"{exchange.method} {one_line.inside_quotes(exchange.path)} {exchange.protocol}"


@functools.lru_cache(maxsize=1024)
def _request_of_api(method: str, path: str, protocol: str) -> str:
    return f"{method} {one_line.inside_quotes(path)} {protocol}"


@functools.lru_cache(maxsize=4096)
def _where(model: str, route: str, server: str, upstream_model: str) -> tuple[str, str]:
    first = (("model_name", model), ("model_route", route), ("model_server", server))
    second = (
        ("backend_type", MODEL_SERVER if server else ""),
        ("backend_name", server),
        ("upstream_model", upstream_model),
    )
    before, after = (
        "".join(f" {name}={quoted(value)}" for name, value in fields if value) for fields in (first, second)
    )
    return before, after


_object_name = functools.lru_cache(maxsize=4096)(quoted)


def _tokens(exchange: Exchange) -> str:
    tokens = exchange.input_tokens or exchange.prompt_estimate
    return f" tokens={tokens}/{exchange.output_tokens}" if tokens or exchange.output_tokens else ""


def _ours(exchange: Exchange) -> str:
    user = f" user={quoted(exchange.user)}" if exchange.user else ""
    ttft = ""
    if exchange.streaming and exchange.first_byte is not None:
        ttft = f" ttft={_milliseconds(exchange.first_byte - exchange.began)}ms"
    client = f" client={quoted(exchange.client)}" if exchange.client else ""
    line = f"{user}{ttft} bytes={exchange.bytes_out}{client}"
    if not exchange.policy:
        return line
    wait = NO_WAIT
    if exchange.queue_time or exchange.queue_position:
        wait = f" queue_time={_milliseconds(exchange.queue_time)}ms queue_position={exchange.queue_position}"
    used = exchange.usage_at_admission
    standing = _standing(exchange.share_at_admission, exchange.policy)
    if used is None:
        return f"{line}{wait}{standing}"
    return f"{line}{wait} usage_at_admission={int(used) if used.is_integer() else used}{standing}"


@functools.lru_cache(maxsize=1024)
def _standing(share: float | None, policy: str) -> str:
    return f" policy={policy}" if share is None else f" share_at_admission={_number(share)} policy={policy}"


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


def timings(exchange: Exchange, now: float) -> tuple[int, int, int, int]:
    """Milliseconds in all, until the body was understood, until the engine was done, and after that.

    As upstream measures them: a request that never reached an engine shows its wait in the third; one whose body was
    not understood is all in the second.
    """
    began = exchange.began
    parsed = exchange.parsed
    ended = exchange.ended
    if ended is None:
        ended = now
    # Half a microsecond, here and below, because 100.812 - 100.0 may be a little less than 0.812.
    total = int((ended - began) * 1000 + 0.0005)
    if not exchange.model:
        return total, total, 0, 0
    forwarded = exchange.forwarded
    if forwarded is None:
        forwarded = parsed
    done = exchange.upstream_ended
    if done is None:
        done = ended
    return (
        total,
        int((parsed - began) * 1000 + 0.0005),
        int((done - forwarded) * 1000 + 0.0005),
        int((ended - done) * 1000 + 0.0005),
    )


def _milliseconds(seconds: float) -> int:
    return int(seconds * 1000 + 0.0005)


def _number(value: float) -> int | float:
    # Thousandths of tokens, and shares as somebody wrote them: what Python writes of them is short, and rounds nothing.
    return int(value) if value.is_integer() else value
