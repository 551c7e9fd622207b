"""What a list holds, for the stores of a `reflector`: whatever is not in it is gone."""

from __future__ import annotations


class Listed:
    """The names that come between `begin` and `settle`. What a watch brings outside of these is not collected."""

    __slots__ = ("_names",)

    def __init__(self) -> None:
        self._names: set[str] | None = None

    def begin(self) -> None:
        """A list begins, or begins anew."""
        self._names = set()

    def note(self, name: str) -> None:
        """It is there."""
        # A watch goes on for weeks, in which very many may come and go.
        if self._names is not None:
            self._names.add(name)

    def settle(self) -> set[str]:
        """The list is complete: what it held."""
        names, self._names = self._names or set(), None
        return names
