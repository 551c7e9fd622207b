"""Health: `/healthz` from the first moment, `/readyz` honest; the same on the inference and the metrics port."""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson

from kthena_fast.serving.admin import Page

if TYPE_CHECKING:
    from kthena_fast.gateway.state import State
    from kthena_fast.telemetry.registry import Registry


def health(state: State) -> dict[str, Page]:
    """The health pages by their path."""

    def healthz() -> tuple[int, bytes, bytes]:
        return _message(200, "ok")

    def readyz() -> tuple[int, bytes, bytes]:
        if state.draining:
            return _message(503, "router is not ready", "the gateway is shutting down")
        if not state.synced:
            return _message(503, "router is not ready", state.detail)
        return _message(200, "router is ready", state.notice)

    return {"/healthz": healthz, "/readyz": readyz}


def metrics(registry: Registry) -> Page:
    """`/metrics` on the inference port, where it was asked for."""

    def page() -> tuple[int, bytes, bytes]:
        registry.refresh()
        body, content_type = registry.render()
        return 200, content_type.encode(), body

    return page


def _message(status: int, message: str, detail: str = "") -> tuple[int, bytes, bytes]:
    document = {"message": message, "detail": detail} if detail else {"message": message}
    return status, b"application/json", orjson.dumps(document)
