"""The reviews' way through HTTP: bytes of a request in, bytes of an answer out, and what bounds the work.

1. A call that is wrong is answered with 400 (or 404, 405, 408, 413) and one sentence as plain text; with 503 where more
   than `MAX_HELD` bytes of reviews would be held at once. Those of `SMALL` bytes are never too many: connections are
   counted (`connections`). Bytes count when they come, so nobody takes room by announcing a body.
2. A review of more than `SMALL` bytes is judged in one worker thread, one after the other, so that those of ordinary
   size are answered meanwhile; the cluster's objects are only looked at on the loop. A caller that leaves takes with it
   what still waits for the thread.
3. An object costs time in proportion to its bytes: expressions looked at, reasons and warnings are limited where they
   are made (`admission`, `reviews`, `judgement`).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from aiohttp import web
from aiohttp.typedefs import Middleware

from kthena_fast.resources.external_model_provider import ExternalModelProvider
from kthena_fast.resources.model_route import ModelRoute
from kthena_fast.resources.model_server import ModelServer
from kthena_fast.telemetry import metrics, one_line
from kthena_fast.webhook import judgement, reviews

if TYPE_CHECKING:
    from kthena_fast.serving.admin import Handler, Page
    from kthena_fast.telemetry.registry import Registry
    from kthena_fast.webhook.cluster import Cluster

log = logging.getLogger(__name__)

KINDS = (ModelRoute.KIND, ModelServer.KIND, ExternalModelProvider.KIND)

PATHS: Mapping[str, str] = {
    f"/validate{mark}{kind.lower()}": kind
    # Upstream's today, and those of its older chart.
    for mark in "/-"
    for kind in KINDS
}

MAX_REVIEW = 16 * 2**20
"""Bytes of one review. The API server takes objects of 3 MB, an update has two of them, and what is written as
`\\u003c` there takes more bytes here."""

MAX_HELD = 32 * 2**20
"""Bytes of all larger reviews that are being read or judged."""

SMALL = 16 * 2**10
"""Bytes up to which a review is judged at once: some milliseconds at worst."""

BODY_TIMEOUT = 10.0
"""Seconds for a body to arrive; no API server waits longer than 30 s for everything."""


class _Answered(Exception):
    """A call that ends without a verdict: what is said, and what it counts as."""

    def __init__(self, status: int, text: str, verdict: str) -> None:
        super().__init__(text)
        self.status = status
        self.text = text
        self.verdict = verdict


class Endpoint:
    """Answers reviews. To be closed."""

    def __init__(self, cluster: Cluster, registry: Registry, is_draining: Callable[[], bool]) -> None:
        self._cluster = cluster
        self._registry = registry
        self._is_draining = is_draining
        self._held = 0
        self._worker = ThreadPoolExecutor(1, "review")

    def close(self) -> None:
        """Give up what waits for the worker."""
        self._worker.shutdown(wait=False, cancel_futures=True)

    def application(self, pages: Mapping[str, Page], middlewares: Iterable[Middleware] = ()) -> web.Application:
        """The reviews' paths, and the health pages beside them."""
        application = web.Application(middlewares=middlewares)
        for path, kind in PATHS.items():
            application.router.add_post(path, self._handler(kind))
        for path, page in pages.items():
            application.router.add_get(path, _page(page))
        application.router.add_route("*", "/{path:.*}", _nowhere)
        return application

    def _handler(self, kind: str) -> Handler:
        async def handle(request: web.Request) -> web.Response:
            began = time.perf_counter()
            try:
                body, verdict = await self._answer(request, kind)
                answer = web.Response(body=body, content_type="application/json")
            except _Answered as early:
                verdict = early.verdict
                log.warning("%s is answered with %d: %s", request.path, early.status, early.text)
                answer = web.Response(status=early.status, text=f"{early.text}\n")
                if early.status == 503:
                    answer.headers["Retry-After"] = "1"
            except Exception:
                verdict = "failed"
                log.exception("a review of a %s could not be judged", kind)
                answer = web.Response(status=500, text="the review could not be judged: see the webhook's log\n")
            self._count(kind, verdict, time.perf_counter() - began)
            if self._is_draining():
                # The API server's next review goes to another replica.
                answer.force_close()
            return answer

        return handle

    async def _answer(self, request: web.Request, kind: str) -> tuple[bytes, str]:
        if request.content_type != "application/json":
            raise _Answered(400, f"the Content-Type must be application/json, not {request.content_type}", "malformed")
        if request.headers.get("Content-Encoding", "identity") != "identity":
            # A kilobyte could become megabytes that nobody has reserved. No API server packs what it asks.
            raise _Answered(400, "a review must not have a Content-Encoding", "malformed")
        size = request.content_length
        if size is not None and size > MAX_REVIEW:
            raise _Answered(413, f"the review has {size} bytes; {MAX_REVIEW} are allowed", "malformed")
        with self._holding() as hold:
            try:
                body = await _read(request, hold if size is None or size > SMALL else _free)
                if len(body) <= SMALL:
                    review, verdict = _judged(body, kind)
                else:
                    judging = asyncio.get_running_loop().run_in_executor(self._worker, _judged, body, kind)
                    review, verdict = await judging
            except reviews.BadReview as problem:
                raise _Answered(400, str(problem), "malformed") from problem
        warnings = judgement.warnings(verdict, self._cluster)
        self._registry.value(metrics.WEBHOOK_WARNINGS, kind).add(len(warnings))
        if not verdict.reasons:
            return reviews.allow(review.uid, warnings), "allowed"
        _log_refusal(review, verdict)
        return reviews.refuse(review, verdict.reasons, warnings), "refused"

    @contextlib.contextmanager
    def _holding(self) -> Iterator[Callable[[int], None]]:
        """Give a function that counts bytes as held until the end of the block, or answers that they are too many."""
        held = 0

        def hold(size: int) -> None:
            nonlocal held
            if self._held + size > MAX_HELD:
                raise _Answered(503, "too many bytes of reviews are being looked at already", "overloaded")
            self._held += size
            held += size

        try:
            yield hold
        finally:
            self._held -= held

    def _count(self, kind: str, verdict: str, seconds: float) -> None:
        self._registry.value(metrics.WEBHOOK_REVIEWS, kind, verdict).add(1.0)
        self._registry.histogram(metrics.WEBHOOK_DURATION, kind).observe(seconds)


