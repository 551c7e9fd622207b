"""Engines given by address: `host:port,...`, where a host is a name, an IPv4 address or an IPv6 address in brackets."""

from __future__ import annotations

import ipaddress
import re
from typing import NamedTuple

# What may stand in a Host header and in a log line, and nothing else.
_ENDPOINT = re.compile(
    r"(?:\[(?P<ipv6>[0-9a-fA-F:.]+)\]|(?P<host>[A-Za-z0-9](?:[A-Za-z0-9._-]{0,252})))"
    r":(?P<port>[0-9]{1,5})",
    re.ASCII,
)


MOST = 1_000
"""Endpoints of a ModelServer: about 5 ms to read, in which no request is served."""

MOST_SHOWN = 300
"""Characters of what is no endpoint that are told: a host's name has 253 at most."""


class Endpoint(NamedTuple):
    """`host` is a name or an address, without brackets."""

    host: str
    port: int


def parse(text: str) -> tuple[Endpoint, ...]:
    """The endpoints in their order, each once; ValueError names the first that is not one. Empty text has none.

    Nor are there more than `MOST`.
    """
    if text.count(",") >= MOST:
        raise ValueError(
            f"names more than {MOST:,} endpoints, more than the gateway reads: name them in several ModelServers"
        )
    return tuple(dict.fromkeys(_endpoint(part.strip()) for part in text.split(","))) if text.strip() else ()


def _endpoint(text: str) -> Endpoint:
    found = _ENDPOINT.fullmatch(text)
    if found is not None and 1 <= int(found["port"]) <= 65535:
        if found["host"] is not None:
            return Endpoint(found["host"], int(found["port"]))
        try:
            return Endpoint(str(ipaddress.IPv6Address(found["ipv6"])), int(found["port"]))
        except ipaddress.AddressValueError:
            pass
    shown = text if len(text) <= MOST_SHOWN else f"{text[:MOST_SHOWN]}…"
    raise ValueError(f"{shown!r} is not an endpoint such as 10.0.0.1:8000, engine.local:8000 or [fd00::1]:8000")
