"""`Candidacy`: holds one replica's place in the election for a Lease, request by request.

1. It asks, and writes, every `retry_period`; a follower up to `JITTER` times longer, so that replicas that started
   together do not ask together.
2. A request ends within `REQUEST_TIMEOUT`, so that more than one renewal can fail before the lead does.
3. Who leaves and leads gives the Lease back, within `RELEASE_TIMEOUT`: the next one need not wait for it to run out.
4. What is in the way is said once, until it is another thing or gone.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from kthena_fast.kube import failures
from kthena_fast.sources.kubernetes.status import election
from kthena_fast.sources.kubernetes.status.election import Election, Event

if TYPE_CHECKING:
    from kthena_fast.kube.client import Client

log = logging.getLogger(__name__)

REQUEST_TIMEOUT = 4.0
RELEASE_TIMEOUT = 2.0
JITTER = 1.2
FORBIDDEN_PERIOD = 60.0
"""Seconds between looks while a right is missing."""


def utc_now() -> datetime:
    return datetime.now(UTC)


class Candidacy:
    """`run` until cancelled, then `leave`. Clock, wall and randomness are passed in."""

    def __init__(
        self,
        kube: Client,
        candidate: Election,
        *,
        clock: Callable[[], float],
        wall: Callable[[], datetime] = utc_now,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self._kube = kube
        self._candidate = candidate
        self._clock = clock
        self._wall = wall
        self._pause = pause
        self._draw = draw
        self._collection = f"/apis/{election.API_VERSION}/namespaces/{candidate.namespace}/leases"
        self._path = f"{self._collection}/{candidate.name}"
        self._in_flight = False
        """Whether a write was sent of which it is not known what became."""
        self._led = False
        self._is_forbidden = False
        self._in_the_way = ""

    def leads(self) -> bool:
        """Whether this replica may act now."""
        return self._candidate.leads(self._clock())

    async def run(self) -> None:
        """Take part until cancelled."""
        while True:
            await self.step()
            await self._pause(self._period())

    async def step(self) -> None:
        """Look at the Lease where that is due, and write it where it is ours to write."""
        candidate = self._candidate
        candidate.on_time(self._clock())
        try:
            if candidate.is_unread or not self.leads():
                lease = await self._read()
                candidate.on_read(lease, self._clock())
                self._in_flight = False
            claimed = candidate.claim(self._clock(), self._wall())
            if claimed is not None:
                sent = self._clock()
                candidate.on_taken(await self._write(claimed), sent)
        except failures.ApiError as error:
            self._in_flight = False
            # A Lease that is to be replaced and is not there was deleted meanwhile.
            if error.is_conflict or (error.is_not_found and candidate.holder):
                candidate.on_event(Event.LOST)
            else:
                self._fail(error)
                return
        except failures.Unreachable as error:
            self._fail(error)
            return
        self._in_the_way, self._is_forbidden = "", False
        self._tell()

    async def leave(self) -> None:
        """Give the Lease back where it is ours. Nothing is done after that."""
        candidate = self._candidate
        try:
            async with asyncio.timeout(RELEASE_TIMEOUT):
                if self._in_flight:
                    candidate.on_read(await self._read(), self._clock())
                released = candidate.release(self._wall())
                if released is not None:
                    await self._write(released)
                    log.debug("the Lease %s is given back", self._path)
        except (failures.KubeError, TimeoutError) as error:
            log.debug("the Lease %s is not given back, and will run out: %s", self._path, error)
        finally:
            candidate.on_event(Event.STOPPED)

    async def _read(self) -> Mapping[str, Any] | None:
        try:
            return await self._kube.get(self._path, timeout=REQUEST_TIMEOUT)
        except failures.ApiError as error:
            if error.is_not_found:
                return None
            raise

    async def _write(self, lease: dict[str, Any]) -> Mapping[str, Any]:
        is_new = "resourceVersion" not in lease["metadata"]
        method, path = ("POST", self._collection) if is_new else ("PUT", self._path)
        self._in_flight = True
        written = await self._kube.request(method, path, lease, timeout=REQUEST_TIMEOUT)
        self._in_flight = False
        return written

    def _period(self) -> float:
        terms = self._candidate.terms
        if self.leads():
            return terms.retry_period
        if self._is_forbidden:
            return FORBIDDEN_PERIOD
        return terms.retry_period * (1.0 + JITTER * self._draw())

    def _fail(self, error: failures.KubeError) -> None:
        self._candidate.on_event(Event.FAILED)
        self._is_forbidden = isinstance(error, failures.ApiError) and error.is_forbidden
        what = error.message if isinstance(error, failures.ApiError) else "no answer"
        if what != self._in_the_way:
            self._in_the_way = what
            log.warning("who writes status cannot be settled (Lease %s): %s", self._path, error)
        self._tell()

    def _tell(self) -> None:
        leads = self.leads()
        if leads != self._led:
            self._led = leads
            log.info("this replica %s (Lease %s)", "writes status" if leads else "no longer writes status", self._path)
