"""The children of metrics and their exposition."""

import logging
import threading

import pytest
from prometheus_client.metrics_core import Metric as Shown
from prometheus_client.parser import text_string_to_metric_families

from kthena_fast.telemetry import metrics
from kthena_fast.telemetry.registry import Registry


def scrape(registry: Registry) -> dict[str, Shown]:
    body, content_type = registry.render()
    assert content_type == "text/plain; version=0.0.4; charset=utf-8"
    return {family.name: family for family in text_string_to_metric_families(body.decode())}


def samples(registry: Registry, metric: metrics.Metric) -> dict[tuple[str, ...], float]:
    """Label values in the order of the declaration -> value, of a counter or a gauge."""
    shown = scrape(registry)[metric.name.removesuffix("_total")]
    return {tuple(sample.labels[label] for label in metric.labels): sample.value for sample in shown.samples}


UPSTREAM = {
    # From the reference, 10.1: name -> (kind, labels, buckets).
    "requests_total": ("counter", "model path status_code error_type D", ""),
    "request_duration_seconds": (
        "histogram",
        "model path status_code D",
        ".005 .01 .025 .05 .1 .25 .5 1 2.5 5 10 30 60",
    ),
    "tokens_total": ("counter", "model path token_type D", ""),
    "rate_limit_exceeded_total": ("counter", "model limit_type path", ""),
    "active_requests": ("gauge", "", ""),
    "active_downstream_requests": ("gauge", "model", ""),
    "active_upstream_requests": ("gauge", "model_server D", ""),
    "fairness_queue_size": ("gauge", "model user_id", ""),
    "fairness_queue_duration_seconds": (
        "histogram",
        "model user_id",
        ".001 .005 .01 .025 .05 .1 .25 .5 1 2.5 5",
    ),
    "fairness_queue_cancelled_total": ("counter", "model user_id", ""),
    "fairness_queue_dequeue_total": ("counter", "model user_id", ""),
    "fairness_queue_inflight": ("gauge", "model", ""),
    "fairness_queue_priority_refresh_total": ("counter", "model", ""),
    "fairness_queue_heap_rebuild_total": ("counter", "model", ""),
}
D = "model_route backend_type backend_name upstream_model"


def test_upstreams_metrics_keep_their_names_labels_and_buckets() -> None:
    ours = {
        metric.name.removeprefix("kthena_router_"): (metric.kind, metric.labels, metric.buckets)
        for metric in metrics.ALL
        if metric.name.startswith("kthena_router_")
    }
    assert ours == {
        name: (kind, tuple(labels.replace("D", D).split()), tuple(float(bound) for bound in buckets.split()))
        for name, (kind, labels, buckets) in UPSTREAM.items()
    }


def test_every_metric_is_shown_with_its_type_and_help() -> None:
    shown = scrape(Registry())
    for metric in metrics.ALL:
        family = shown[metric.name.removesuffix("_total")]
        assert (family.type, family.documentation) == (metric.kind, metric.help)
    assert "process_resident_memory_bytes" in shown
    assert "python_info" in shown
    assert "python_gc_objects_collected" in shown


def test_a_metric_without_labels_is_shown_before_it_moves() -> None:
    assert samples(Registry(), metrics.ACTIVE_REQUESTS) == {(): 0.0}
    assert samples(Registry(), metrics.ACCESS_LOG_DROPPED) == {(): 0.0}


def test_a_metric_with_labels_has_no_child_before_one_is_asked_for() -> None:
    registry = Registry()
    assert samples(registry, metrics.FAIRNESS_USERS) == {}
    registry.value(metrics.FAIRNESS_USERS, "chat").set(3)
    assert samples(registry, metrics.FAIRNESS_USERS) == {("chat",): 3.0}


def test_a_histogram_is_cumulative_and_its_bounds_are_written_as_go_writes_them() -> None:
    registry = Registry()
    child = registry.histogram(metrics.FAIRNESS_QUEUE_DURATION, "chat", metrics.EVERYBODY)
    for seconds in (0.0005, 0.03, 0.03, 1.0, 99.0):
        child.observe(seconds)
    shown = scrape(registry)[metrics.FAIRNESS_QUEUE_DURATION.name]
    buckets = {sample.labels["le"]: sample.value for sample in shown.samples if sample.name.endswith("_bucket")}
    assert list(buckets) == ["0.001", "0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1", "2.5", "5", "+Inf"]
    assert list(buckets.values()) == [1, 1, 1, 1, 3, 3, 3, 3, 4, 4, 4, 5]
    rest = {sample.name.rpartition("_")[2]: sample.value for sample in shown.samples if "le" not in sample.labels}
    assert rest == {"count": 5, "sum": pytest.approx(100.0605)}


@pytest.mark.parametrize("value", ['quo"te', "back\\slash", "new\nline", "a,b=c}", "émoji 🎈"])
def test_label_values_survive_whatever_they_hold(value: str) -> None:
    registry = Registry()
    registry.value(metrics.FAIRNESS_TOP_USER, "chat", "1", value).set(5)
    assert samples(registry, metrics.FAIRNESS_TOP_USER) == {("chat", "1", value): 5.0}


def test_a_child_has_as_many_values_as_there_are_labels() -> None:
    with pytest.raises(ValueError, match="labels"):
        Registry().value(metrics.FAIRNESS_USERS, "chat", "more")


def test_a_child_is_made_once() -> None:
    registry = Registry()
    assert registry.value(metrics.FAIRNESS_USERS, "chat") is registry.value(metrics.FAIRNESS_USERS, "chat")
    for _ in range(100):
        registry.value(metrics.FAIRNESS_USERS, "chat").set(1)
    assert len(registry.family(metrics.FAIRNESS_USERS)) == 1


