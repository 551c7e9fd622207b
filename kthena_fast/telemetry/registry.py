"""`Registry`: the children of every declared metric, and what a scrape sees of them.

1. A child (a metric with its label values) is made once, by `Family.child`, when a route is built or a label value is
   seen first; who moves it keeps it.
2. Children go when their object does: `Registry.retain`, `Family.forget`, `Family.replace`. Nobody sees any more how a
   removed child is moved; whoever wants to go on asks for a new one.
3. No metric has more than `max_children`; what comes later shares one child whose labels say `_overflow`.
4. Everything happens on the loop but `render`, which may run in another thread.
"""

from __future__ import annotations

import itertools
import logging
import platform
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
)
from prometheus_client.metrics_core import Metric as MetricFamily

from kthena_fast.telemetry import metrics
from kthena_fast.telemetry.metrics import Metric
from kthena_fast.telemetry.values import Histogram, Value, bounds_of

log = logging.getLogger(__name__)

MAX_CHILDREN = 50_000

Labels = tuple[str, ...]
Child = Value | Histogram


class Family:
    """One metric and its children."""

    __slots__ = ("_bounds", "_children", "_max_children", "_on_overflow", "metric")

    def __init__(self, metric: Metric, max_children: int, on_overflow: Callable[[Metric], None]) -> None:
        self.metric = metric
        self._bounds = bounds_of(metric.buckets) if metric.kind == "histogram" else None
        self._max_children = max_children
        self._on_overflow = on_overflow
        self._children: dict[Labels, Child] = {}
        if not metric.labels:
            # What has no labels is there from the start: a counter that appears at 1 hides its first move from rate().
            self.child()

    def __len__(self) -> int:
        return len(self._children)

    def child(self, *values: str) -> Child:
        """The child with these label values, in the order of the declaration."""
        child = self._children.get(values)
        if child is None:
            child = self._make(values)
        return child

    def forget(self, *values: str) -> None:
        """Remove a child; one that is not there is no error."""
        self._children.pop(values, None)

    def retain(self, allowed: Mapping[str, Collection[str]]) -> None:
        """Remove the children with a value that its label no longer has; labels that are not named keep all."""
        places = [(place, allowed[label]) for place, label in enumerate(self.metric.labels) if label in allowed]
        if not places:
            return
        gone = [
            values
            for values in self._children
            if any(values[place] not in names and values[place] not in metrics.NEUTRAL for place, names in places)
        ]
        for values in gone:
            self.forget(*values)

    def replace(self, rows: Mapping[Labels, float]) -> None:
        """Make these the only children of a gauge: for what is counted anew each time, such as objects by kind."""
        for values in [values for values in self._children if values not in rows]:
            self.forget(*values)
        for values, number in rows.items():
            child = self.child(*values)
            assert isinstance(child, Value)
            child.set(number)

    def children(self) -> list[tuple[Labels, Child]]:
        """Label values of each child, and the child; a copy, made in one step."""
        return list(self._children.items())

    def _make(self, values: Labels) -> Child:
        metric = self.metric
        if len(values) != len(metric.labels):
            raise ValueError(f"{metric.name} has the labels {metric.labels}, not {len(values)}")
        if len(self._children) >= self._max_children and metric.labels:
            self._on_overflow(metric)
            values = (metrics.OVERFLOW,) * len(metric.labels)
            child = self._children.get(values)
            if child is not None:
                return child
        child = Value() if self._bounds is None else Histogram(self._bounds)
        self._children[values] = child
        return child


