"""What follows when the source has read something: a new snapshot in service, and everyone who must know told."""

from __future__ import annotations

import gc
import logging
import time
from typing import TYPE_CHECKING

from kthena_fast.routing import build, shards
from kthena_fast.telemetry import metrics
from kthena_fast.telemetry.one_line import counted

if TYPE_CHECKING:
    from kthena_fast.gateway.fairness import Fairness
    from kthena_fast.gateway.state import State
    from kthena_fast.routing.snapshot import Pod, Snapshot
    from kthena_fast.sources import Fault, Observation
    from kthena_fast.telemetry.registry import Registry
    from kthena_fast.telemetry.requests import RequestMetrics
    from kthena_fast.upstream.pool import Pool

log = logging.getLogger(__name__)

MOST_FAULTS = 3
"""Told in the detail of a health page."""

UNVERIFIED = "engines speak TLS and UPSTREAM_CA_FILE is not set: their certificates are not verified"


def describe(snapshot: Snapshot) -> str:
    """What is in service, in plain words."""
    words = [
        counted(len(snapshot.table.models), "model"),
        counted(len(snapshot.servers), "ModelServer"),
        counted(len(snapshot.pods), "pod"),
    ]
    if snapshot.rejected:
        words.append(f"{counted(len(snapshot.rejected), 'object')} set aside")
    return ", ".join(words)


class Observer:
    """Takes a source's observations, one at a time, on the loop."""

    def __init__(
        self,
        state: State,
        registry: Registry,
        request_metrics: RequestMetrics,
        pool: Pool,
        fairness: Fairness | None,
        *,
        verifies_engines: bool,
    ) -> None:
        self._state = state
        self._registry = registry
        self._request_metrics = request_metrics
        self._pool = pool
        self._fairness = fairness
        self._verifies_engines = verifies_engines
        """Or has said that it does not."""
        self._said: frozenset[str] = frozenset()
        self._announced: tuple[tuple[object, ...], ...] = ((), ())
        """What was set aside and what is not obeyed, as of the last time."""
        self._told: frozenset[str] = frozenset()
        self._faulty: frozenset[tuple[str, ...]] = frozenset()
        """What was faulty at least once: its metric then says 0, where one that was never says nothing."""

    def observe(self, observation: Observation) -> None:
        """Build a snapshot and put it in service."""
        state = self._state
        was_synced, before = state.synced, state.snapshot
        snapshot = observation.snapshot
        if snapshot is None:
            snapshot = build.build(observation.objects, before, observation.rejected)
        trouble = "; ".join(str(fault) for fault in observation.faults[:MOST_FAULTS])
        if observation.synced:
            state.publish(snapshot)
            state.notice = trouble and f"{trouble}; what was read before serves on"
        elif trouble:
            state.detail = trouble
        came, left = shards.differences(before.pods, state.snapshot.pods)
        self._pool.follow(came, left)
        if self._fairness is not None:
            self._fairness.on_snapshot(state.snapshot, came, left)
        self._request_metrics.retain(snapshot.models(), snapshot.objects.routes, snapshot.objects.servers)
        self._measure(observation)
        self._announce(snapshot, came)
        self._announce_pods(before, snapshot, came, left)
        self._announce_faults(observation.faults, synced=observation.synced)
        if observation.synced and not was_synced:
            # Most of what there is now stays for long: the collector need not look at it again and again.
            gc.freeze()
        # The first one is told as "ready", once everything else is. Pods come and go by the second.
        is_news = was_synced and (
            snapshot.table is not before.table
            or snapshot.objects.servers is not before.objects.servers
            or len(snapshot.rejected) != len(before.rejected)
        )
        level = logging.INFO if is_news else logging.DEBUG
        if log.isEnabledFor(level):
            log.log(level, "in service: %s", describe(snapshot))

    def _measure(self, observation: Observation) -> None:
        snapshot = self._state.snapshot
        rejected: dict[tuple[str, ...], float] = {}
        for rejection in observation.rejected:
            kind = (rejection.kind or metrics.NONE,)
            rejected[kind] = rejected.get(kind, 0.0) + 1.0
        unsupported: dict[tuple[str, ...], float] = {}
        for entry in snapshot.unsupported:
            place = (entry.kind, entry.field)
            unsupported[place] = unsupported.get(place, 0.0) + 1.0
        registry = self._registry
        faults = dict.fromkeys(self._faulty, 0.0)
        for fault in observation.faults:
            faults[fault.resource,] = faults.get((fault.resource,), 0.0) + 1.0
        self._faulty = frozenset(faults)
        registry.family(metrics.SOURCE_FAULTS).replace(faults)
        registry.family(metrics.REJECTED_OBJECTS).replace(rejected)
        registry.family(metrics.UNSUPPORTED_OBJECTS).replace(unsupported)
        registry.value(metrics.SOURCE_RELOADS, "rejected" if observation.rejected else "ok").add(1.0)
        registry.value(metrics.SNAPSHOT_TIMESTAMP).set(time.time())

    def _announce_faults(self, faults: tuple[Fault, ...], *, synced: bool) -> None:
        """Say of each resource when it can no longer be read, and when it can again."""
        meanwhile = "what was read before serves on" if synced else "the gateway is not ready before it was read"
        now: dict[str, Fault] = {}
        for fault in faults:
            now.setdefault(fault.resource, fault)
        for resource, fault in now.items():
            if resource not in self._told:
                log.warning("%s; %s", fault, meanwhile)
        for resource in self._told - now.keys():
            log.info("%s can be read again", resource)
        self._told = frozenset(now)

    def _announce_pods(self, before: Snapshot, snapshot: Snapshot, came: list[Pod], left: list[Pod]) -> None:
        """Say of a ModelServer when its last pod is gone, and when there is one again: others go by the second."""
        for key in sorted({pod.server for pod in (*came, *left)}):
            was, now = (bool(server and server.pods) for server in (before.servers.get(key), snapshot.servers.get(key)))
            if was and not now and key in snapshot.servers:
                log.warning("ModelServer %s has no ready pod left", key)
            elif now and not was and key in before.servers:
                log.info("ModelServer %s has a ready pod", key)

    def _announce(self, snapshot: Snapshot, came: list[Pod]) -> None:
        """Say what is new; what was said at the last change and still holds is not said again."""
        entries = snapshot.rejected, snapshot.unsupported
        if any(now is not said for now, said in zip(entries, self._announced, strict=True)):
            self._announced = entries
            lines = [str(entry) for kind in entries for entry in kind]
            for line in lines:
                if line not in self._said:
                    log.warning("%s", line)
            self._said = frozenset(lines)
        if not self._verifies_engines and any(pod.tls for pod in came):
            log.warning("%s", UNVERIFIED)
            # Once is enough.
            self._verifies_engines = True
