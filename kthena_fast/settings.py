"""Every knob read from the environment, once, at start: name, default, unit and what is allowed.

A field `fairness_window_size` is the variable `FAIRNESS_WINDOW_SIZE`. Upstream's variables keep their name, default and
range; the others follow their pattern. `read` is the only reader of the environment (`core/_choice.py` aside).

1. A bad value refuses to start, in one line that names the variable, the value and what is allowed.
2. `KTHENA_FAST_LENIENT_ENV=true` gives upstream's warn-and-default back, for upstream's variables only.
3. An unknown `FAIRNESS_*` or `ACCESS_LOG_*` warns with the nearest name: a typing error must not be silent. Nor is a
   variable that changes nothing here.
"""

from __future__ import annotations

import difflib
import ipaddress
import math
import re
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic_core import PydanticUndefined

from kthena_fast import durations

_TRUE = frozenset({"1", "t", "T", "TRUE", "true", "True"})
_FALSE = frozenset({"0", "f", "F", "FALSE", "false", "False"})
_HEADER = re.compile(r"[-!#$%&'*+.^_`|~0-9A-Za-z]+")
"""A header's name (RFC 9110, 5.6.2)."""
_SIZES = {"KiB": 2**10, "MiB": 2**20, "GiB": 2**30}


class Allowed:
    """What a variable may hold, in words, and how a value of it is written: for refusals and for the reference."""

    def __init__(self, words: str, write: Callable[[Any], str] = str) -> None:
        self.words = words
        self.write = write


def _boolean(value: object) -> object:
    if isinstance(value, str):
        if value in _TRUE:
            return True
        if value in _FALSE:
            return False
        raise ValueError("not a boolean")
    return value


def _seconds(value: object) -> object:
    return durations.parse(value) if isinstance(value, str) else value


def _bytes(value: object) -> object:
    if isinstance(value, str):
        for unit, factor in _SIZES.items():
            if value.endswith(unit):
                return int(value.removesuffix(unit)) * factor
        return int(value)
    return value


def _write_bytes(count: int) -> str:
    for unit, factor in reversed(_SIZES.items()):
        if count % factor == 0:
            return f"{count // factor}{unit}"
    return str(count)


def _finite(value: object) -> object:
    number = float(value) if isinstance(value, str) else value
    if isinstance(number, float) and not math.isfinite(number):
        raise ValueError("not finite")
    return number


def _list(value: object) -> object:
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return value


def _networks(value: object) -> object:
    parts = _list(value)
    return tuple(ipaddress.ip_network(part) for part in parts) if isinstance(parts, tuple) else parts


Boolean = Annotated[bool, BeforeValidator(_boolean), Allowed("true or false", lambda value: str(value).lower())]
PositiveDuration = Annotated[
    float,
    BeforeValidator(_seconds),
    Field(gt=0),
    Allowed("a duration above 0, such as 300ms, 10s or 5m", durations.show),
]
Duration = Annotated[
    float,
    BeforeValidator(_seconds),
    Field(ge=0),
    Allowed("a duration of 0 or more, such as 0s, 10s or 5m", durations.show),
]
Window = Annotated[
    float, BeforeValidator(_seconds), Field(ge=60, le=3600), Allowed("a duration from 1m to 1h", durations.show)
]
Weight = Annotated[float, BeforeValidator(_finite), Field(ge=0), Allowed("a finite number of 0 or more")]
MOST: Final = 2**63 - 1
"""Of what is counted in C; upstream's own limit."""

Count = Annotated[int, Field(ge=0, le=MOST), Allowed("a whole number of 0 or more, below 2^63")]
PositiveCount = Annotated[int, Field(gt=0, le=MOST), Allowed("a whole number above 0 and below 2^63")]
Rows = Annotated[int, Field(ge=1, le=2**24), Allowed("a whole number from 1 to 16777216")]
"""Of the ledger, or who waits in one: the most that it can have."""
Size = Annotated[
    int,
    BeforeValidator(_bytes),
    Field(gt=0, le=MOST),
    Allowed("a number of bytes above 0, such as 65536, 64KiB or 32MiB, and below 2^63", _write_bytes),
]
Networks = Annotated[
    tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...],
    BeforeValidator(_networks),
    Allowed("networks separated by commas, such as 10.0.0.0/8,fd00::/8"),
]


