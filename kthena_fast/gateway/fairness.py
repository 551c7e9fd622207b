"""Fairness, put together from its settings: ledger, queues, what teaches them, and what tells of them."""

from __future__ import annotations

import asyncio
import logging
import random
import ssl
import time
from collections.abc import Coroutine, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from kthena_fast.core.ledger import Ledger
from kthena_fast.queueing import gates, shares
from kthena_fast.queueing.estimates import RecentAnswers
from kthena_fast.queueing.report import Report
from kthena_fast.queueing.tariff import Tariff
from kthena_fast.queueing.turns import Timers, Turns
from kthena_fast.scheduling.load import Load
from kthena_fast.scheduling.scraper import Scraper
from kthena_fast.serving import watched

if TYPE_CHECKING:
    from kthena_fast.routing.snapshot import Pod, Snapshot
    from kthena_fast.settings import Settings
    from kthena_fast.telemetry.registry import Registry

log = logging.getLogger(__name__)

REMEMBERED_ANSWERS = 10_000
"""Users whose mean answer is remembered: those who asked last. Whoever is forgotten reserves nothing once."""


class Fairness:
    """The queues of one gateway, and the tasks that keep them informed."""

    def __init__(
        self,
        settings: Settings,
        loop: asyncio.AbstractEventLoop,
        timers: Timers,
        registry: Registry,
        engine_tls: ssl.SSLContext,
    ) -> None:
        """BadShares where FAIRNESS_SHARES_FILE or the weights cannot be obeyed."""
        self._settings = settings
        self._shares_path = Path(settings.fairness_shares_file) if settings.fairness_shares_file else None
        first = shares.EQUAL
        if self._shares_path is not None:
            self._shares_file = watched.Watched(self._shares_path)
            first = shares.read(self._shares_path)
        limit: gates.Limit = gates.Adaptive(settings.fairness_pod_concurrency)
        if settings.fairness_max_concurrent:
            limit = gates.Fixed(settings.fairness_max_concurrent)
        report = Report(registry, settings.fairness_top_users)
        self.turns = Turns(
            loop=loop,
            wall=time.time,
            draw=random.random,
            timers=timers,
            ledger=Ledger(
                settings.fairness_window_size,
                settings.fairness_max_users,
                tops=settings.fairness_top_users,
            ),
            window=settings.fairness_window_size,
            policy=settings.fairness_policy,
            tariff=self._tariff(first),
            limit=limit,
            # Concurrency wins where both are set.
            max_qps=None if settings.fairness_max_concurrent else settings.fairness_max_qps,
            queue_timeout=settings.fairness_queue_timeout,
            max_queue=settings.fairness_max_queue,
            max_queue_per_user=settings.fairness_max_queue_per_user,
            image_tokens=settings.fairness_image_tokens,
            answers=(
                RecentAnswers(min(settings.fairness_max_users, REMEMBERED_ANSWERS))
                if settings.fairness_reserve_output
                else None
            ),
            report=report,
        )
        report.watch(self.turns)
        self.scraper: Scraper | None = None
        if isinstance(limit, gates.Adaptive) and settings.fairness_max_qps is None:
            self.scraper = Scraper(settings.metrics_scrape_interval, engine_tls, timers, self.turns.on_load)
        if self._shares_path is not None:
            self._obey(first)

    @property
    def loads(self) -> Mapping[Pod, Load]:
        """What pods last said of themselves, kept up to date; empty where they are not asked."""
        return self.scraper.loads if self.scraper is not None else {}

    def on_snapshot(self, snapshot: Snapshot, came: Iterable[Pod], left: Iterable[Pod]) -> None:
        """A snapshot is in service, with these pods that were not in the one before, and without those."""
        if self.scraper is not None:
            self.scraper.on_snapshot(snapshot.servers, came, left)
        self.turns.on_snapshot(snapshot, left)

    def start(self) -> list[Coroutine[None, None, None]]:
        """Begin; returns what is to run as tasks for as long as the gateway lives."""
        self.turns.start()
        running: list[Coroutine[None, None, None]] = []
        if self.scraper is not None:
            running.append(self.scraper.run())
        if self._shares_path is not None:
            running.append(watched.keep_looking(self._look_at_shares))
        return running

    def stop(self) -> None:
        self.turns.stop()

    def _look_at_shares(self) -> None:
        """Obey the shares file if it changed; a malformed one leaves what was obeyed before."""
        assert self._shares_path is not None
        if not self._shares_file.changed():
            return
        try:
            self._obey(shares.read(self._shares_path))
        except shares.BadShares as problem:
            if self._shares_file.failed(problem):
                log.warning("%s; the shares that were obeyed before stay", problem)
        else:
            log.info("the shares in %s were reloaded", self._shares_path)

    def _obey(self, read: shares.Shares) -> None:
        self.turns.obey(read, self._tariff(read))

    def _tariff(self, read: shares.Shares) -> Tariff:
        settings = self._settings
        own_input, own_output = read.input_weight, read.output_weight
        token = settings.fairness_priority_token_weight
        try:
            return Tariff.of(
                token * (settings.fairness_input_token_weight if own_input is None else own_input),
                token * (settings.fairness_output_token_weight if own_output is None else own_output),
                settings.fairness_priority_request_num_weight,
            )
        except ValueError as problem:
            raise shares.BadShares(
                f"{problem}: FAIRNESS_PRIORITY_REQUEST_NUM_WEIGHT, or FAIRNESS_PRIORITY_TOKEN_WEIGHT times the weight "
                "of a token"
            ) from problem
