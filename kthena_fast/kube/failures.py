"""How a request to the API server fails: it said no (`ApiError`), or nothing that could be used (`Unreachable`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

GONE = ("Expired", "Gone")
TOO_LARGE = "ResourceVersionTooLarge"
"""Kubernetes' words."""


class KubeError(Exception):
    """A request to the API server had no success; says why in one line."""


class ApiError(KubeError):
    """The API server refused: `status` is the HTTP status, `reason` Kubernetes' word for it (`AlreadyExists`)."""

    def __init__(
        self,
        status: int,
        reason: str,
        message: str,
        *,
        retry_after: float | None = None,
        causes: tuple[Any, ...] = (),
    ) -> None:
        super().__init__(f"{status} {reason}: {message}" if reason else f"{status}: {message}")
        self.status = status
        self.reason = reason
        self.message = message
        self.retry_after = retry_after
        """Seconds that the server asks to wait; None: it did not say."""
        self.causes = causes
        """`details.causes`: field, reason and message of each."""

    @property
    def is_not_found(self) -> bool:
        """No such object, or no such kind: its CRD is not installed."""
        return self.status == 404

    @property
    def is_conflict(self) -> bool:
        """Somebody else was quicker: the object is another version, or is there already."""
        return self.status == 409

    @property
    def is_gone(self) -> bool:
        """The version that was asked for is too old: list anew."""
        return self.status == 410 or self.reason in GONE

    @property
    def is_of_another_history(self) -> bool:
        """The version that was asked for is none of this server's, as after etcd was restored: list anew."""
        return self.status == 400 or any(
            isinstance(cause, dict) and cause.get("reason") == TOO_LARGE for cause in self.causes
        )

    @property
    def is_forbidden(self) -> bool:
        """A right is missing; the message names it."""
        return self.status == 403


class Unreachable(KubeError):
    """No usable answer: the connection failed or broke, time ran out, or there is nothing to say who we are with."""


class Silent(Unreachable):
    """A watch says nothing, not even that nothing happened."""


class Malformed(Unreachable):
    """What came is not what the API answers, or larger than anything it holds: it would come again."""


def from_status(status: Mapping[str, Any], http_status: int, retry_after: float | None = None) -> ApiError:
    """The error that a `Status` object tells, of an answer or of a watch."""
    details = status.get("details")
    details = details if isinstance(details, dict) else {}
    seconds = details.get("retryAfterSeconds")
    if retry_after is None and isinstance(seconds, int) and seconds > 0:
        retry_after = float(seconds)
    code = status.get("code")
    causes = details.get("causes")
    return ApiError(
        code if isinstance(code, int) and code else http_status,
        str(status.get("reason") or ""),
        str(status.get("message") or "the API server says no more"),
        retry_after=retry_after,
        causes=tuple(causes) if isinstance(causes, list) else (),
    )
