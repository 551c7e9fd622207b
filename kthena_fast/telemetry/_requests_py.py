"""The source of both twins; `requests` is the contract."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import TYPE_CHECKING

from kthena_fast.telemetry import metrics

if TYPE_CHECKING:
    from kthena_fast.errors import GatewayError
    from kthena_fast.exchange.record import Exchange
    from kthena_fast.telemetry.registry import Registry
    from kthena_fast.telemetry.values import Histogram, Value

SUCCESS = "successful_request"
FAILURE = "request_failed"
MODEL_SERVER = "model_server"

Key = tuple[str, str, str, str, str, str]
"""Model, path label, route, backend type, backend name, upstream model; "" where there is none."""


class Series:
    """Requests of one model and path that had one destination."""

    __slots__ = (
        "_asked",
        "_destination",
        "_duration",
        "_error_type",
        "_first_token",
        "_input",
        "_model",
        "_outcomes",
        "_output",
        "_path",
        "_registry",
        "_requests",
        "_retries",
        "_server",
        "_status",
        "_upstream_model",
        "downstream",
        "generation",
        "owner",
        "upstream",
    )

    def __init__(
        self, owner: RequestMetrics, registry: Registry, model: str, path: str, destination: tuple[str, str, str, str]
    ) -> None:
        self.owner = owner
        self.generation = owner.generation
        """Of the names that were known when it was made."""
        # Of the requests that it is kept for.
        self.downstream: Value
        self.upstream: Value
        self._asked = self._server = self._upstream_model = ""
        self._registry = registry
        self._model = model
        self._path = path
        self._destination = destination
        self._input = registry.value(metrics.TOKENS, model, path, "input", *destination)
        self._output = registry.value(metrics.TOKENS, model, path, "output", *destination)
        # Made at first use: most models are never streamed from, or never retried.
        self._first_token: Histogram | None = None
        self._retries: Value | None = None
        # By status and error type; those of the last end are at hand. Before it they are not there, and no end is like
        # that: a record's status is 0 until there is an answer.
        self._outcomes: dict[tuple[int, str], tuple[Value, Histogram]] = {}
        self._status, self._error_type = -1, ""
        self._requests: Value
        self._duration: Histogram

    def keep_for(self, exchange: Exchange) -> None:
        """Serve requests that match what this one did, and go where it went, without a look-up."""
        self._asked = exchange.path
        self._server = exchange.server
        self._upstream_model = exchange.upstream_model
        self.downstream = self.owner.downstream(exchange.model)
        self.upstream = self.owner.upstream(exchange)

    def goes_where(self, exchange: Exchange) -> bool:
        """Whether it is that of a request that matched what `keep_for` was told of, as far as the destination."""
        return self._server == exchange.server and self._upstream_model == exchange.upstream_model

    def fits(self, exchange: Exchange) -> bool:
        """Whether it is that of a request that matched what `keep_for` was told of."""
        return self._asked == exchange.path and self.goes_where(exchange)

    def ended(self, status: int, error_type: str, duration: float) -> None:
        """Count a request; `duration` is in seconds."""
        if status != self._status or error_type != self._error_type:
            self._end_otherwise(status, error_type)
        self._requests.number += 1.0
        self._duration.observe(duration)

    def tokens(self, tokens_in: int, tokens_out: int) -> None:
        self._input.number += tokens_in
        self._output.number += tokens_out

    def first_token(self, seconds: float) -> None:
        child = self._first_token
        if child is None:
            child = self._registry.histogram(metrics.TIME_TO_FIRST_TOKEN, self._model, *self._destination)
            self._first_token = child
        child.observe(seconds)

    def retried(self, times: int) -> None:
        child = self._retries
        if child is None:
            child = self._registry.value(metrics.UPSTREAM_RETRIES, self._model, *self._destination)
            self._retries = child
        child.add(times)

    def _end_otherwise(self, status: int, error_type: str) -> None:
        """Have at hand the children of those that end so."""
        children = self._outcomes.get((status, error_type))
        if children is None:
            code = str(status)
            children = self._outcomes[status, error_type] = (
                self._registry.value(metrics.REQUESTS, self._model, self._path, code, error_type, *self._destination),
                self._registry.histogram(metrics.REQUEST_DURATION, self._model, self._path, code, *self._destination),
            )
        self._requests, self._duration = children
        self._status, self._error_type = status, error_type


class Meter:
    """One request's part in the gauges. `settle` gives back what is still held, and does so once."""

    __slots__ = ("_downstream", "_exchange", "_metrics", "_settled", "_upstream")

    def __init__(self, request_metrics: RequestMetrics, exchange: Exchange) -> None:
        self._metrics = request_metrics
        self._exchange = exchange
        self._downstream: Value | None = None
        self._upstream: Value | None = None
        self._settled = False
        self._metrics.active.number += 1.0

    def parsed(self) -> None:
        """The body was understood: `model` is known."""
        if self._downstream is None:
            series = self._metrics.kept(self._exchange)
            gauge = self._metrics.downstream(self._exchange.model) if series is None else series.downstream
            gauge.number += 1.0
            self._downstream = gauge

    def attempt_began(self) -> None:
        """An attempt towards the record's `server` begins; one that was still open ends."""
        self.attempt_ended()
        gauge = self._upstream = self._metrics.upstream(self._exchange)
        gauge.number += 1.0

    def attempt_ended(self) -> None:
        if self._upstream is not None:
            self._upstream.number -= 1.0
            self._upstream = None

    def settle(self, now: float) -> None:
        """The request is over: count it and let go of the gauges."""
        if self._settled:
            return
        self._settled = True
        self.attempt_ended()
        if self._downstream is not None:
            self._downstream.number -= 1.0
        self._metrics.active.number -= 1.0
        self._metrics.observe_end(self._exchange, now)


