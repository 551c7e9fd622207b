"""The largest difference while both wait, against one that looks at every pair of moments."""

import random
from itertools import combinations

import pytest

from kthena_fast.simulator import gaps
from kthena_fast.simulator.arrivals import Client


class Naive:
    """Keeps all that was served since each began to wait, and compares every two moments of every two clients."""

    def __init__(self, clients: list[Client]) -> None:
        self.clients = clients
        self.since: dict[int, int] = {}
        self.history: list[list[int]] = []
        self.widest = 0.0

    def observe(self, served: list[int]) -> None:
        self.history.append(list(served))

    def begin(self, client: int, served: list[int]) -> None:
        self.observe(served)
        self.since[client] = len(self.history) - 1

    def end(self, client: int) -> None:
        for other in self.since:
            if self.clients[client].rank == self.clients[other].rank:
                both = self.history[max(self.since[client], self.since[other]) :]
                for earlier, later in combinations(both, 2):
                    service, other_service = (
                        (later[one] - earlier[one]) / self.clients[one].share for one in (client, other)
                    )
                    self.widest = max(self.widest, abs(service - other_service))
        del self.since[client]

    def close(self) -> None:
        for client in list(self.since):
            self.end(client)


@pytest.mark.parametrize("seed", range(20))
def test_it_is_what_comparing_every_two_moments_finds(seed: int) -> None:
    draw = random.Random(seed)
    clients = [Client(f"c{number}", draw.choice([1.0, 2.0, 0.5]), draw.choice([0, 0, 1])) for number in range(4)]
    judged, naive = gaps.Gaps(clients, [1] * 4), Naive(clients)
    served = [0] * 4
    for _ in range(60):
        client = draw.randrange(4)
        action = draw.random()
        if action < 0.6:
            served[client] += draw.randrange(100)
            judged.observe(served)
            naive.observe(served)
        elif client in naive.since:
            judged.end(client)
            naive.end(client)
        else:
            judged.begin(client, served)
            naive.begin(client, served)
    judged.close()
    naive.close()
    assert judged.widest == pytest.approx(naive.widest)


def test_nobody_differs_from_himself_and_nobody_from_who_does_not_wait() -> None:
    judged = gaps.Gaps([Client("c1"), Client("c2")], [1, 1])
    served = [0, 0]
    judged.begin(0, served)
    served[1] = 1000
    judged.observe(served)
    judged.close()
    assert judged.widest == 0


def test_beyond_the_most_that_are_watched_those_who_ask_for_least_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gaps, "MOST", 2)
    judged = gaps.Gaps([Client("c1"), Client("c2"), Client("c3")], [5, 1, 7])
    served = [0, 0, 0]
    for client in range(3):
        judged.begin(client, served)
    served[1] = 1000
    judged.observe(served)
    served[2] = 10
    judged.observe(served)
    judged.end(1)
    judged.close()
    assert judged.widest == 10
