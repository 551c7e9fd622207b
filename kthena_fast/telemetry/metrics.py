"""Every metric, declared once: name, type, labels, buckets, help.

1. What upstream has keeps its name, labels and buckets (`kthena_router_`); what it lacks is `kthena_fast_`.
2. A label's value comes from objects or from a fixed list, never from a client: a model that no ModelRoute knows is
   `unknown`, a path that the gateway does not know is `other`.
3. `DESTINATION` is where a request went; what is empty is `none`, an empty backend type `unresolved`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["counter", "gauge", "histogram"]

UNKNOWN_MODEL = "unknown"
NONE = "none"
UNRESOLVED = "unresolved"
EVERYBODY = "_all"
"""The value of upstream's `user_id` label: users are not told apart there."""
OVERFLOW = "_overflow"
"""Every label value of the one child that takes what comes after a metric has as many children as it may."""

NEUTRAL = frozenset({UNKNOWN_MODEL, NONE, UNRESOLVED, EVERYBODY, OVERFLOW})
"""Label values that stand for no object, so that no object's end removes them."""


@dataclass(frozen=True, slots=True)
class Metric:
    """One declaration. `buckets` are the upper bounds of a histogram, rising, without +Inf."""

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()


DESTINATION = ("model_route", "backend_type", "backend_name", "upstream_model")

REQUEST_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
QUEUE_BUCKETS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
LAG_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)

# Requests

REQUESTS = Metric(
    "kthena_router_requests_total",
    "counter",
    "Requests whose body was understood, at their end.",
    ("model", "path", "status_code", "error_type", *DESTINATION),
)
REQUEST_DURATION = Metric(
    "kthena_router_request_duration_seconds",
    "histogram",
    "From the arrival of a request to the end of its answer, time in the queue and the whole stream included.",
    ("model", "path", "status_code", *DESTINATION),
    REQUEST_BUCKETS,
)
TOKENS = Metric(
    "kthena_router_tokens_total",
    "counter",
    "Tokens of requests that ended: input as the engine reported it, or else as estimated; output as reported.",
    ("model", "path", "token_type", *DESTINATION),
)
RATE_LIMIT_EXCEEDED = Metric(
    "kthena_router_rate_limit_exceeded_total",
    "counter",
    "Requests refused by a ModelRoute's rate limit.",
    ("model", "limit_type", "path"),
)
ACTIVE_REQUESTS = Metric("kthena_router_active_requests", "gauge", "Requests being served, model lists included.")
ACTIVE_DOWNSTREAM = Metric(
    "kthena_router_active_downstream_requests",
    "gauge",
    "Requests being served whose body was understood.",
    ("model",),
)
ACTIVE_UPSTREAM = Metric(
    "kthena_router_active_upstream_requests",
    "gauge",
    "Attempts in progress towards engines.",
    ("model_server", *DESTINATION),
)
TIME_TO_FIRST_TOKEN = Metric(
    "kthena_fast_time_to_first_token_seconds",
    "histogram",
    "From the arrival of a streaming request to the first body byte passed to its client.",
    ("model", *DESTINATION),
    REQUEST_BUCKETS,
)
UPSTREAM_RETRIES = Metric(
    "kthena_fast_upstream_retries_total",
    "counter",
    "Attempts after the first one.",
    ("model", *DESTINATION),
)
REFUSED_REQUESTS = Metric(
    "kthena_fast_refused_requests_total",
    "counter",
    "Requests that failed before their model was known; kthena_router_requests_total, as upstream's, leaves them out.",
    ("status_code", "error_type"),
)

# Fairness

FAIRNESS_QUEUE_SIZE = Metric(
    "kthena_router_fairness_queue_size", "gauge", "Requests waiting for their turn.", ("model", "user_id")
)
FAIRNESS_QUEUE_DURATION = Metric(
    "kthena_router_fairness_queue_duration_seconds",
    "histogram",
    "Time spent in the queue, by cancelled requests too.",
    ("model", "user_id"),
    QUEUE_BUCKETS,
)
FAIRNESS_QUEUE_CANCELLED = Metric(
    "kthena_router_fairness_queue_cancelled_total",
    "counter",
    "Requests that left the queue without a turn.",
    ("model", "user_id"),
)
FAIRNESS_QUEUE_DEQUEUE = Metric(
    "kthena_router_fairness_queue_dequeue_total", "counter", "Requests that got their turn.", ("model", "user_id")
)
FAIRNESS_QUEUE_INFLIGHT = Metric(
    "kthena_router_fairness_queue_inflight", "gauge", "Requests that hold a permit.", ("model",)
)
FAIRNESS_QUEUE_PRIORITY_REFRESH = Metric(
    "kthena_router_fairness_queue_priority_refresh_total",
    "counter",
    "Users moved in the queue because of a charge.",
    ("model",),
)
FAIRNESS_QUEUE_HEAP_REBUILD = Metric(
    "kthena_router_fairness_queue_heap_rebuild_total",
    "counter",
    "Queues ordered anew because the window moved on.",
    ("model",),
)
FAIRNESS_JAIN_INDEX = Metric(
    "kthena_fast_fairness_jain_index",
    "gauge",
    "Jain's index of the service per share of the users in the window: 1 is equal, 1/n is one user taking all.",
    ("model",),
)
FAIRNESS_MAX_GAP = Metric(
    "kthena_fast_fairness_max_gap_tokens",
    "gauge",
    "Largest difference in service per share between two users who are both waiting, in weighted tokens.",
    ("model",),
)
FAIRNESS_USERS = Metric("kthena_fast_fairness_users", "gauge", "Users with service in the window.", ("model",))
FAIRNESS_TOP_USER = Metric(
    "kthena_fast_fairness_top_user_tokens",
    "gauge",
    "Service of the heaviest users in the window, in weighted tokens (FAIRNESS_TOP_USERS).",
    ("model", "rank", "user"),
)
FAIRNESS_EVICTIONS = Metric(
    "kthena_fast_fairness_evictions_total",
    "counter",
    "Users whose service in the window was forgotten to make room for others (FAIRNESS_MAX_USERS).",
)
FAIRNESS_REJECTED = Metric(
    "kthena_fast_fairness_rejected_total",
    "counter",
    "Requests refused because a queue was full.",
    ("model", "reason"),
)
FAIRNESS_QUEUE_TIMEOUTS = Metric(
    "kthena_fast_fairness_queue_timeouts_total",
    "counter",
    "Requests that waited for FAIRNESS_QUEUE_TIMEOUT.",
    ("model",),
)

