"""Reviews over HTTPS: paths, what a bad call is told, and the bounds of the work."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import json
import logging
import threading
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from kthena_fast.webhook import connections, endpoint, judgement, reviews
from tests.gateway import processes
from tests.resources import corpus
from tests.webhook import asking

MEGABYTE = 2**20


@pytest.mark.parametrize("at", sorted(endpoint.PATHS))
async def test_both_paths_of_a_kind_are_answered(at: str, tmp_path: Path) -> None:
    obj = {"ModelRoute": corpus.route(), "ModelServer": corpus.server(), "ExternalModelProvider": corpus.provider()}
    async with asking.scene(tmp_path) as scene:
        answer = await scene.ask(asking.review(obj[endpoint.PATHS[at]]), at)
        assert answer.allowed
        assert answer.headers["content-type"] == "application/json"


def test_the_paths_are_upstreams_today_and_those_of_its_older_chart() -> None:
    assert set(endpoint.PATHS) == {
        "/validate/modelroute",
        "/validate/modelserver",
        "/validate/externalmodelprovider",
        "/validate-modelroute",
        "/validate-modelserver",
        "/validate-externalmodelprovider",
    }


async def test_a_bad_object_is_refused_and_a_bad_call_is_an_error(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with asking.scene(tmp_path) as scene:
        answer = await scene.ask(asking.review(corpus.route(loraAdapters=[""])))
        assert answer.causes == ["spec.loraAdapters[0]"]
        assert "CREATE of the ModelRoute default/a by alice is refused: spec.loraAdapters[0]: lora" in caplog.text
        answer = await scene.ask(asking.review(corpus.route()), asking.path("ModelServer"))
        assert (answer.status, answer.headers["content-type"]) == (400, "text/plain; charset=utf-8")
        assert answer.text.startswith("this path is for ModelServer of networking.serving.volcano.sh, and request.kind")
        reviews_total = "kthena_fast_webhook_reviews_total"
        assert await scene.metric(reviews_total, kind="ModelRoute", verdict="refused") == 1
        assert await scene.metric(reviews_total, kind="ModelServer", verdict="malformed") == 1


async def test_warnings_are_counted(tmp_path: Path) -> None:
    async with asking.scene(tmp_path) as scene:
        answer = await scene.ask(asking.review(corpus.route(rules=[])))
        assert answer.allowed
        assert answer.warnings == [
            "spec.rules: the route has no rules, so requests for its names are answered with 404"
        ]
        assert await scene.metric("kthena_fast_webhook_warnings_total", kind="ModelRoute") == 1
        assert await scene.metric("kthena_fast_webhook_certificate_expiry_timestamp_seconds") > 1.7e9


async def test_a_call_that_is_no_review_is_told_so(tmp_path: Path) -> None:
    async with asking.scene(tmp_path) as scene:
        at = asking.path("ModelRoute")
        body = json.dumps(asking.review(corpus.route()))
        for kind in ("text/plain", "application/yaml", "application/x-www-form-urlencoded"):
            answer = await scene.post(at, data=body, headers={"Content-Type": kind})
            assert (answer.status, answer.text) == (400, f"the Content-Type must be application/json, not {kind}\n")
        packed = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
        answer = await scene.post(at, data=gzip.compress(body.encode()), headers=packed)
        assert (answer.status, answer.text) == (400, "a review must not have a Content-Encoding\n")
        # Upstream refuses this one.
        answer = await scene.post(at, data=body, headers={"Content-Type": "application/json; charset=utf-8"})
        assert answer.allowed
        answer = await scene.get(at)
        assert (answer.status, answer.headers["allow"]) == (405, "POST")
        answer = await scene.get("/elsewhere")
        assert answer.status == 404
        assert "/validate/modelroute" in answer.text


async def test_health_is_answered_on_both_ports(tmp_path: Path) -> None:
    async with asking.scene(tmp_path) as scene:
        for on_metrics_port in (False, True):
            for page in ("/healthz", "/readyz"):
                answer = await scene.get(page, on_metrics_port=on_metrics_port)
                assert (answer.status, answer.text) == (200, "ok\n")


def large(size: int) -> dict[str, Any]:
    """A route of about so many bytes, to which nothing is to be said."""
    value = "v" * 64
    count = size // 96
    return corpus.matching(headers={f"x-header-{number:07}": {"exact": value} for number in range(count)})


async def test_objects_of_three_megabytes_are_judged_as_any_other(tmp_path: Path) -> None:
    good = large(3 * MEGABYTE)
    assert len(json.dumps(good)) >= 3 * MEGABYTE
    async with asking.scene(tmp_path) as scene:
        assert (await scene.ask(asking.review(good))).allowed
        # Two of them, as an update has.
        assert (await scene.ask(asking.review(good, good))).allowed
        bad = asking.changed(good, loraAdapters=[""])
        assert (await scene.ask(asking.review(bad, good))).causes == ["spec.loraAdapters[0]"]


async def test_more_than_the_largest_review_is_refused_however_its_length_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(endpoint, "MAX_REVIEW", 10_000)

    async def chunks() -> Any:
        for _ in range(20):
            yield b"x" * 1000

    async with asking.scene(tmp_path) as scene:
        at, headers = asking.path("ModelRoute"), {"Content-Type": "application/json"}
        answer = await scene.post(at, data=b"x" * 20_000, headers=headers)
        assert (answer.status, answer.text) == (413, "the review has 20000 bytes; 10000 are allowed\n")
        answer = await scene.post(at, data=chunks(), headers=headers)
        assert (answer.status, answer.text) == (413, "the review has more than 10000 bytes\n")


class Held:
    """Holds what the worker is to judge, until it is let go."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.begun = threading.Semaphore(0)
        self.go_on = threading.Event()
        self.judged = 0
        judge = judgement.judge

        def held(review: reviews.Review) -> judgement.Verdict:
            if threading.current_thread() is not threading.main_thread():
                self.judged += 1
                self.begun.release()
                assert self.go_on.wait(processes.PATIENCE)
            return judge(review)

        monkeypatch.setattr(judgement, "judge", held)

    async def until_begun(self) -> None:
        assert await asyncio.to_thread(self.begun.acquire, timeout=processes.PATIENCE)


