"""The source of both twins; `access_log` is the contract."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kthena_fast.telemetry import access_line, metrics, writer

if TYPE_CHECKING:
    from kthena_fast.exchange.record import Exchange
    from kthena_fast.telemetry.registry import Registry

PREFIX = "/v1/"


class AccessLog:
    """The access log of one process; disabled, it takes everything and writes nothing."""

    def __init__(self, *, enabled: bool, form: access_line.Format, output: str) -> None:
        self._line = access_line.formatter(form)
        self._writer = writer.Writer(output) if enabled else None

    @property
    def dropped(self) -> int:
        """Lines lost because the output was too slow or failed."""
        return 0 if self._writer is None else self._writer.dropped

    def record(self, exchange: Exchange, now: float) -> None:
        """Write the line of a finished request; `now` is when it ended, unless its record says so."""
        if self._writer is not None and exchange.path.startswith(PREFIX):
            self._writer.write(self._line(exchange, now))

    def report_to(self, registry: Registry) -> None:
        """Have each scrape show how many lines were lost."""
        dropped = registry.value(metrics.ACCESS_LOG_DROPPED)
        registry.before_scrape(lambda: dropped.set(self.dropped))

    def reopen(self) -> None:
        """Open the file anew (SIGHUP)."""
        if self._writer is not None:
            self._writer.reopen()

    def close(self) -> None:
        """Write what waits; blocks for a few seconds at most."""
        if self._writer is not None:
            self._writer.close()
