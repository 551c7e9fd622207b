"""Writes conditions into the status of ModelRoutes and ModelServers while this replica leads.

1. It follows the snapshots in service from the side: it looks at the newest at most once a second, in pieces, and asks
   nothing of whoever serves requests. A replica that does not lead looks at nothing and keeps nothing.
2. At the beginning of a lead, and every `REVIEW_EVERY` seconds, what stands is read in lists: only what differs is
   written, in one request, so a new leader writes nothing where the one before it was done. Between, an object is read
   and written when something else is found of it.
3. Objects are written one after the other, at most `RATE` a second, `BURST` at once. Before a write it waits as long
   as the request before took, so of an API server that is slow less is asked. Changes that come meanwhile to an object
   that waits cost nothing more, and no object is written again and again (`line`).
4. A kind whose status the CRD prunes is left alone, which is said once; at each review one object of it is tried, for
   the CRD may be another by now, and when its status is kept, all are written, and that is said. A kind for which a
   right is missing, or that has no status to write, or whose status is refused, is left alone until the next review;
   that is said once too. One object that is refused, under a CRD that has changed since it was stored, say, is no kind.
5. While the API server is away, or asks for patience, everything waits: up to `MAX_DELAY`, jittered; then there is no
   burst.
"""

from __future__ import annotations

import asyncio
import logging
import math
import random
from collections.abc import Awaitable, Callable, Iterable
from datetime import datetime
from typing import TYPE_CHECKING, TypeVar

from kthena_fast.kube import failures
from kthena_fast.kube.backoff import Backoff
from kthena_fast.kube.bucket import Bucket
from kthena_fast.routing.findings import Finding, Identity
from kthena_fast.sources.kubernetes.status import update
from kthena_fast.sources.kubernetes.status.lease import utc_now
from kthena_fast.sources.kubernetes.status.review import Review
from kthena_fast.sources.kubernetes.status.term import Stopped, Term, generation, number
from kthena_fast.sources.kubernetes.status.update import Outcome, Prepared
from kthena_fast.telemetry import metrics

if TYPE_CHECKING:
    from kthena_fast.kube.client import Client, Object
    from kthena_fast.routing.snapshot import Snapshot
    from kthena_fast.telemetry.registry import Registry

log = logging.getLogger(__name__)

T = TypeVar("T")

RATE = 50.0
BURST = 500
"""Most clusters have no more objects; they are written in seconds."""
REQUESTS_SHARE = 0.5
"""Of the time that a request of ours may be under way."""
AHEAD = 500
"""Objects that wait to be written when no further page of a list is read."""
LOOK_EVERY = 1.0
LOOK_SHARE = 0.02
"""Of the loop's time that looks may take: with many routes that change all the time they come less often."""
REVIEW_EVERY = 600.0
FIRST_DELAY = 1.0
MAX_DELAY = 60.0
PIECE = 25
"""Objects of a list that are compared without a pause: about a millisecond."""

PRUNED = (
    "the CRD of %s has no place for conditions, so the API server drops them: its status is not written. "
    "`kthena-fast crds` prints the CRDs that have"
)
KEPT = "the CRD of %s has a place for conditions now: its status is written"
STOPPED: dict[Stopped, str] = {
    "forbidden": "the status of %s is not written, for a right is missing: %s",
    "refused": "the status of %s is not written, for the API server refuses it: %s",
    "absent": "the status of %s is not written, for it is not there: %s",
}


