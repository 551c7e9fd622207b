"""The largest difference of service between two clients over any time in which both wait.

1. For two clients that have waited without a pause since t0, D(t) is what one was served per share less what the other
   was. The largest |W_f(t1, t2) - W_g(t1, t2)| over t0 <= t1 <= t2 is the largest D less the smallest. That of the run
   is the largest of all pairs and all such times.
2. It is looked at whenever the queue or the set of those who run changes. In between, everyone's service grows by
   the same amount in each step, so D has its extremes at the ends.
3. Clients of different classes are not compared. Beyond `MOST` clients, those who ask for most are.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from kthena_fast.simulator.arrivals import Client

MOST: Final = 256


class Gaps:
    __slots__ = ("_backlogged", "_comparable", "_highest", "_lowest", "_shares", "_waiting", "_watched", "widest")

    def __init__(self, clients: Sequence[Client], demands: Sequence[int]) -> None:
        """``demands``: the units that each client asks for in all."""
        most = sorted(range(len(clients)), key=lambda client: (-demands[client], client))[:MOST]
        self._watched: dict[int, int] = {client: place for place, client in enumerate(most)}
        count = len(most)
        ranks = np.array([clients[client].rank for client in most])
        self._shares = np.array([clients[client].share for client in most])
        self._comparable: npt.NDArray[np.bool_] = ranks[:, None] == ranks[None, :]
        self._backlogged = np.zeros(count, dtype=np.bool_)
        self._lowest = np.zeros((count, count))
        self._highest = np.zeros((count, count))
        self._waiting = 0
        self.widest = 0.0
        """Units per share, of all times that are over; `close` ends those that are not."""

    def begin(self, client: int, served: Sequence[int]) -> None:
        """A client begins to wait; ``served`` is what all were served so far, in units."""
        place = self._watched.get(client)
        if place is None:
            return
        services = self._services(served)
        differences = services[place] - services
        self._lowest[place, :] = self._highest[place, :] = differences
        self._lowest[:, place] = self._highest[:, place] = -differences
        self._backlogged[place] = True
        self._waiting += 1

    def observe(self, served: Sequence[int]) -> None:
        """What was served has changed."""
        if self._waiting < 2:
            # Nobody is compared, and who begins to wait is compared from then on.
            return
        services = self._services(served)
        differences = services[:, None] - services[None, :]
        np.minimum(self._lowest, differences, out=self._lowest)
        np.maximum(self._highest, differences, out=self._highest)

    def end(self, client: int) -> None:
        """A client waits no longer; what was served until now has been observed."""
        place = self._watched.get(client)
        if place is None:
            return
        others = self._backlogged & self._comparable[place]
        self.widest = max(self.widest, float((self._highest[place] - self._lowest[place])[others].max()))
        self._backlogged[place] = False
        self._waiting -= 1

    def close(self) -> None:
        for client, place in self._watched.items():
            if self._backlogged[place]:
                self.end(client)

    def _services(self, served: Sequence[int]) -> npt.NDArray[np.float64]:
        amounts = np.array([served[client] for client in self._watched], dtype=np.float64)
        services: npt.NDArray[np.float64] = amounts / self._shares
        return services
