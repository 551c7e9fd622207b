"""The synthetic workloads, by the names and numbers of the VTC paper's artifact (https://github.com/Ying1123/VTC-artifact).

Rates are requests a minute. `overload-weighted_2` is the second half of `overload-weighted`, told apart as
`poisson_short_long_2` is.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Final, NamedTuple

from kthena_fast.simulator.arrivals import (
    MINUTE,
    Client,
    Spacing,
    Workload,
    arrivals_of,
    even,
    in_turn,
    on_off,
    poisson,
    rising,
)


class Demand(NamedTuple):
    """What one client asks for."""

    spacing: Spacing
    tokens_in: int = 256
    tokens_out: int = 256
    share: float = 1.0


def _even(rates: Sequence[float], minutes: int, shares: Sequence[float] = ()) -> list[Demand]:
    spacings = [even(rate, 0, minutes * 60) for rate in rates]
    return [Demand(spacing, share=share) for spacing, share in zip(spacings, shares or [1.0] * len(rates), strict=True)]


_DIST_SHIFT: Final = [
    Demand(in_turn(on_off(even(30, 0, 300), 60), even(60, 300, 600), even(30, 600, 900))),
    Demand(in_turn(even(120, 0, 300), even(60, 300, 600), even(90, 600, 900))),
]

SYNTHETIC: Final[dict[str, tuple[int, list[Demand]]]] = {
    "overload": (6, _even([90, 180], 6)),
    "proportional": (10, _even([15, 30, 90], 10)),
    "on_off_less": (10, [Demand(on_off(even(30, 0, 600), 60)), Demand(even(120, 0, 600))]),
    "on_off_overload": (10, [Demand(on_off(even(120, 0, 600), 60)), Demand(even(180, 0, 600))]),
    "poisson_short_long": (10, [Demand(poisson(480, 0, 600), 64, 64), Demand(poisson(90, 0, 600))]),
    "poisson_short_long_2": (10, [Demand(poisson(480, 0, 600), 512, 32), Demand(poisson(90, 0, 600), 32, 512)]),
    "increase": (10, [Demand(even(30, 0, 600)), Demand(rising(12, 120, 0, 600))]),
    "dist_shift": (15, _DIST_SHIFT),
    "overload-multi": (6, _even([24] * 3 + [36] * 5, 6)),
    "overload-weighted": (6, _even([24, 48, 72, 96], 6, [1, 2, 3, 4])),
    "overload-weighted_2": (6, _even([48, 48, 72, 96], 6, [1, 2, 3, 4])),
}
"""Minutes, and what each client asks for."""


def synthetic(name: str, seed: int) -> Workload:
    """One of `SYNTHETIC`; the same seed gives the same requests, whichever others are made."""
    minutes, demands = SYNTHETIC[name]
    clients = tuple(Client(f"c{number}", demand.share) for number, demand in enumerate(demands, 1))
    arrivals = [
        arrival
        for number, demand in enumerate(demands)
        for arrival in arrivals_of(
            number,
            demand.spacing,
            demand.tokens_in,
            demand.tokens_out,
            # Not for secrets; and a string, because it seeds alike in every Python.
            random.Random(f"{seed} {name} {number}"),  # noqa: S311
        )
    ]
    return Workload(name, clients, tuple(sorted(arrivals)), minutes * MINUTE)