def _judged(body: bytes, kind: str) -> tuple[reviews.Review, judgement.Verdict]:
    review = reviews.read(body, kind)
    return review, judgement.judge(review)


def _log_refusal(review: reviews.Review, verdict: judgement.Verdict) -> None:
    log.info(
        "%s of the %s %s/%s by %s is refused: %s",
        review.operation,
        review.kind,
        review.namespace,
        review.name,
        review.user or "somebody",
        one_line.cut("; ".join(str(reason) for reason in verdict.reasons[: reviews.MAX_REASONS])),
    )


async def _read(request: web.Request, hold: Callable[[int], None]) -> bytes:
    parts: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(BODY_TIMEOUT):
            async for part in request.content.iter_any():
                hold(len(part))
                size += len(part)
                if size > MAX_REVIEW:
                    raise _Answered(413, f"the review has more than {MAX_REVIEW} bytes", "malformed")
                parts.append(part)
    except TimeoutError:
        raise _Answered(408, f"the review did not arrive within {BODY_TIMEOUT:g} s", "malformed") from None
    except web.RequestPayloadError as problem:
        raise _Answered(400, f"the body breaks HTTP's rules: {problem}", "malformed") from None
    return b"".join(parts)


def _free(_: int) -> None:
    """Bytes that need not be counted."""


def _page(page: Page) -> Handler:
    async def handle(_: web.Request) -> web.Response:
        status, content_type, body = page()
        return web.Response(status=status, body=body, headers={"Content-Type": content_type.decode()})

    return handle


async def _nowhere(request: web.Request) -> web.Response:
    if request.path in PATHS:
        return web.Response(status=405, text="reviews are posted\n", headers={"Allow": "POST"})
    return web.Response(status=404, text=f"there is no {request.path!r} here; reviews go to {', '.join(PATHS)}\n")
