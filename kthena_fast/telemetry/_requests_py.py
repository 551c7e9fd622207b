"""The source of both twins; `requests` is the contract."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import TYPE_CHECKING

from kthena_fast.telemetry import metrics

if TYPE_CHECKING:
    from kthena_fast.errors import GatewayError
    from kthena_fast.exchange.record import Exchange
    from kthena_fast.telemetry.registry import Registry
    from kthena_fast.telemetry.table import Table

SUCCESS = "successful_request"
FAILURE = "request_failed"
MODEL_SERVER = "model_server"

Key = tuple[str, str, str, str, str, str]
"""Model, path label, route, backend type, backend name, upstream model; "" where there is none."""


class Series:
    """Requests of one model and path that had one destination."""

    __slots__ = (
        "_destination",
        "_first_token",
        "_input",
        "_model",
        "_outcomes",
        "_output",
        "_path",
        "_registry",
        "_retries",
        "_table",
    )

    def __init__(self, registry: Registry, model: str, path: str, destination: tuple[str, str, str, str]) -> None:
        self._registry = registry
        self._table: Table = registry.table
        self._model = model
        self._path = path
        self._destination = destination
        self._input = registry.slot(metrics.TOKENS, model, path, "input", *destination)
        self._output = registry.slot(metrics.TOKENS, model, path, "output", *destination)
        # Made at first use: most models are never streamed from, or never retried.
        self._first_token = -1
        self._retries = -1
        # (status, error type) -> slots of requests_total and of request_duration_seconds.
        self._outcomes: dict[tuple[int, str], tuple[int, int]] = {}

    def ended(self, status: int, error_type: str, duration: float) -> None:
        """Count a request; `duration` is in seconds."""
        outcome = self._outcomes.get((status, error_type))
        if outcome is None:
            outcome = self._make_outcome(status, error_type)
        self._table.add(outcome[0], 1.0)
        self._table.observe(outcome[1], duration)

    def tokens(self, tokens_in: int, tokens_out: int) -> None:
        if tokens_in:
            self._table.add(self._input, tokens_in)
        if tokens_out:
            self._table.add(self._output, tokens_out)

    def first_token(self, seconds: float) -> None:
        if self._first_token < 0:
            self._first_token = self._registry.slot(metrics.TIME_TO_FIRST_TOKEN, self._model, *self._destination)
        self._table.observe(self._first_token, seconds)

    def retried(self, times: int) -> None:
        if self._retries < 0:
            self._retries = self._registry.slot(metrics.UPSTREAM_RETRIES, self._model, *self._destination)
        self._table.add(self._retries, times)

    def _make_outcome(self, status: int, error_type: str) -> tuple[int, int]:
        code = str(status)
        outcome = (
            self._registry.slot(metrics.REQUESTS, self._model, self._path, code, error_type, *self._destination),
            self._registry.slot(metrics.REQUEST_DURATION, self._model, self._path, code, *self._destination),
        )
        self._outcomes[status, error_type] = outcome
        return outcome


class Gauge:
    """How many there are now of something; the table learns it when a scrape asks."""

    __slots__ = ("number", "slot")

    def __init__(self, slot: int) -> None:
        self.slot = slot
        self.number = 0


class Meter:
    """One request's part in the gauges. `settle` gives back what is still held, and does so once."""

    __slots__ = ("_downstream", "_exchange", "_metrics", "_settled", "_upstream")

    def __init__(self, request_metrics: RequestMetrics, exchange: Exchange) -> None:
        self._metrics = request_metrics
        self._exchange = exchange
        self._downstream: Gauge | None = None
        self._upstream: Gauge | None = None
        self._settled = False
        self._metrics.active.number += 1

    def parsed(self) -> None:
        """The body was understood: `model` is known."""
        if self._downstream is None:
            gauge = self._downstream = self._metrics.downstream(self._exchange.model)
            gauge.number += 1

    def attempt_began(self) -> None:
        """An attempt towards the record's `server` begins; one that was still open ends."""
        if self._upstream is not None:
            self._upstream.number -= 1
        gauge = self._upstream = self._metrics.upstream(self._exchange)
        gauge.number += 1

    def attempt_ended(self) -> None:
        if self._upstream is not None:
            self._upstream.number -= 1
            self._upstream = None

    def settle(self, now: float) -> None:
        """The request is over: count it and let go of the gauges."""
        if self._settled:
            return
        self._settled = True
        if self._upstream is not None:
            self._upstream.number -= 1
            self._upstream = None
        if self._downstream is not None:
            self._downstream.number -= 1
        self._metrics.active.number -= 1
        self._metrics.observe_end(self._exchange, now)