def test_children_of_objects_that_went_are_removed_and_the_others_stay() -> None:
    registry = Registry()
    destination = ("prod/chat", "model_server", "prod/chat-7b", "org/chat")
    for model in ("chat", "gone", metrics.UNKNOWN_MODEL):
        registry.value(metrics.FAIRNESS_QUEUE_SIZE, model, metrics.EVERYBODY)
        registry.histogram(metrics.TIME_TO_FIRST_TOKEN, model, *destination)
    registry.histogram(metrics.TIME_TO_FIRST_TOKEN, "chat", "none", "unresolved", "none", "none")
    registry.histogram(metrics.TIME_TO_FIRST_TOKEN, "chat", "prod/old", *destination[1:])
    registry.value(metrics.REJECTED_OBJECTS, "ModelRoute")
    registry.retain({"model": {"chat"}, "model_route": {"prod/chat"}})
    assert {values[0] for values, _ in registry.family(metrics.FAIRNESS_QUEUE_SIZE).children()} == {"chat", "unknown"}
    assert [values[:2] for values, _ in registry.family(metrics.TIME_TO_FIRST_TOKEN).children()] == [
        ("chat", "prod/chat"),
        ("unknown", "prod/chat"),
        ("chat", "none"),
    ]
    assert len(registry.family(metrics.REJECTED_OBJECTS)) == 1


def test_routes_that_come_and_go_for_ever_leave_no_children() -> None:
    registry = Registry()
    sizes = set()
    for number in range(200):
        registry.retain({"model": {f"model-{number}"}})
        registry.histogram(metrics.FAIRNESS_QUEUE_DURATION, f"model-{number}", metrics.EVERYBODY)
        registry.value(metrics.FAIRNESS_USERS, f"model-{number}")
        sizes.add(sum(len(registry.family(metric)) for metric in metrics.ALL))
    assert len(sizes) == 1


def test_what_is_counted_anew_replaces_what_was_there() -> None:
    registry = Registry()
    family = registry.family(metrics.UNSUPPORTED_OBJECTS)
    family.replace({("ModelRoute", "rateLimit"): 2, ("ModelServer", "pdGroup"): 1})
    family.replace({("ModelRoute", "rateLimit"): 1, ("ModelRoute", "parentRefs"): 4})
    assert samples(registry, metrics.UNSUPPORTED_OBJECTS) == {
        ("ModelRoute", "rateLimit"): 1,
        ("ModelRoute", "parentRefs"): 4,
    }


def test_a_full_metric_gives_what_comes_later_one_shared_child(caplog: pytest.LogCaptureFixture) -> None:
    registry = Registry(max_children=2)
    for user in ("ann", "bob", "carol", "dave", "erin"):
        registry.value(metrics.FAIRNESS_TOP_USER, "chat", "1", user).add(1)
    overflow = (metrics.OVERFLOW,) * 3
    assert samples(registry, metrics.FAIRNESS_TOP_USER) == {
        ("chat", "1", "ann"): 1,
        ("chat", "1", "bob"): 1,
        overflow: 3,
    }
    assert samples(registry, metrics.LABELS_DROPPED) == {(metrics.FAIRNESS_TOP_USER.name,): 3}
    assert [record.levelno for record in caplog.records] == [logging.WARNING]


def test_every_metric_may_be_full_at_once() -> None:
    registry = Registry(max_children=1)
    labelled = [metric for metric in metrics.ALL if metric.labels and metric is not metrics.LABELS_DROPPED]
    for metric in labelled:
        for value in ("a", "b", "c"):
            registry.family(metric).child(*(value for _ in metric.labels))
    assert samples(registry, metrics.LABELS_DROPPED) == {(metric.name,): 2 for metric in labelled}


def test_the_build_is_declared_once() -> None:
    registry = Registry()
    registry.declare_build("0.1", "pure")
    registry.declare_build("0.1", "compiled")
    ((labels, value),) = samples(registry, metrics.BUILD_INFO).items()
    assert labels[:2] == ("0.1", "compiled")
    assert value == 1


def test_a_refresher_that_fails_is_logged_and_hides_no_other(caplog: pytest.LogCaptureFixture) -> None:
    registry = Registry()
    child = registry.value(metrics.SNAPSHOT_TIMESTAMP)

    def fail() -> None:
        raise RuntimeError("no")

    registry.before_scrape(fail)
    registry.before_scrape(lambda: child.set(5))
    registry.refresh()
    assert samples(registry, metrics.SNAPSHOT_TIMESTAMP) == {(): 5}
    assert "could not be refreshed" in caplog.text


def test_a_scrape_in_another_thread_sees_whole_metrics_while_the_loop_makes_and_removes_children() -> None:
    registry = Registry()
    done = threading.Event()

    def scrape_until_done() -> None:
        # What it raises pytest turns into this test's failure.
        while not done.is_set():
            shown = scrape(registry)[metrics.FAIRNESS_QUEUE_DURATION.name]
            assert all(sample.value >= 0 for sample in shown.samples)

    thread = threading.Thread(target=scrape_until_done)
    thread.start()
    for number in range(3000):
        model = f"model-{number}"
        registry.histogram(metrics.FAIRNESS_QUEUE_DURATION, model, metrics.EVERYBODY).observe(0.1)
        registry.value(metrics.FAIRNESS_USERS, model)
        if number % 50 == 49:
            registry.retain({"model": {model}})
    done.set()
    thread.join()
    assert len(registry.family(metrics.FAIRNESS_USERS)) == 1
