"""Every way a request can fail: one exception that knows its status, its OpenAI shape and its place in the logs.

`replies` turns it into an answer, the access log and `kthena_router_requests_total` read `reason`, and nothing else
decides a status. The table of answers is DESIGN 5; `reason` values are Kthena's `error.type` names where one exists.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

Origin = Literal["router", "upstream"]

Reason = Literal[
    "request_parsing",
    "route_not_found",
    "not_found",
    "request_timeout",
    "body_too_large",
    "headers_too_large",
    "queue_full",
    "user_queue_full",
    "queue_timeout",
    "not_synced",
    "pod_discovery",
    "overloaded",
    "draining",
    "proxy",
    "upstream_timeout",
    "client_gone",
    "internal",
]
MEANINGS: Mapping[Reason, str] = {
    "request_parsing": "the HTTP or the body is wrong, or the method is not allowed",
    "route_not_found": "no route has the model, or none takes this request",
    "not_found": "no such path",
    "request_timeout": "the request did not arrive in time",
    "body_too_large": "the body is larger than allowed",
    "headers_too_large": "the headers are more or larger than allowed",
    "queue_full": "as many requests as may wait for the model",
    "user_queue_full": "as many requests as may wait of this user",
    "queue_timeout": "no turn in the time that a request may wait",
    "not_synced": "the objects were not read yet",
    "pod_discovery": "no target of the route has a ready pod",
    "overloaded": "as many bytes of bodies as may be held at once",
    "draining": "the gateway is shutting down",
    "proxy": "no engine could be reached, or its answer was broken",
    "upstream_timeout": "no engine began its answer in time",
    "client_gone": "the client left",
    "internal": "a fault of the gateway; its log has the trace",
}
"""What a reason means, for the documents."""

INVALID_REQUEST = "invalid_request_error"
UNAVAILABLE = "unavailable"
UPSTREAM = "upstream_error"
RATE_LIMIT = "rate_limit_error"
TIMEOUT = "timeout"


class GatewayError(Exception):
    """A request's failure as its client, the access log and the metrics see it.

    `status` is the HTTP status (499: the client has gone, nothing is answered); `type`, `code` and `param` are the
    fields of OpenAI's error object; `reason` is the bounded label of logs and metrics; `retry_after` is whole seconds;
    `should_retry` becomes `x-should-retry`, which the OpenAI SDK obeys; `allow` becomes `Allow`; `close` asks for the
    connection to be closed.
    """

    def __init__(
        self,
        status: int,
        type: str,  # noqa: A002 - the name of the field in OpenAI's error object
        code: str,
        message: str,
        *,
        reason: Reason,
        param: str | None = None,
        origin: Origin = "router",
        retry_after: int | None = None,
        should_retry: bool | None = None,
        allow: str = "",
        close: bool = False,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.type = type
        self.code = code
        self.message = message
        self.reason = reason
        self.param = param
        self.origin = origin
        self.retry_after = retry_after
        self.should_retry = should_retry
        self.allow = allow
        self.close = close


def bad_request(
    message: str, *, code: str = "bad_request", param: str | None = None, close: bool = False
) -> GatewayError:
    return GatewayError(400, INVALID_REQUEST, code, message, reason="request_parsing", param=param, close=close)


def model_not_found(model: str) -> GatewayError:
    return GatewayError(
        404,
        INVALID_REQUEST,
        "model_not_found",
        f"The model {model!r} does not exist or no route accepts this request.",
        reason="route_not_found",
        param="model",
    )


def path_not_found(path: str) -> GatewayError:
    return GatewayError(404, INVALID_REQUEST, "not_found", f"There is nothing at {path!r}.", reason="not_found")


def method_not_allowed(method: str, allowed: str) -> GatewayError:
    return GatewayError(
        405,
        INVALID_REQUEST,
        "method_not_allowed",
        f"The method {method} is not allowed here; allowed: {allowed}.",
        reason="request_parsing",
        allow=allowed,
    )


def unsupported_protocol(what: str) -> GatewayError:
    return GatewayError(
        400, INVALID_REQUEST, "bad_request", f"{what} is not supported here.", reason="request_parsing", close=True
    )


def request_timeout(what: str) -> GatewayError:
    return GatewayError(
        408,
        INVALID_REQUEST,
        "request_timeout",
        f"The {what} did not arrive in time.",
        reason="request_timeout",
        close=True,
    )


def body_too_large(limit: int) -> GatewayError:
    return GatewayError(
        413,
        INVALID_REQUEST,
        "body_too_large",
        f"The request body is larger than the {limit} bytes allowed (MAX_BODY_BYTES).",
        reason="body_too_large",
        close=True,
    )


def headers_too_large(limit: str) -> GatewayError:
    return GatewayError(
        431,
        INVALID_REQUEST,
        "headers_too_large",
        f"The request headers are beyond what is allowed ({limit}).",
        reason="headers_too_large",
        close=True,
    )


def overloaded(message: str, *, retry_after: int = 1) -> GatewayError:
    return GatewayError(
        503, UNAVAILABLE, "overloaded", message, reason="overloaded", retry_after=retry_after, close=True
    )


def not_synced() -> GatewayError:
    return GatewayError(
        503, UNAVAILABLE, "not_synced", "The gateway has not read its routes yet.", reason="not_synced", retry_after=1
    )


def draining() -> GatewayError:
    return GatewayError(
        503, UNAVAILABLE, "draining", "The gateway is shutting down.", reason="draining", retry_after=1, close=True
    )


def no_ready_pod(model: str) -> GatewayError:
    return GatewayError(
        503,
        UNAVAILABLE,
        "no_ready_pod",
        f"No ready engine serves the model {model!r} at present.",
        reason="pod_discovery",
        retry_after=1,
    )


def connection_failed(detail: str) -> GatewayError:
    return GatewayError(
        502,
        UPSTREAM,
        "connection_failed",
        f"The engine could not be reached: {detail}.",
        reason="proxy",
        origin="upstream",
    )


def protocol_error(detail: str) -> GatewayError:
    return GatewayError(
        502,
        UPSTREAM,
        "protocol_error",
        f"The engine's answer was broken: {detail}.",
        reason="proxy",
        origin="upstream",
    )


def upstream_timeout(seconds: float) -> GatewayError:
    return GatewayError(
        504,
        TIMEOUT,
        "upstream_timeout",
        f"The engine did not begin its answer within {seconds:g} s.",
        reason="upstream_timeout",
        origin="upstream",
        should_retry=False,
    )


def queue_full(*, per_user: bool, limit: int, retry_after: int) -> GatewayError:
    whose = "of this user" if per_user else "of this model"
    return GatewayError(
        429,
        RATE_LIMIT,
        "user_queue_full" if per_user else "queue_full",
        f"The queue {whose} already holds the {limit} requests allowed.",
        reason="user_queue_full" if per_user else "queue_full",
        retry_after=retry_after,
    )


def queue_timeout(seconds: float) -> GatewayError:
    return GatewayError(
        504,
        TIMEOUT,
        "queue_timeout",
        f"The request waited {seconds:g} s for its turn, which is as long as it may.",
        reason="queue_timeout",
        should_retry=False,
    )


def client_gone() -> GatewayError:
    return GatewayError(499, INVALID_REQUEST, "client_gone", "The client left.", reason="client_gone", close=True)


def internal() -> GatewayError:
    return GatewayError(500, "server_error", "internal_error", "The gateway failed; see its log.", reason="internal")