class Registry:
    """All metrics of one process."""

    def __init__(self, declared: Iterable[Metric] = metrics.ALL, *, max_children: int = MAX_CHILDREN) -> None:
        self._refreshers: list[Callable[[], None]] = []
        self._families: dict[str, Family] = {}
        self._overflowed: set[str] = set()
        for metric in declared:
            # What counts overflows cannot overflow: it has no more children than there are metrics.
            limit = max_children if metric is not metrics.LABELS_DROPPED else len(metrics.ALL)
            self._families[metric.name] = Family(metric, limit, self._overflow)
        self._collectors = CollectorRegistry()
        self._collectors.register(self)
        ProcessCollector(registry=self._collectors)
        PlatformCollector(registry=self._collectors)
        GCCollector(registry=self._collectors)

    def family(self, metric: Metric) -> Family:
        return self._families[metric.name]

    def value(self, metric: Metric, *values: str) -> Value:
        """A child of a counter or a gauge, made if it is not there; see `Family.child`."""
        child = self._families[metric.name].child(*values)
        if not isinstance(child, Value):
            raise TypeError(f"{metric.name} is a histogram")
        return child

    def histogram(self, metric: Metric, *values: str) -> Histogram:
        """A child of a histogram, made if it is not there; see `Family.child`."""
        child = self._families[metric.name].child(*values)
        if not isinstance(child, Histogram):
            raise TypeError(f"{metric.name} is no histogram")
        return child

    def retain(self, allowed: Mapping[str, Collection[str]]) -> None:
        """Remove every child, of whatever metric, with a label value that no object stands for any longer.

        `allowed` names, for each label to be judged, the values that remain, beside `metrics.NEUTRAL`.
        """
        for family in self._families.values():
            family.retain(allowed)

    def declare_build(self, version: str, core: str) -> None:
        """Say what is running: our version and which twins."""
        row = (version, core, platform.python_version())
        self._families[metrics.BUILD_INFO.name].replace({row: 1.0})

    def before_scrape(self, refresh: Callable[[], None]) -> None:
        """Have `refresh` called before each scrape, on the loop: for what is cheaper to look at than to keep."""
        self._refreshers.append(refresh)

    def refresh(self) -> None:
        """What a scrape does first, on the loop. A refresher that fails is logged, and the scrape goes on."""
        for refresh in self._refreshers:
            try:
                refresh()
            except Exception:
                log.exception("a metric could not be refreshed")

    def render(self) -> tuple[bytes, str]:
        """The exposition and its content type; with many children worth a thread (`asyncio.to_thread`).

        Always the classic text format, as upstream's handler gives it whatever is asked for: in OpenMetrics the label
        `le="1"` would become `le="1.0"`, another series to every dashboard that selects it.
        """
        return generate_latest(self._collectors), CONTENT_TYPE_PLAIN_0_0_4

    def describe(self) -> list[MetricFamily]:
        """What prometheus_client asks at registration: names that nobody else may use."""
        return [_family(metric) for metric in (family.metric for family in self._families.values())]

    def collect(self) -> Iterator[MetricFamily]:
        """What prometheus_client asks at each scrape."""
        for family in self._families.values():
            metric = family.metric
            shown = _family(metric)
            bounds = [*(_bound(bound) for bound in metric.buckets), "+Inf"]
            for values, child in family.children():
                if isinstance(child, Value):
                    assert not isinstance(shown, HistogramMetricFamily)
                    shown.add_metric(values, child.number)
                else:
                    assert isinstance(shown, HistogramMetricFamily)
                    cumulative = itertools.accumulate(child.counts)
                    shown.add_metric(values, list(zip(bounds, cumulative, strict=True)), child.sum)
            yield shown

    def _overflow(self, metric: Metric) -> None:
        self.value(metrics.LABELS_DROPPED, metric.name).add(1.0)
        if metric.name not in self._overflowed:
            self._overflowed.add(metric.name)
            log.warning("%s has as many label sets as it may; further ones share the child _overflow", metric.name)


def _family(metric: Metric) -> CounterMetricFamily | GaugeMetricFamily | HistogramMetricFamily:
    if metric.kind == "counter":
        return CounterMetricFamily(metric.name, metric.help, labels=metric.labels)
    if metric.kind == "gauge":
        return GaugeMetricFamily(metric.name, metric.help, labels=metric.labels)
    return HistogramMetricFamily(metric.name, metric.help, labels=metric.labels)


def _bound(bound: float) -> str:
    # As Go writes it, and so upstream: `1`, not `1.0`.
    return f"{bound:g}"
