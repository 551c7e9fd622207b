"""The line of a plain request in the access log."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from kthena_fast.telemetry import _text_line_py as text_line
from kthena_fast.telemetry import one_line

if TYPE_CHECKING:
    from kthena_fast.gateway.interpreted.flight import Flight

_PLAIN: Final = re.compile("[!#-~]{3,1024}")


def text(flight: Flight, status: int, read: int, produced: int, size: int) -> bytes | None:
    """What `text_line.text` makes of its record; None: another format is wanted, or a value is not plain."""
    client, pod, user, names = flight.lane._peer, flight.pod.name, flight.user, flight.match.names
    if (
        names is None
        or names._server != flight.server.key
        or names._upstream_model != flight.upstream_model
        or flight.lane._journey._access_log._line is not text_line.text
        or not (client and pod)
        or _PLAIN.fullmatch(client + pod + user) is None
    ):
        return None
    began, parsed, ended, turn = flight.began, flight.since, flight.ended, ""
    ticks = int(flight.wall * 1e6 + 0.5)
    second = ticks // 1_000_000
    microsecond = ticks - second * 1_000_000
    date, zone = one_line.of_second(second)
    fraction = f".{microsecond:06d}".rstrip("0") if microsecond else ""
    if flight.gate is not None:
        usage = flight.usage
        turn = (
            f"{text_line.NO_WAIT} usage_at_admission={int(usage) if usage.is_integer() else usage}"
            f" share_at_admission=1 policy={flight._terms.turns.policy}"
        )
    return (
        f'[{date}{fraction}{zone}] "POST {flight.asked.path} HTTP/1.1" {status}{names.route} selected_pod={pod}'
        f" request_id={flight.request_id.decode()}{names.backend} upstream_status_code={status} upstream_attempts=1"
        f" tokens={read or flight._input}/{produced} timings={int((ended - began) * 1000 + 0.0005)}ms"
        f"({int((parsed - began) * 1000 + 0.0005)}+{int((ended - parsed) * 1000 + 0.0005)}+0) user={user} bytes={size}"
        f" client={client}{turn}\n"
    ).encode()
