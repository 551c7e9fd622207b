"""The header lines of a plain head, of which in C no object is made before somebody asks for one.

A request of ten lines would make twenty objects of them, and most are only copied to the engine. `Fields` knows the
names, which are common ones nearly always, and where in the head each value stands; to whoever goes through it, or
compares it, it is the list of (name, value) that the pure twins have in its place. This is the source of both twins of
it all the same.
"""

from collections.abc import Iterator

from kthena_fast.wire import _spans as spans


class Fields:  # noqa: PLW1641 - compared as a list, and no key of anything
    """Header lines, in their order; names in lower case."""

    __slots__ = ("_listed", "data", "names", "places")

    def __init__(self, data: bytes, names: tuple[bytes, ...], places: bytes) -> None:
        self.data = data
        """The head."""
        self.names = names
        self.places = places
        """Of each value where it begins in ``data`` and how long it is: two numbers of 32 bits, as the machine has
        them."""
        self._listed: list[tuple[bytes, bytes]] | None = None

    def listed(self) -> list[tuple[bytes, bytes]]:
        """As a list, which is made once."""
        listed = self._listed
        if listed is None:
            listed = self._listed = spans.listed(self.data, self.names, self.places)
        return listed

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, at: int) -> tuple[bytes, bytes]:
        return self.listed()[at]

    def __iter__(self) -> Iterator[tuple[bytes, bytes]]:
        return iter(self.listed())

    def __reversed__(self) -> Iterator[tuple[bytes, bytes]]:
        return reversed(self.listed())

    def __eq__(self, other: object) -> bool:
        return self.listed() == (other.listed() if isinstance(other, Fields) else other)

    def __repr__(self) -> str:
        return repr(self.listed())
