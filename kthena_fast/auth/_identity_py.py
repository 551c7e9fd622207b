"""The source of both twins; `identity` is the contract."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import orjson

if TYPE_CHECKING:
    from kthena_fast.exchange.record import Exchange

ANONYMOUS: Final = "anonymous"

LONGEST: Final = 256
"""Characters of a name; longer ones are cut, so that no client fills the ledger with one request."""

_HEADER: Final = 0
_USER: Final = 1
_USER_ID: Final = 2
_FIELD: Final = 3
_ANONYMOUS: Final = 4


class Identifier:
    """Finds the user of a request; built once from the configured sources."""

    __slots__ = ("_sources", "trusts_clients")

    def __init__(self, sources: tuple[str, ...]) -> None:
        self._sources = [_Source(source) for source in sources]
        self.trusts_clients = any(source.startswith(("header:", "body:")) for source in sources)
        """Whether names can be invented: worth a line at the start."""

    def of(self, exchange: Exchange) -> str:
        for source in self._sources:
            name = source.find(exchange)
            if name:
                return name if len(name) <= LONGEST else name[:LONGEST]
        return ANONYMOUS


class _Source:
    """One entry of FAIRNESS_USER_SOURCES."""

    __slots__ = ("_field", "_header", "_kind")

    def __init__(self, source: str) -> None:
        place, _, name = source.partition(":")
        self._header = name.lower().encode("latin-1") if place == "header" else b""
        self._field = name
        if place == "header":
            self._kind = _HEADER
        elif source == "body:user":
            self._kind = _USER
        elif source == "body:userId":
            self._kind = _USER_ID
        else:
            self._kind = _FIELD if place == "body" else _ANONYMOUS

    def find(self, exchange: Exchange) -> str | None:
        """The name it gives, None or "": it gives none."""
        if self._kind == _ANONYMOUS:
            return ANONYMOUS
        if self._kind == _HEADER:
            header = exchange.header(self._header)
            return header.decode("utf-8", "replace").strip() if header is not None else None
        peeked = exchange.peek
        if peeked is None:
            return None
        if self._kind == _USER:
            return peeked.user
        if self._kind == _USER_ID:
            return peeked.user_id
        # Any other field is decoded once more: only the two usual ones are peeked at.
        value = orjson.loads(exchange.body).get(self._field)
        return value if isinstance(value, str) else None