class RequestMetrics:
    """The metrics of requests. `path_label` bounds the paths that clients invent to those the gateway knows."""

    def __init__(self, registry: Registry, path_label: Callable[[str], str]) -> None:
        self.table: Table = registry.table
        self._gauges: dict[int, Gauge] = {}
        """By slot, so that of each there is one."""
        self.active = self._gauge(registry.slot(metrics.ACTIVE_REQUESTS))
        self._registry = registry
        self._path_label = path_label
        self._models: frozenset[str] = frozenset()
        self._routes: frozenset[str] = frozenset()
        self._servers: frozenset[str] = frozenset()
        self._series: dict[Key, Series] = {}
        self._downstream: dict[str, Gauge] = {}
        self._upstream: dict[tuple[str, str, str], Gauge] = {}
        registry.before_scrape(self.refresh)

    def refresh(self) -> None:
        """Have the table say what the gauges do."""
        for gauge in self._gauges.values():
            self.table.set(gauge.slot, gauge.number)

    def retain(self, models: Collection[str], routes: Collection[str], servers: Collection[str]) -> None:
        """Take the names that a new snapshot knows: models and adapters, ModelRoutes, ModelServers (`namespace/name`).

        Only these become label values, and the children of those that went are removed, from every metric.
        """
        known = frozenset(models), frozenset(routes), frozenset(servers)
        before = self._models, self._routes, self._servers
        self._models, self._routes, self._servers = known
        if all(old <= new for old, new in zip(before, known, strict=True)):
            return
        # The slots that these hold are about to be released; those of objects that stay are found again.
        self._series.clear()
        self._downstream.clear()
        self._upstream.clear()
        self._registry.retain(
            {
                "model": self._models,
                "model_route": self._routes,
                "backend_name": self._servers,
                "model_server": self._servers,
            }
        )
        # Requests in flight may hold others: what they give back reaches nobody.
        self._gauges = {slot: gauge for slot, gauge in self._gauges.items() if self.table.read(slot) is not None}

    def begin(self, exchange: Exchange) -> Meter:
        """A request arrived."""
        return Meter(self, exchange)

    def request(self, key: Key) -> Series:
        """The series of these requests, the model as the client named it."""
        series = self._series.get(key)
        if series is None:
            series = self._make_series(key)
        return series

    def downstream(self, model: str) -> Gauge:
        """active_downstream_requests."""
        gauge = self._downstream.get(model)
        if gauge is None:
            label = self._model_label(model)
            gauge = self._gauge(self._registry.slot(metrics.ACTIVE_DOWNSTREAM, label))
            if label == model:
                self._downstream[model] = gauge
        return gauge

    def upstream(self, exchange: Exchange) -> Gauge:
        """active_upstream_requests for the destination of the record."""
        key = (exchange.route, exchange.server, exchange.upstream_model)
        gauge = self._upstream.get(key)
        if gauge is None:
            route, server, model = key
            destination = _destination(route, _backend_type(server), server, model)
            gauge = self._gauge(self._registry.slot(metrics.ACTIVE_UPSTREAM, server or metrics.NONE, *destination))
            self._upstream[key] = gauge
        return gauge

    def _gauge(self, slot: int) -> Gauge:
        gauge = self._gauges.get(slot)
        if gauge is None:
            gauge = self._gauges[slot] = Gauge(slot)
        return gauge

    def observe_end(self, exchange: Exchange, now: float) -> None:
        """Count a finished request by its record; `Meter.settle` calls it."""
        error = exchange.error
        if not exchange.model:
            if error is not None:
                self.count_refusal(error)
            return
        server = exchange.server
        path = self._path_label(exchange.path)
        series = self.request(
            (exchange.model, path, exchange.route, _backend_type(server), server, exchange.upstream_model)
        )
        without_reason = SUCCESS if exchange.status < 400 else FAILURE
        error_type = without_reason if error is None else error.reason
        ended = exchange.ended
        series.ended(exchange.status, error_type, (now if ended is None else ended) - exchange.began)
        series.tokens(exchange.input_tokens or exchange.prompt_estimate, exchange.output_tokens)
        if exchange.streaming and exchange.first_byte is not None and exchange.status < 400:
            series.first_token(exchange.first_byte - exchange.began)
        if exchange.attempts > 1:
            series.retried(exchange.attempts - 1)

    def count_refusal(self, error: GatewayError) -> None:
        """Count what failed before its model was known, or before there was a record of it."""
        self.table.add(self._registry.slot(metrics.REFUSED_REQUESTS, str(error.status), error.reason), 1.0)

    def _model_label(self, model: str) -> str:
        return model if model in self._models else metrics.UNKNOWN_MODEL

    def _make_series(self, key: Key) -> Series:
        model, path, route, backend_type, backend_name, upstream_model = key
        label = self._model_label(model)
        if label != model:
            # Kept under its label only: names that clients invent must not grow the look-up.
            return self.request((label, *key[1:]))
        series = Series(self._registry, label, path, _destination(route, backend_type, backend_name, upstream_model))
        self._series[key] = series
        return series


def _backend_type(server: str) -> str:
    return MODEL_SERVER if server else ""


def _destination(route: str, backend_type: str, backend_name: str, upstream_model: str) -> tuple[str, str, str, str]:
    none = metrics.NONE
    return route or none, backend_type or metrics.UNRESOLVED, backend_name or none, upstream_model or none
