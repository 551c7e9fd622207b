"""What queues tell people: metrics of DESIGN 8 and upstream's, and `/debug/fairness`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kthena_fast.queueing.queue import Meter
from kthena_fast.telemetry import metrics

if TYPE_CHECKING:
    from kthena_fast.queueing.turns import Turns
    from kthena_fast.telemetry.registry import Registry

MOST_SHOWN = 1_000
"""Users of one queue that `/debug/fairness` lists."""


class Report:
    """Makes the meters, and reads the ledger when somebody scrapes or asks."""

    def __init__(self, registry: Registry, top_users: int) -> None:
        self._registry = registry
        self._top_users = top_users

    def meter(self, model: str, rebuilds: int) -> Meter:
        """`rebuilds`: as `Turns.rebuilds` has them."""
        return Meter(self._registry, model, rebuilds)

    def watch(self, turns: Turns) -> None:
        """Have each scrape show how service is spread."""
        self._registry.before_scrape(lambda: self._refresh(turns))

    def _refresh(self, turns: Turns) -> None:
        """Only models that have a queue: a name that was removed must not come back as a label."""
        registry, ledger = self._registry, turns.ledger
        gaps: dict[str, float] = {}
        for queue in turns.queues.values():
            queue.meter.rebuilt(turns.rebuilds)
            queue.meter.rekeyed(queue.heap.rekeyed)
            gaps[queue.model] = max(gaps.get(queue.model, 0.0), queue.heap.gap())
        registry.value(metrics.FAIRNESS_EVICTIONS).set(ledger.evictions)
        registry.family(metrics.FAIRNESS_MAX_GAP).replace(
            {(model,): turns.tariff.service(gap) for model, gap in gaps.items()}
        )
        registry.family(metrics.FAIRNESS_USERS).replace({(model,): float(ledger.users(model)) for model in gaps})
        registry.family(metrics.FAIRNESS_JAIN_INDEX).replace({(model,): ledger.jain(model) for model in gaps})
        registry.family(metrics.FAIRNESS_TOP_USER).replace(
            {
                (model, str(rank), user): turns.tariff.service(units)
                for model in gaps
                for rank, (user, units) in enumerate(ledger.heaviest(model, self._top_users), 1)
            }
        )


def document(turns: Turns, now: float, model: str | None = None, user: str | None = None) -> dict[str, Any]:
    """`/debug/fairness`: the queues as they stand, users in the order in which they would be called.

    `now` is the loop's clock. `usage` and `key` are weighted tokens; `key` is what orders the user: usage (or the
    virtual counter) by share.
    """
    return {
        "policy": turns.policy,
        "windowSeconds": turns.window,
        "queues": [
            {
                "model": queue.model,
                "targets": [{"name": target.name, "weight": target.weight} for target in queue.match.targets],
                "waiting": len(queue.heap),
                "meanSecondsBetweenTurns": queue.interval,
                "bytesPerToken": queue.ratios.bytes_per_token,
                "tokensPerEvent": queue.ratios.tokens_per_event,
                "users": [
                    dict(standing)
                    | {
                        "usage": turns.tariff.service(standing["usage"]),
                        "key": turns.tariff.service(standing["key"]),
                    }
                    for standing in queue.heap.standings(MOST_SHOWN if user is None else queue.heap.users, turns.wall())
                    if user is None or standing["user"] == user
                ],
            }
            for queue in turns.queues.values()
            if model is None or queue.model == model
        ],
        "permits": [
            {"modelServer": gate.key, "out": gate.out, "limit": gate.limit(now)}
            for _, gate in sorted(turns.server_gates.items())
        ],
        "service": [
            entry
            for each in sorted({queue.model for queue in turns.queues.values()})
            if model is None or each == model
            for entry in _service(turns, each, user)
        ],
    }


def _service(turns: Turns, model: str, user: str | None) -> list[dict[str, Any]]:
    """What the window holds: of one user, or of the heaviest whose names are kept."""
    if user is None:
        return [
            {"model": model, "user": name, "usage": turns.tariff.service(units)}
            for name, units in turns.ledger.heaviest(model, MOST_SHOWN)
        ]
    # Held by nobody here: it would count as a request, and nothing else happens meanwhile.
    row = turns.ledger.find(model, user)
    if row < 0:
        return []
    return [
        {
            "model": model,
            "user": user,
            "usage": turns.tariff.service(turns.ledger.service(row, turns.wall())),
            "share": turns.ledger.share(row),
            "class": turns.ledger.rank(row),
            "inFlight": turns.ledger.in_flight(row),
        }
    ]