class Writer:
    """`run` until cancelled. `leads` and `snapshot` are asked whenever it matters; clock and wall are passed in."""

    def __init__(
        self,
        kube: Client,
        registry: Registry,
        *,
        leads: Callable[[], bool],
        snapshot: Callable[[], Snapshot | None],
        namespaces: Iterable[str] = (),
        clock: Callable[[], float],
        wall: Callable[[], datetime] = utc_now,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self._kube = kube
        self._registry = registry
        self._leads = leads
        self._snapshot = snapshot
        self._namespaces = tuple(namespaces) or ("",)
        self._clock = clock
        self._wall = wall
        self._pause = pause
        self._bucket = Bucket(RATE, BURST, clock())
        self._rest_until = -math.inf
        self._backoff = Backoff(FIRST_DELAY, MAX_DELAY, draw)
        self._pruned: set[str] = set()
        self._said: set[tuple[str, Stopped]] = set()
        self._term: Term | None = None
        registry.before_scrape(self._measure)

    async def run(self) -> None:
        """Write for as long as it runs, whenever this replica leads."""
        while True:
            await self._pause(await self.turn())

    async def turn(self) -> float:
        """Do what is to be done now; the seconds until there may be more."""
        if not self._leads():
            self._term = None
            return LOOK_EVERY
        snapshot = self._snapshot()
        if snapshot is None:
            return LOOK_EVERY
        if self._term is None:
            self._term = Term()
        term = self._term
        try:
            await self._look(term, snapshot)
            wait = 0.0
            while not wait:
                await self._review(term)
                wait = await self._write(term)
        except failures.KubeError as error:
            return self._delay(error)
        self._backoff.succeed()
        return min(wait, LOOK_EVERY)

    async def _look(self, term: Term, snapshot: Snapshot) -> None:
        """Take in what is in service."""
        if snapshot is term.looked_at or self._clock() < term.look_at:
            return
        spent, began = 0.0, self._clock()
        # What was never looked at is read in lists.
        note = term.unread.add if term.looked_at is None else term.line.add
        for changed in term.findings.look(snapshot):
            for identity in changed:
                note(identity)
            spent += self._clock() - began
            await asyncio.sleep(0)
            began = self._clock()
        term.looked_at = snapshot
        term.look_at = self._clock() + max(LOOK_EVERY, spent / LOOK_SHARE)

    async def _review(self, term: Term) -> None:
        """Read what stands: what is as it should be need not be looked at one by one."""
        now = self._clock()
        if term.review is None:
            if now < term.review_at:
                return
            term.review = Review(self._kube, self._namespaces)
            term.review_at = now + REVIEW_EVERY
            term.stopped.clear()
            term.allowances.forget_unused(now)
            term.trying = set(self._pruned)
        review = term.review
        # Of a kind that is tried, one that differs is enough for now.
        while review.kind and term.line.waiting < (1 if review.kind in term.trying else AHEAD) and self._leads():
            try:
                kind, items = await self._timed(review.part())
            except failures.ApiError as error:
                if not self._stop(term, review.kind, error):
                    raise
                review.skip(review.kind)
            else:
                await self._compare(term, kind, items)
        if not review.kind:
            term.review = None
            # They were in no list: gone, or made meanwhile.
            for identity in term.unread:
                term.line.add(identity)
            term.unread.clear()

    async def _compare(self, term: Term, kind: str, items: list[Object]) -> None:
        now = self._wall()
        for count, obj in enumerate(items, start=1):
            meta = obj["metadata"]
            identity = Identity(kind, f"{meta['namespace']}/{meta['name']}")
            finding = term.findings.get(identity)
            if finding is not None:
                term.unread.discard(identity)
                self._note(term, identity, finding, update.prepared(finding, obj, now))
            if count % PIECE == 0:
                await asyncio.sleep(0)

    def _note(self, term: Term, identity: Identity, finding: Finding, found: Outcome | Prepared) -> None:
        """An object was read in a list."""
        if found is Outcome.STANDS:
            # Be it that another replica wrote it.
            self._keep(term, identity.kind)
            term.settle(identity, finding)
        elif isinstance(found, Prepared):
            term.line.add(identity, found)
            term.prepared_for[identity] = number(finding)
            term.standing.pop(identity, None)
        else:
            # The watch brings what was read, and with it another finding.
            self._count(identity.kind, found)

    async def _write(self, term: Term) -> float:
        """Write what waits, as far as the rate allows; the seconds until there may be more, 0 for at once."""
        passed_over = 0
        while self._leads() and (identity := term.line.first(self._clock())) is not None:
            finding = term.findings.get(identity)
            if finding is None or self._is_stopped(term, identity.kind) or term.stands(identity, finding):
                term.forget(identity)
                passed_over += 1
                if passed_over % PIECE == 0:
                    await asyncio.sleep(0)
                continue
            now = self._clock()
            wait = max(self._rest_until - now, self._bucket.wait(now))
            if wait > 0:
                return wait
            held = term.allowances.take(identity, generation(finding), now)
            if held:
                term.hold(identity, now + held)
                continue
            self._bucket.take(now)
            # Its turn is over; where it has to come again it is put behind the others.
            await self._update(term, identity, finding, term.take(identity, finding))
            if term.review is not None and term.line.waiting < AHEAD:
                return 0.0
        # What had a place and needs none made room for more of the lists.
        return 0.0 if passed_over and term.review is not None else LOOK_EVERY

    async def _update(self, term: Term, identity: Identity, finding: Finding, change: Prepared | None) -> None:
        kind = identity.kind
        try:
            outcome = await self._timed(self._written(identity, finding, change))
        except failures.ApiError as error:
            if error.is_not_found:
                # It is gone, and the next snapshot will say so.
                self._count(kind, "gone")
                return
            if error.is_conflict:
                self._count(kind, "conflict")
                term.line.add(identity)
                return
            self._count(kind, "failed")
            if error.status in (400, 422) and term.is_of_one(kind):
                return
            if not self._stop(term, kind, error):
                term.line.add(identity)
                raise
            return
        except (failures.Unreachable, asyncio.CancelledError):
            term.line.add(identity)
            self._count(kind, "failed")
            raise
        self._count(kind, outcome)
        if outcome is Outcome.PRUNED:
            self._leave(term, kind)
        elif outcome is not Outcome.STALE:
            self._keep(term, kind)
            term.taken.add(kind)
            term.settle(identity, finding)

    async def _written(self, identity: Identity, finding: Finding, change: Prepared | None) -> Outcome:
        """Read the object, unless that was done, and write it."""
        if change is None:
            found = update.prepared(finding, await update.read(self._kube, identity), self._wall())
            if isinstance(found, Outcome):
                return found
            change = found
        # The last moment: the lead may have ended meanwhile.
        return await update.write(self._kube, identity, change) if self._leads() else Outcome.STALE

    async def _timed(self, requests: Awaitable[T]) -> T:
        """Note how long it took, and so how long nothing else is to be asked."""
        began = self._clock()
        try:
            return await requests
        finally:
            ended = self._clock()
            self._rest_until = max(self._rest_until, ended + (ended - began) * (1.0 / REQUESTS_SHARE - 1.0))

    def _leave(self, term: Term, kind: str) -> None:
        """The CRD of a kind prunes its status."""
        term.trying.discard(kind)
        if term.review is not None:
            term.review.skip(kind)
        if kind not in self._pruned:
            self._pruned.add(kind)
            log.warning(PRUNED, kind)

    def _keep(self, term: Term, kind: str) -> None:
        """The CRD of a kind keeps its status."""
        if kind in self._pruned:
            self._pruned.discard(kind)
            term.trying.discard(kind)
            log.info(KEPT, kind)

    def _is_stopped(self, term: Term, kind: str) -> bool:
        return (kind in self._pruned and kind not in term.trying) or kind in term.stopped

    def _stop(self, term: Term, kind: str, error: failures.ApiError) -> bool:
        """Leave a kind alone where its API will give the same answer again; whether it does."""
        why: Stopped
        if error.is_forbidden:
            why = "forbidden"
        elif error.is_not_found:
            why = "absent"
        elif error.status in (400, 405, 413, 415, 422):
            why = "refused"
        else:
            return False
        term.stopped[kind] = why
        if (kind, why) not in self._said:
            self._said.add((kind, why))
            log.warning(STOPPED[why], kind, error.message)
        return True

    def _delay(self, error: failures.KubeError) -> float:
        """How long the API server is left alone."""
        self._bucket.drain(self._clock())
        # A list of which the rest was forgotten is begun anew.
        if not self._backoff.failed and not (isinstance(error, failures.ApiError) and error.is_gone):
            log.warning("status cannot be written for now: %s", error)
        asked = error.retry_after if isinstance(error, failures.ApiError) else None
        return max(self._backoff.fail(), min(asked or 0.0, MAX_DELAY))

    def _count(self, kind: str, result: str) -> None:
        self._registry.value(metrics.STATUS_UPDATES, kind, result).add(1.0)

    def _measure(self) -> None:
        term = self._term
        stopped: dict[str, str] = {
            **(term.stopped if term is not None else {}),
            **dict.fromkeys(self._pruned, "pruned"),
        }
        registry = self._registry
        registry.family(metrics.STATUS_STOPPED).replace(dict.fromkeys(stopped.items(), 1.0))
        registry.value(metrics.STATUS_LEADER).set(float(self._leads()))
        registry.value(metrics.STATUS_PENDING).set(term.waiting() if term is not None else 0)