async def test_small_reviews_are_answered_while_a_large_one_is_judged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = Held(monkeypatch)
    async with asking.scene(tmp_path) as scene:
        waiting = asyncio.create_task(scene.ask(asking.review(large(2 * endpoint.SMALL))))
        await held.until_begun()
        for _ in range(20):
            assert (await scene.ask(asking.review(corpus.route()))).allowed
        assert not waiting.done()
        held.go_on.set()
        assert (await waiting).allowed


async def test_no_more_bytes_are_held_than_are_allowed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    held = Held(monkeypatch)
    monkeypatch.setattr(endpoint, "MAX_HELD", 5 * endpoint.SMALL)
    async with asking.scene(tmp_path) as scene:
        review = asking.review(large(2 * endpoint.SMALL))
        waiting = asyncio.create_task(scene.ask(review))
        await held.until_begun()
        another = asyncio.create_task(scene.ask(review))

        async def is_full() -> bool:
            return scene.endpoint._held > 4 * endpoint.SMALL

        await processes.until(is_full)
        answer = await scene.ask(review)
        assert answer.status == 503
        assert answer.headers["retry-after"] == "1"
        assert answer.text == "too many bytes of reviews are being looked at already\n"
        assert (await scene.ask(asking.review(corpus.route()))).allowed
        held.go_on.set()
        assert (await waiting).allowed
        assert (await another).allowed
        # What was held is given back.
        assert (await scene.ask(review)).allowed


async def test_who_leaves_takes_a_review_that_waits_along(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    held = Held(monkeypatch)
    async with asking.scene(tmp_path) as scene:
        review = asking.review(large(2 * endpoint.SMALL))
        first = asyncio.create_task(scene.ask(review))
        await held.until_begun()
        endpoint_ = scene.endpoint
        before = endpoint_._held
        async with aiohttp.ClientSession() as session:
            leaving = asyncio.create_task(
                session.post(scene.url + asking.path("ModelRoute"), json=review, ssl=scene.context)
            )

            async def is_waiting() -> bool:
                return endpoint_._held > before and endpoint_._worker._work_queue.qsize() == 1

            await processes.until(is_waiting)
            leaving.cancel()
            await asyncio.gather(leaving, return_exceptions=True)

        async def is_gone() -> bool:
            return endpoint_._held == before

        await processes.until(is_gone)
        held.go_on.set()
        assert (await first).allowed
        assert (await scene.ask(review)).allowed
        assert held.judged == 2


BEGUN = b"POST /validate/modelroute HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{"
"""A review whose body has begun."""


async def test_a_body_that_does_not_come_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoint, "BODY_TIMEOUT", 0.05)
    async with asking.scene(tmp_path) as scene:
        reader, writer = await asyncio.open_connection("127.0.0.1", scene.webhook.port, ssl=scene.context)
        writer.write(BEGUN)
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), asking.PATIENCE)
        assert head.startswith(b"HTTP/1.1 408 ")
        writer.close()
        assert scene.endpoint._held == 0


