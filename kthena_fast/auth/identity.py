"""Whose request is it: the first of FAIRNESS_USER_SOURCES that gives a name.

`header:NAME` and `body:FIELD` are for operators who trust their clients, since anyone can invent a name; `anonymous` is
the one user that everyone without a name is. An unverified token is never decoded.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import orjson

if TYPE_CHECKING:
    from kthena_fast.exchange.record import Exchange

ANONYMOUS = "anonymous"

LONGEST = 256
"""Characters of a name; longer ones are cut, so that no client fills the ledger with one request."""

Source = Callable[["Exchange"], str | None]


class Identifier:
    """Finds the user of a request; built once from the configured sources."""

    def __init__(self, sources: tuple[str, ...]) -> None:
        self._sources = tuple(_source(source) for source in sources)
        self.trusts_clients = any(source.startswith(("header:", "body:")) for source in sources)
        """Whether names can be invented: worth a line at the start."""

    def of(self, exchange: Exchange) -> str:
        for source in self._sources:
            name = source(exchange)
            if name:
                return name[:LONGEST]
        return ANONYMOUS


def _source(source: str) -> Source:
    kind, _, name = source.partition(":")
    if kind == "header":
        return _header(name.lower().encode("latin-1"))
    if source == "body:user":
        return lambda exchange: exchange.peek.user if exchange.peek is not None else None
    if source == "body:userId":
        return lambda exchange: exchange.peek.user_id if exchange.peek is not None else None
    if kind == "body":
        return _field(name)
    return lambda _: ANONYMOUS


def _header(name: bytes) -> Source:
    def find(exchange: Exchange) -> str | None:
        value = exchange.header(name)
        return value.decode("utf-8", "replace").strip() if value is not None else None

    return find


def _field(name: str) -> Source:
    """Any other field of the body. It is decoded once more for that: only the two usual ones are peeked at."""

    def find(exchange: Exchange) -> str | None:
        if exchange.peek is None:
            return None
        value = orjson.loads(exchange.body).get(name)
        return value if isinstance(value, str) else None

    return find