class Settings(BaseModel):
    """The environment, read and checked. Durations are seconds, sizes bytes."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)

    kthena_fast_lenient_env: Boolean = False
    """A bad value of one of upstream's variables warns and takes the default, as upstream does."""
    pod_namespace: str = "default"
    """Namespace that this process runs in, where its Lease is. Unset: that of its service account or kubeconfig."""

    log_level: Annotated[
        Literal["debug", "info", "warning", "error"],
        BeforeValidator(lambda value: value.lower() if isinstance(value, str) else value),
        Allowed("debug, info, warning or error"),
    ] = "info"
    """Of the application log, which goes to stderr."""
    log_format: Annotated[Literal["text", "json"], Allowed("text or json")] = "text"
    """Of the application log."""

    access_log_enabled: Boolean = True
    """One line per request, at its end."""
    access_log_format: Annotated[Literal["text", "json"], Allowed("text or json")] = "text"
    """Upstream's layouts, with our fields after upstream's."""
    access_log_output: Annotated[str, Field(min_length=1), Allowed("stdout, stderr or the path of a file")] = "stdout"
    """A file is appended to, reopened on SIGHUP and flushed on exit."""

    max_body_bytes: Size = 32 * 2**20
    """Beyond it: 413. Room for several base64 images in one chat."""
    max_buffered_bytes: Size = 256 * 2**20
    """Request bodies held at one moment, all together; beyond it: 503 with Retry-After."""
    max_header_bytes: Size = 32 * 2**10
    """Beyond it: 431."""
    max_headers: PositiveCount = 100
    """Beyond it: 431."""
    header_timeout: PositiveDuration = 10.0
    """From a connection's first byte of a request to the end of its head; beyond it: 408."""
    body_timeout: PositiveDuration = 30.0
    """Without a byte of progress while a body arrives; beyond it: 408."""
    keepalive_timeout: PositiveDuration = 75.0
    """Between requests; beyond it the connection is closed."""
    stream_coalescing: Annotated[
        float,
        BeforeValidator(_seconds),
        Field(ge=0, le=0.01),
        Allowed("a duration from 0s to 10ms", durations.show),
    ] = 0.0005
    """How long pieces of streams may wait for each other, where they come more densely than that, so that several cost
    one waking of the process. 0s: not at all."""
    max_connections: PositiveCount = 20_000
    """Beyond it: refused. Health also answers on the metrics port."""
    connect_timeout: PositiveDuration = 5.0
    """To an engine; beyond it the next pod is tried, then 502."""
    drain_delay: Duration = 0.0
    """How long the listener stays open after SIGTERM, while endpoints are being removed elsewhere."""
    drain_timeout: PositiveDuration = 300.0
    """How long requests may go on after SIGTERM; then waiters get 503 and streams are aborted."""

    trusted_proxies: Networks = ()
    """Peers whose X-Forwarded-For and -Proto are kept and appended to."""
    upstream_ca_file: str = ""
    """PEM file that engines' certificates are verified against; without it they are not verified."""

    status_updates: Boolean = True
    """With `--kubernetes`: conditions are written to the status of ModelRoutes and ModelServers, by one replica."""
    status_lease_name: Annotated[
        str,
        Field(max_length=253, pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$"),
        Allowed("a name as Kubernetes gives them, such as kthena-fast-status"),
    ] = "kthena-fast-status"
    """Lease in the namespace of the process whose holder writes them; gateways that read different namespaces and run
    in one need a Lease each."""

    metrics_scrape_interval: PositiveDuration = 1.0
    """Period of reading engines' metrics. Those of a pod that has no request from here are read every 4s, if the
    period is shorter."""

    enable_fairness_scheduling: Boolean = False
    """Requests wait for their turn, in the order of their users' recent use."""
    fairness_policy: Annotated[Literal["window", "vtc"], Allowed("window or vtc")] = "window"
    """`window`: least used in the window goes first; `vtc`: virtual token counters (Sheng et al., OSDI'24)."""
    fairness_window_size: Window = 300.0
    """How far back use counts."""
    fairness_input_token_weight: Weight = 1.0
    """What a prompt token counts for in a user's use. 0 for both kinds of tokens leaves no order, and is refused with
    fairness where requests count for nothing either."""
    fairness_output_token_weight: Weight = 2.0
    """What a generated token counts for in a user's use: it takes an engine longer than a prompt token."""
    fairness_queue_timeout: PositiveDuration = 60.0
    """Longest wait for a turn; beyond it: 504."""
    fairness_max_concurrent: Count = 0
    """Above 0: that many requests at once per ModelServer. 0: see fairness_max_qps."""
    fairness_max_qps: Annotated[int | None, Field(gt=0, le=MOST), Allowed("a whole number above 0 and below 2^63")] = (
        None
    )
    """Set: upstream's mode of so many turns a second for each model. Unset: permits follow the engines (`auto`)."""
    fairness_pod_concurrency: PositiveCount = 32
    """Where `auto` starts: requests at once per pod."""
    fairness_priority_token_weight: Weight = 1.0
    """Of used tokens in the order of users."""
    fairness_priority_request_num_weight: Weight = 0.0
    """Of admitted requests in the order of users."""
    fairness_priority_refresh_retries: Count = 0
    """Upstream's; of no effect here, since the order is always current."""
    fairness_rebuild_threshold: PositiveCount = 64
    """Upstream's; of no effect here, since the order is always current."""
    fairness_max_queue: Rows = 10_000
    """Waiting requests of one model and one list of targets, which have a queue of their own; beyond it: 429."""
    fairness_max_queue_per_user: Rows = 1_000
    """Waiting requests of one user for one model and one list of targets; beyond it: 429."""
    fairness_max_users: Rows = 100_000
    """Rows of the ledger; above it the idle row with least service goes."""
    fairness_top_users: Annotated[int, Field(ge=0, le=512), Allowed("a whole number from 0 to 512")] = 10
    """Users named in metrics, per model."""
    fairness_image_tokens: Annotated[int, Field(ge=0, le=2**31 - 1), Allowed("a whole number from 0 to 2147483647")] = (
        1_000
    )
    """Estimated input tokens of an image."""
    fairness_user_sources: Annotated[
        tuple[str, ...],
        BeforeValidator(_list),
        Field(min_length=1),
        Allowed("body:FIELD, header:NAME and anonymous, separated by commas", ",".join),
    ] = ("body:user", "body:userId", "anonymous")
    """Who a request's user is: the first source that gives a name."""
    fairness_shares_file: str = ""
    """YAML file of users' shares, groups and classes; reloaded when it changes."""
    fairness_reserve_output: Boolean = True
    """Charge the user's recent mean answer at admission, replaced by the real count as it arrives. On, because in the
    simulator it narrows what users drift apart by to a third and less (docs/fairness.md)."""

    enable_session_boost: Boolean = False
    """Upstream's session-boost queue: not built, so true is refused."""

    redis_host: str = ""
    """Upstream's; of no effect yet: each replica counts requests in flight on its own."""
    redis_port: Annotated[int, Field(ge=1, le=65535), Allowed("a port from 1 to 65535")] = 6379
    """Upstream's; of no effect yet, as is redis_host."""
    redis_password: str = ""
    """Upstream's; of no effect yet, as is redis_host."""


UPSTREAMS_OWN = frozenset(
    [
        "POD_NAMESPACE",
        "DRAIN_TIMEOUT",
        "REDIS_HOST",
        "REDIS_PORT",
        "REDIS_PASSWORD",
        "METRICS_SCRAPE_INTERVAL",
        "ACCESS_LOG_ENABLED",
        "ACCESS_LOG_FORMAT",
        "ACCESS_LOG_OUTPUT",
        "ENABLE_FAIRNESS_SCHEDULING",
        "ENABLE_SESSION_BOOST",
        "FAIRNESS_WINDOW_SIZE",
        "FAIRNESS_INPUT_TOKEN_WEIGHT",
        "FAIRNESS_OUTPUT_TOKEN_WEIGHT",
        "FAIRNESS_QUEUE_TIMEOUT",
        "FAIRNESS_MAX_CONCURRENT",
        "FAIRNESS_MAX_QPS",
        "FAIRNESS_PRIORITY_REFRESH_RETRIES",
        "FAIRNESS_REBUILD_THRESHOLD",
        "FAIRNESS_PRIORITY_TOKEN_WEIGHT",
        "FAIRNESS_PRIORITY_REQUEST_NUM_WEIGHT",
    ]
)
"""Variables that Kthena's router reads too; rule 2 is about these."""

NO_EFFECT = {
    "REDIS_HOST": "counts of requests in flight are not shared between replicas yet",
    "FAIRNESS_PRIORITY_REFRESH_RETRIES": "the order of users is always current",
    "FAIRNESS_REBUILD_THRESHOLD": "the order of users is always current",
}
"""Variables that are checked and change nothing, with the reason: said at the start where one is set."""

SESSION_BOOST = "the session-boost queue is not built yet"
_WATCHED_PREFIXES = ("FAIRNESS_", "ACCESS_LOG_")


class BadSetting(Exception):
    """A value that refuses to start; its text is the one line to print."""


def variables() -> dict[str, str]:
    """Variable -> field, in the order of declaration."""
    return {name.upper(): name for name in Settings.model_fields}


_TEXT = Allowed("a text")


def _allowed(field: str) -> Allowed:
    return next((entry for entry in Settings.model_fields[field].metadata if isinstance(entry, Allowed)), _TEXT)


def allowed(field: str) -> str:
    """What a field may hold, in words."""
    return _allowed(field).words


def default(field: str) -> str:
    """A field's default as the environment would give it; empty where there is none."""
    value = Settings.model_fields[field].default
    assert value is not PydanticUndefined
    return "" if value is None or value == () else _allowed(field).write(value)


def read(environment: Mapping[str, str], warn: Callable[[str], None]) -> Settings:
    """The settings of an environment; BadSetting for the first bad value, `warn` for what is odd but bearable.

    An empty value counts as absent, as charts write it.
    """
    known = variables()
    given = {field: environment[name] for name, field in known.items() if environment.get(name, "") != ""}
    for name in environment:
        if name.startswith("SESSION_BOOST_"):
            warn(f"{name} has no effect here: {SESSION_BOOST}")
        elif name.startswith(_WATCHED_PREFIXES) and name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            warn(f"{name} is not a variable of this gateway" + (f"; did you mean {near[0]}?" if near else ""))
    for name, why in NO_EFFECT.items():
        if name.lower() in given:
            warn(f"{name} has no effect here: {why}")
    values: dict[str, Any] = dict(given)
    while True:
        try:
            settings = Settings(**values)
        except ValidationError as problem:
            error = problem.errors(include_url=False)[0]
            field = str(error["loc"][0])
            line = f"{field.upper()}={given[field]!r} is not allowed: it must be {allowed(field)}"
            if not _is_lenient(environment) or field.upper() not in UPSTREAMS_OWN:
                raise BadSetting(line) from None
            warn(f"{line}; {default(field) or 'none'} is used")
            del values[field]
            continue
        weightless = _weightless(settings)
        if weightless:
            line = (
                f"{weightless[0].upper()}=0 and {weightless[1].upper()}=0 are not allowed together: nothing that users "
                "do would count, and nobody's turn come before another's; one of them must be above 0"
            )
            if not _is_lenient(environment):
                raise BadSetting(line)
            warn(f"{line}; {' and '.join(map(default, weightless))} are used")
            for field in weightless:
                values.pop(field, None)
            continue
        _refuse_what_is_not_built(settings)
        return settings


def _is_lenient(environment: Mapping[str, str]) -> bool:
    return environment.get("KTHENA_FAST_LENIENT_ENV", "") in _TRUE


def _weightless(settings: Settings) -> tuple[str, ...]:
    """The two fields whose zeros leave fairness without an order; none: something counts."""
    if not settings.enable_fairness_scheduling or settings.fairness_priority_request_num_weight:
        return ()
    if not settings.fairness_priority_token_weight:
        return "fairness_priority_token_weight", "fairness_priority_request_num_weight"
    # The shares file may hold others.
    if settings.fairness_input_token_weight or settings.fairness_output_token_weight or settings.fairness_shares_file:
        return ()
    return "fairness_input_token_weight", "fairness_output_token_weight"


def _refuse_what_is_not_built(settings: Settings) -> None:
    if settings.max_body_bytes > settings.max_buffered_bytes:
        raise BadSetting(
            f"MAX_BODY_BYTES={settings.max_body_bytes} is not allowed: "
            f"it must be at most MAX_BUFFERED_BYTES ({settings.max_buffered_bytes})"
        )
    if settings.enable_session_boost:
        raise BadSetting(f"ENABLE_SESSION_BOOST=true is not allowed: {SESSION_BOOST}")
    for source in settings.fairness_user_sources:
        kind, _, name = source.partition(":")
        if kind == "jwt" or source == "apikey":
            raise BadSetting(
                f"FAIRNESS_USER_SOURCES={','.join(settings.fairness_user_sources)!r} is not allowed: "
                f"{source!r} needs authentication, which is not built yet"
            )
        if source == "anonymous" or (kind == "body" and name) or (kind == "header" and _HEADER.fullmatch(name)):
            continue
        raise BadSetting(
            f"FAIRNESS_USER_SOURCES={','.join(settings.fairness_user_sources)!r} is not allowed: "
            f"{source!r} must be {allowed('fairness_user_sources')}"
        )