class RequestMetrics:
    """The metrics of requests. `path_label` bounds the paths that clients invent to those the gateway knows."""

    def __init__(self, registry: Registry, path_label: Callable[[str], str]) -> None:
        self.active = registry.value(metrics.ACTIVE_REQUESTS)
        self._registry = registry
        self._path_label = path_label
        self._models: frozenset[str] = frozenset()
        self._routes: frozenset[str] = frozenset()
        self._servers: frozenset[str] = frozenset()
        self._series: dict[Key, Series] = {}
        self._downstream: dict[str, Value] = {}
        self._upstream: dict[tuple[str, str, str], Value] = {}
        self.generation = 0
        """Of the names that are known."""

    def retain(self, models: Collection[str], routes: Collection[str], servers: Collection[str]) -> None:
        """Take the names that a new snapshot knows: models and adapters, ModelRoutes, ModelServers (`namespace/name`).

        Only these become label values, and the children of those that went are removed, from every metric.
        """
        known = frozenset(models), frozenset(routes), frozenset(servers)
        before = self._models, self._routes, self._servers
        self._models, self._routes, self._servers = known
        if all(old <= new for old, new in zip(before, known, strict=True)):
            return
        # What these hold is about to be forgotten; the children of objects that stay are found again.
        self.generation += 1
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

    def begin(self, exchange: Exchange) -> Meter:
        """A request arrived."""
        return Meter(self, exchange)

    def kept(self, exchange: Exchange) -> Series | None:
        """What is kept of requests that matched the same."""
        kept = exchange.kept
        if kept is None:
            return None
        series: Series | None = kept.series
        if series is None or series.owner is not self or series.generation != self.generation:
            return None
        return series

    def request(self, key: Key) -> Series:
        """The series of these requests, the model as the client named it."""
        series = self._series.get(key)
        if series is None:
            series = self._make_series(key)
        return series

    def downstream(self, model: str) -> Value:
        """active_downstream_requests."""
        gauge = self._downstream.get(model)
        if gauge is None:
            label = self._model_label(model)
            gauge = self._registry.value(metrics.ACTIVE_DOWNSTREAM, label)
            if label == model:
                self._downstream[model] = gauge
        return gauge

    def upstream(self, exchange: Exchange) -> Value:
        """active_upstream_requests for the destination of the record."""
        series = self.kept(exchange)
        if series is not None and series.goes_where(exchange):
            return series.upstream
        key = (exchange.route, exchange.server, exchange.upstream_model)
        gauge = self._upstream.get(key)
        if gauge is None:
            route, server, model = key
            destination = _destination(route, _backend_type(server), server, model)
            gauge = self._registry.value(metrics.ACTIVE_UPSTREAM, server or metrics.NONE, *destination)
            self._upstream[key] = gauge
        return gauge

    def observe_end(self, exchange: Exchange, now: float) -> None:
        """Count a finished request by its record; `Meter.settle` calls it."""
        error = exchange.error
        if not exchange.model:
            if error is not None:
                self.count_refusal(error)
            return
        series = self.kept(exchange)
        if series is None or not series.fits(exchange):
            series = self._found(exchange)
        without_reason = SUCCESS if exchange.status < 400 else FAILURE
        error_type = without_reason if error is None else error.reason
        ended = exchange.ended
        series.ended(exchange.status, error_type, (now if ended is None else ended) - exchange.began)
        series.tokens(exchange.input_tokens or exchange.prompt_estimate, exchange.output_tokens)
        if exchange.streaming and exchange.first_byte is not None and exchange.status < 400:
            series.first_token(exchange.first_byte - exchange.began)
        if exchange.attempts > 1:
            series.retried(exchange.attempts - 1)

    def _found(self, exchange: Exchange) -> Series:
        server = exchange.server
        path = self._path_label(exchange.path)
        series = self.request(
            (exchange.model, path, exchange.route, _backend_type(server), server, exchange.upstream_model)
        )
        # The next one that matches the same goes there too, nearly always.
        if exchange.kept is not None and server and exchange.model in self._models:
            series.keep_for(exchange)
            exchange.kept.series = series
        return series

    def count_refusal(self, error: GatewayError) -> None:
        """Count what failed before its model was known, or before there was a record of it."""
        self._registry.value(metrics.REFUSED_REQUESTS, str(error.status), error.reason).add(1.0)

    def _model_label(self, model: str) -> str:
        return model if model in self._models else metrics.UNKNOWN_MODEL

    def _make_series(self, key: Key) -> Series:
        model, path, route, backend_type, backend_name, upstream_model = key
        label = self._model_label(model)
        if label != model:
            # Kept under its label only: names that clients invent must not grow the look-up.
            return self.request((label, *key[1:]))
        destination = _destination(route, backend_type, backend_name, upstream_model)
        series = self._series[key] = Series(self, self._registry, label, path, destination)
        return series


def _backend_type(server: str) -> str:
    return MODEL_SERVER if server else ""


def _destination(route: str, backend_type: str, backend_name: str, upstream_model: str) -> tuple[str, str, str, str]:
    none = metrics.NONE
    return route or none, backend_type or metrics.UNRESOLVED, backend_name or none, upstream_model or none
