"""A mapping in parts, of which a copy costs those parts that changed since the copy before.

Ten thousand pods in one dict would be copied, and looked through by Python's collector while the copy is young, for
every pod that comes or goes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, ValuesView
from itertools import chain
from typing import Any, TypeVar

V = TypeVar("V")

SHARDS = 64
"""A power of two."""


class _Values(ValuesView[V]):
    """The values, part by part, without asking for each by its key."""

    __slots__ = ("_parts",)

    def __init__(self, mapping: Shards[V]) -> None:
        super().__init__(mapping)
        self._parts = mapping._parts

    def __iter__(self) -> Iterator[V]:
        return chain.from_iterable(part.values() for part in self._parts)


class Shards(Mapping[str, V]):
    """A mapping over parts, each key in that of its hash; who holds it does not change it."""

    __slots__ = ("_parts",)

    def __init__(self, parts: Sequence[dict[str, V]]) -> None:
        self._parts = parts

    def __getitem__(self, key: str) -> V:
        return self._parts[hash(key) & SHARDS - 1][key]

    def get(self, key: str, default: Any = None) -> Any:
        return self._parts[hash(key) & SHARDS - 1].get(key, default)

    def __contains__(self, key: object) -> bool:
        return key in self._parts[hash(key) & SHARDS - 1]

    def __iter__(self) -> Iterator[str]:
        return chain.from_iterable(self._parts)

    def values(self) -> ValuesView[V]:
        return _Values(self)

    def __len__(self) -> int:
        return sum(map(len, self._parts))

    def __repr__(self) -> str:
        return f"<Shards {dict(self)}>"


def differences(before: Mapping[str, V], now: Mapping[str, V]) -> tuple[list[V], list[V]]:
    """What came and what left from one mapping to another one, by identity: of two copies of one `Kept`, only those
    parts are looked at that changed."""
    if not isinstance(before, Shards) or not isinstance(now, Shards):
        return _missing_from(before, now), _missing_from(now, before)
    came: list[V] = []
    left: list[V] = []
    for old, new in zip(before._parts, now._parts, strict=True):
        if old is not new:
            came += _missing_from(old, new)
            left += _missing_from(new, old)
    return came, left


def _missing_from(one: Mapping[str, V], other: Mapping[str, V]) -> list[V]:
    return [value for key, value in other.items() if one.get(key) is not value]


class Kept(Shards[V]):
    """A mapping that changes, and copies of it that do not."""

    __slots__ = ("_copy", "_stale")

    def __init__(self) -> None:
        super().__init__([{} for _ in range(SHARDS)])
        self._stale: set[int] = set()
        self._copy: Shards[V] = Shards([{} for _ in range(SHARDS)])

    def put(self, key: str, value: V) -> None:
        place = hash(key) & SHARDS - 1
        self._parts[place][key] = value
        self._stale.add(place)

    def drop(self, key: str) -> V | None:
        """What there was, if anything."""
        place = hash(key) & SHARDS - 1
        if key not in self._parts[place]:
            return None
        self._stale.add(place)
        return self._parts[place].pop(key)

    def copy(self) -> Shards[V]:
        """It as it is now; the same object as before where nothing changed."""
        if self._stale:
            parts = list(self._copy._parts)
            for place in self._stale:
                parts[place] = dict(self._parts[place])
            self._copy = Shards(parts)
            self._stale.clear()
        return self._copy