# Objects

UNSUPPORTED_OBJECTS = Metric(
    "kthena_fast_unsupported_objects",
    "gauge",
    "Objects that use a field which is decoded but not obeyed yet.",
    ("kind", "field"),
)
REJECTED_OBJECTS = Metric(
    "kthena_fast_rejected_objects", "gauge", "Objects set aside because they break their schema.", ("kind",)
)
SOURCE_RELOADS = Metric("kthena_fast_source_reloads_total", "counter", "Readings of the objects' source.", ("result",))
SOURCE_FAULTS = Metric(
    "kthena_fast_source_faults",
    "gauge",
    "Parts of the objects' source that cannot be read now; what was read of them before stays in service.",
    ("resource",),
)
SNAPSHOT_TIMESTAMP = Metric(
    "kthena_fast_snapshot_timestamp_seconds", "gauge", "When the snapshot in service was built, in Unix time."
)

# The status of objects

STATUS_LEADER = Metric("kthena_fast_status_leader", "gauge", "1 while this replica writes the status of objects.")
STATUS_UPDATES = Metric(
    "kthena_fast_status_updates_total",
    "counter",
    "Objects whose status was to be written, by what became of it.",
    ("kind", "result"),
)
STATUS_PENDING = Metric("kthena_fast_status_pending", "gauge", "Objects whose status waits to be looked at.")
STATUS_STOPPED = Metric(
    "kthena_fast_status_stopped",
    "gauge",
    "1 for a kind whose status is not written: the CRD prunes it, a right is missing, or it is refused or absent.",
    ("kind", "reason"),
)

# The process

BUILD_INFO = Metric(
    "kthena_fast_build_info", "gauge", "Always 1; the labels say what is running.", ("version", "core", "python")
)
LOOP_LAG = Metric(
    "kthena_fast_loop_lag_seconds",
    "histogram",
    "How much later than asked the event loop ran a timer.",
    (),
    LAG_BUCKETS,
)
ACCESS_LOG_DROPPED = Metric(
    "kthena_fast_access_log_dropped_total",
    "counter",
    "Access-log lines lost because their output was too slow or failed.",
)
LABELS_DROPPED = Metric(
    "kthena_fast_metric_overflow_total",
    "counter",
    "Label sets that found their metric full and share its _overflow child.",
    ("metric",),
)

# The webhook

WEBHOOK_REVIEWS = Metric(
    "kthena_fast_webhook_reviews_total",
    "counter",
    "Reviews, by verdict: allowed, refused, malformed, overloaded or failed.",
    ("kind", "verdict"),
)
WEBHOOK_DURATION = Metric(
    "kthena_fast_webhook_review_duration_seconds",
    "histogram",
    "From the head of a review to its answer.",
    ("kind",),
    REQUEST_BUCKETS,
)
WEBHOOK_WARNINGS = Metric(
    "kthena_fast_webhook_warnings_total", "counter", "Warnings that came with an answer.", ("kind",)
)
WEBHOOK_CERTIFICATE_EXPIRY = Metric(
    "kthena_fast_webhook_certificate_expiry_timestamp_seconds",
    "gauge",
    "When the certificate in service ends, in Unix time; 0: there is none yet.",
)

_WEBHOOKS_OWN = (WEBHOOK_REVIEWS, WEBHOOK_DURATION, WEBHOOK_WARNINGS, WEBHOOK_CERTIFICATE_EXPIRY)

WEBHOOK: tuple[Metric, ...] = (*_WEBHOOKS_OWN, BUILD_INFO, LOOP_LAG, LABELS_DROPPED)
"""Those of `kthena-fast webhook`."""

ALL: tuple[Metric, ...] = tuple(
    value for value in list(globals().values()) if isinstance(value, Metric) and value not in _WEBHOOKS_OWN
)
"""Those of `kthena-fast gateway`."""
