"""`Registry`: the children of every declared metric, and what a scrape sees of them.

1. A child (a metric with its label values) is made once, by `Family.slot`, when a route is built or a label value is
   seen first; who moves it keeps the slot and writes to `Registry.table`.
2. Children go when their object does: `Registry.retain`, `Family.forget`, `Family.replace`. A slot of a removed child
   swallows what is written to it; whoever wants to go on asks for a new one.
3. No metric has more than `max_children`; what comes later shares one child whose labels say `_overflow`.
4. Everything happens on the loop but `render`, which may run in another thread.
"""

from __future__ import annotations

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
from kthena_fast.telemetry.table import Table

log = logging.getLogger(__name__)

MAX_CHILDREN = 50_000

Labels = tuple[str, ...]


class Family:
    """One metric and its children."""

    __slots__ = ("_children", "_max_children", "_on_overflow", "_table", "metric")

    def __init__(self, metric: Metric, table: Table, max_children: int, on_overflow: Callable[[Metric], None]) -> None:
        self.metric = metric
        self._table = table
        self._max_children = max_children
        self._on_overflow = on_overflow
        self._children: dict[Labels, int] = {}
        if not metric.labels:
            # What has no labels is there from the start: a counter that appears at 1 hides its first move from rate().
            self.slot()

    def __len__(self) -> int:
        return len(self._children)

    def slot(self, *values: str) -> int:
        """The slot of the child with these label values, in the order of the declaration."""
        slot = self._children.get(values)
        if slot is None:
            slot = self._make(values)
        return slot

    def forget(self, *values: str) -> None:
        """Remove a child; one that is not there is no error."""
        slot = self._children.pop(values, None)
        if slot is not None:
            self._table.release(slot)

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
            self._table.set(self.slot(*values), number)

    def children(self) -> list[tuple[Labels, int]]:
        """Label values and slot of each child; a copy, made in one step."""
        return list(self._children.items())

    def _make(self, values: Labels) -> int:
        metric = self.metric
        if len(values) != len(metric.labels):
            raise ValueError(f"{metric.name} has the labels {metric.labels}, not {len(values)}")
        if len(self._children) >= self._max_children and metric.labels:
            self._on_overflow(metric)
            values = (metrics.OVERFLOW,) * len(metric.labels)
            slot = self._children.get(values)
            if slot is not None:
                return slot
        table = self._table
        slot = table.histogram(metric.buckets) if metric.kind == "histogram" else table.value()
        self._children[values] = slot
        return slot


class Registry:
    """All metrics of one process."""

    def __init__(self, declared: Iterable[Metric] = metrics.ALL, *, max_children: int = MAX_CHILDREN) -> None:
        self.table = Table()
        self._refreshers: list[Callable[[], None]] = []
        self._families: dict[str, Family] = {}
        self._overflowed: set[str] = set()
        for metric in declared:
            # What counts overflows cannot overflow: it has no more children than there are metrics.
            limit = max_children if metric is not metrics.LABELS_DROPPED else len(metrics.ALL)
            self._families[metric.name] = Family(metric, self.table, limit, self._overflow)
        self._collectors = CollectorRegistry()
        self._collectors.register(self)
        ProcessCollector(registry=self._collectors)
        PlatformCollector(registry=self._collectors)
        GCCollector(registry=self._collectors)

    def family(self, metric: Metric) -> Family:
        return self._families[metric.name]

    def slot(self, metric: Metric, *values: str) -> int:
        """The slot of a child, made if it is not there; see `Family.slot`."""
        return self._families[metric.name].slot(*values)

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
            if isinstance(shown, HistogramMetricFamily):
                self._add_histograms(shown, family)
            else:
                for values, slot in family.children():
                    number = self.table.read(slot)
                    if number is not None:
                        shown.add_metric(values, number)
            yield shown

    def _add_histograms(self, shown: HistogramMetricFamily, family: Family) -> None:
        bounds = [*(_bound(bound) for bound in family.metric.buckets), "+Inf"]
        for values, slot in family.children():
            numbers = self.table.read_histogram(slot)
            if numbers is None:
                continue
            total = 0.0
            buckets: list[tuple[str, float]] = []
            for bound, count in zip(bounds, numbers, strict=False):
                total += count
                buckets.append((bound, total))
            shown.add_metric(values, buckets, numbers[-1])

    def _overflow(self, metric: Metric) -> None:
        self.table.add(self.slot(metrics.LABELS_DROPPED, metric.name), 1.0)
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
