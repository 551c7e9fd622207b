"""What service costs, in units: tokens times integer weights over one common denominator, so that sums never drift."""

from __future__ import annotations

from typing import Final

DENOMINATOR: Final = 1_000
"""Weights are taken to a thousandth. It is the same for all weights, so that weights may change while users have
service: what was charged before stays what it was."""

MOST: Final = 1_000_000
"""The largest weight."""


class Tariff:
    """The weights of one gateway. `service(units)` is weighted tokens, as people read it."""

    __slots__ = ("input_weight", "output_weight", "request_weight")

    denominator: Final = DENOMINATOR

    def __init__(self, input_weight: int, output_weight: int, request_weight: int) -> None:
        self.input_weight = input_weight
        """Units of one input token; the other two likewise."""
        self.output_weight = output_weight
        self.request_weight = request_weight

    @classmethod
    def of(cls, input_weight: float, output_weight: float, request_weight: float = 0.0) -> Tariff:
        """The tariff of weights from 0 to MOST, not all of them 0; ValueError for others.

        A weight above 0 is at least a thousandth.
        """
        if not (input_weight or output_weight or request_weight):
            raise ValueError("a weight must be above 0, since otherwise nothing that users do counts")
        return cls(_units(input_weight), _units(output_weight), _units(request_weight))

    def input_units(self, tokens: int) -> int:
        return self.input_weight * tokens

    def output_units(self, tokens: int) -> int:
        return self.output_weight * tokens

    def service(self, units: float) -> float:
        """Weighted tokens of units."""
        return units / DENOMINATOR

    def __repr__(self) -> str:
        return f"<Tariff input={self.input_weight} output={self.output_weight} request={self.request_weight}>"


def _units(weight: float) -> int:
    if not 0 <= weight <= MOST:
        raise ValueError(f"a weight must be from 0 to {MOST}, not {weight!r}")
    return max(round(weight * DENOMINATOR), 1) if weight else 0
