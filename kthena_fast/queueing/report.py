"""What queues tell people: metrics of DESIGN 8 and upstream's, and `/debug/fairness`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kthena_fast.telemetry import metrics

if TYPE_CHECKING:
    from kthena_fast.queueing.turns import Turns
    from kthena_fast.telemetry.registry import Registry

MOST_SHOWN = 1_000
"""Users of one queue that `/debug/fairness` lists."""


class Meter:
    """The metrics of one model's queues, with their slots at hand."""

    __slots__ = (
        "_cancelled",
        "_dequeued",
        "_duration",
        "_full",
        "_inflight",
        "_rebuilds",
        "_rekeys",
        "_rekeys_seen",
        "_size",
        "_table",
        "_timeouts",
        "_user_full",
    )

    def __init__(self, registry: Registry, model: str) -> None:
        everybody = metrics.EVERYBODY
        self._table = registry.table
        self._size = registry.slot(metrics.FAIRNESS_QUEUE_SIZE, model, everybody)
        self._duration = registry.slot(metrics.FAIRNESS_QUEUE_DURATION, model, everybody)
        self._cancelled = registry.slot(metrics.FAIRNESS_QUEUE_CANCELLED, model, everybody)
        self._dequeued = registry.slot(metrics.FAIRNESS_QUEUE_DEQUEUE, model, everybody)
        self._inflight = registry.slot(metrics.FAIRNESS_QUEUE_INFLIGHT, model)
        self._rebuilds = registry.slot(metrics.FAIRNESS_QUEUE_HEAP_REBUILD, model)
        self._rekeys = registry.slot(metrics.FAIRNESS_QUEUE_PRIORITY_REFRESH, model)
        self._rekeys_seen = 0
        self._timeouts = registry.slot(metrics.FAIRNESS_QUEUE_TIMEOUTS, model)
        self._full = registry.slot(metrics.FAIRNESS_REJECTED, model, "queue_full")
        self._user_full = registry.slot(metrics.FAIRNESS_REJECTED, model, "user_queue_full")

    def entered(self) -> None:
        """A request has to wait."""
        self._table.add(self._size, 1.0)

    def left(self) -> None:
        """A request that had to wait waits no more."""
        self._table.add(self._size, -1.0)

    def called(self, waited: float) -> None:
        """A request got its turn, having waited so many seconds (0: it did not have to)."""
        table = self._table
        table.add(self._dequeued, 1.0)
        table.add(self._inflight, 1.0)
        table.observe(self._duration, waited)

    def ended(self) -> None:
        """A request that had its turn is over."""
        self._table.add(self._inflight, -1.0)

    def cancelled(self, waited: float) -> None:
        """A request that had to wait leaves without a turn, for whatever reason."""
        self._table.add(self._cancelled, 1.0)
        self._table.observe(self._duration, waited)

    def timed_out(self) -> None:
        """One of those that leave had waited for as long as it may."""
        self._table.add(self._timeouts, 1.0)

    def rejected(self, reason: str) -> None:
        self._table.add(self._user_full if reason == "user_queue_full" else self._full, 1.0)

    def rebuilt(self) -> None:
        """The window moved on and the queue was put in order anew."""
        self._table.add(self._rebuilds, 1.0)

    def rekeyed(self, total: int) -> None:
        """What one of the model's heaps has counted so far; the meter is that heap's own."""
        self._table.add(self._rekeys, float(total - self._rekeys_seen))
        self._rekeys_seen = total


class Report:
    """Makes the meters, and reads the ledger when somebody scrapes or asks."""

    def __init__(self, registry: Registry, top_users: int) -> None:
        self._registry = registry
        self._top_users = top_users

    def meter(self, model: str) -> Meter:
        return Meter(self._registry, model)

    def watch(self, turns: Turns) -> None:
        """Have each scrape show how service is spread."""
        self._registry.before_scrape(lambda: self._refresh(turns))

    def _refresh(self, turns: Turns) -> None:
        """Only models that have a queue: a name that was removed must not come back as a label."""
        registry, ledger = self._registry, turns.ledger
        gaps: dict[str, float] = {}
        for queue in turns.queues.values():
            queue.meter.rekeyed(queue.heap.rekeyed)
            gaps[queue.model] = max(gaps.get(queue.model, 0.0), queue.heap.gap())
        registry.table.set(registry.slot(metrics.FAIRNESS_EVICTIONS), float(ledger.evictions))
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
