"""How the parts of a text line are put together; ``_layout.pxd`` holds the same in C, which the compiled twin takes."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kthena_fast.exchange.record import Exchange


def line(
    exchange: Exchange,
    date: str,
    microsecond: int,
    zone: str,
    request: str,
    failure: str,
    route: str,
    pod: str,
    request_id: str,
    backend: str,
    origin: str,
    tokens_in: int,
    tokens_out: int,
    total: int,
    reading: int,
    upstream: int,
    response: int,
    user: str,
    ttft: int,
    client: str,
    turn: str,
    usage: float | None,
    standing: str,
) -> bytes:
    """The line of a record, with its line end.

    `failure`, `route`, `backend`, `origin`, `turn` and `standing` are whole fields with a blank before them, or empty;
    `pod`, `request_id`, `user` and `client` are values that are fit for a line; times are milliseconds, and -1 for
    `ttft` stands for none.
    """
    fraction = f".{microsecond:06d}".rstrip("0") if microsecond else ""
    selected = f" selected_pod={pod}" if pod else ""
    identity = f" request_id={request_id}" if request_id else ""
    status = f" upstream_status_code={exchange.upstream_status}" if exchange.upstream_status else ""
    attempts = f" upstream_attempts={exchange.attempts}" if exchange.attempts else ""
    tokens = f" tokens={tokens_in}/{tokens_out}" if tokens_in or tokens_out else ""
    who = f" user={user}" if user else ""
    first = f" ttft={ttft}ms" if ttft >= 0 else ""
    origin_of = f" client={client}" if client else ""
    used = "" if usage is None else f" usage_at_admission={int(usage) if usage.is_integer() else usage}"
    return (
        f'[{date}{fraction}{zone}] "{request}" {exchange.status}{failure}{route}{selected}{identity}{backend}{status}'
        f"{attempts}{origin}{tokens} timings={total}ms({reading}+{upstream}+{response}){who}{first}"
        f" bytes={exchange.bytes_out}{origin_of}{turn}{used}{standing}\n"
    ).encode()