async def test_a_caller_that_breaks_off_in_the_body_harms_nobody(tmp_path: Path) -> None:
    async with asking.scene(tmp_path) as scene:
        for sent in (
            b"",
            b"POST /validate",
            b"POST /validate/modelroute HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{",
        ):
            _, writer = await asyncio.open_connection("127.0.0.1", scene.webhook.port, ssl=scene.context)
            writer.write(sent)
            await writer.drain()
            writer.transport.abort()
        assert (await scene.ask(asking.review(corpus.route()))).allowed

        async def is_given_back() -> bool:
            return scene.endpoint._held == 0

        await processes.until(is_given_back)


async def test_a_fault_of_ours_is_an_error_and_the_next_review_is_answered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with asking.scene(tmp_path) as scene:
        with monkeypatch.context() as patched:
            patched.setattr(judgement, "judge", None)
            answer = await scene.ask(asking.review(corpus.route()))
            assert answer.status == 500
        assert "a review of a ModelRoute could not be judged" in caplog.text
        assert (await scene.ask(asking.review(corpus.route()))).allowed


async def test_bytes_that_are_no_http_are_refused(tmp_path: Path) -> None:
    async with asking.scene(tmp_path) as scene:
        reader, writer = await asyncio.open_connection("127.0.0.1", scene.webhook.port, ssl=scene.context)
        writer.write(b"\x00\xff rubbish\r\n\r\n")
        assert (await asyncio.wait_for(reader.read(), asking.PATIENCE)).startswith(b"HTTP/1.0 400 ")
        writer.close()
        # Nor is HTTP without TLS.
        reader, writer = await asyncio.open_connection("127.0.0.1", scene.webhook.port)
        writer.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        with contextlib.suppress(ConnectionError):
            assert not (await asyncio.wait_for(reader.read(), asking.PATIENCE)).startswith(b"HTTP/")
        writer.close()
        assert (await scene.ask(asking.review(corpus.route()))).allowed


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: one\r\n\r\n", "Content-Length"),
        (b"POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", "Duplicate Content-Length"),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "PRI"),
    ],
)
async def test_a_call_that_breaks_http_is_logged_in_one_line(
    sent: bytes, said: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with asking.scene(tmp_path) as scene:
        reader, writer = await asyncio.open_connection("127.0.0.1", scene.webhook.port, ssl=scene.context)
        writer.write(sent)
        answer = await asyncio.wait_for(reader.read(), asking.PATIENCE)
        assert b" 400 " in answer.splitlines()[0]
        writer.close()
    (record,) = [record for record in caplog.records if record.name == connections.log.name]
    assert (record.levelname, record.exc_info) == ("WARNING", None)
    assert said in record.getMessage()
    assert "\n" not in record.getMessage()


async def test_whoever_only_announces_bodies_takes_no_room_from_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(endpoint, "MAX_HELD", 4 * endpoint.SMALL)
    big = b"Content-Length: %d" % endpoint.MAX_REVIEW
    writers = []
    async with asking.scene(tmp_path) as scene:
        for length in (big, b"Transfer-Encoding: chunked") * 4:
            head = BEGUN.partition(b"Content-Length")[0] + length + b"\r\n\r\n"
            _, writer = await asyncio.open_connection("127.0.0.1", scene.webhook.port, ssl=scene.context)
            writer.write(head)
            writers.append(writer)
        assert (await scene.ask(asking.review(large(2 * endpoint.SMALL)))).allowed
        for writer in writers:
            writer.close()


async def test_a_small_review_is_answered_however_many_bytes_are_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(endpoint, "MAX_HELD", 0)
    async with asking.scene(tmp_path) as scene:
        assert (await scene.ask(asking.review(corpus.route()))).allowed
        assert (await scene.ask(asking.review(large(2 * endpoint.SMALL)))).status == 503
        assert scene.endpoint._held == 0
