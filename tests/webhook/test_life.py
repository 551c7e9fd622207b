"""From the first moment to the last answer: waiting for a certificate, following its files, leaving."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import trustme

from kthena_fast.serving import listening, watched
from kthena_fast.settings import Settings
from kthena_fast.webhook import app, endpoint
from tests.gateway import processes
from tests.kube import kubelet
from tests.resources import corpus
from tests.webhook import asking
from tests.webhook.test_endpoint import Held, large


async def shown(port: int, context: ssl.SSLContext) -> bytes:
    _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
    certificate: bytes = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.close()
    with contextlib.suppress(ConnectionError, ssl.SSLError):
        await writer.wait_closed()
    return certificate


@contextlib.asynccontextmanager
async def waiting(folder: Path, **options: str) -> AsyncIterator[app.Webhook]:
    """A webhook whose files may not be there yet."""
    chosen = app.Options(
        host="127.0.0.1",
        port=0,
        metrics_port=0,
        tls_cert_file=folder / "tls.crt",
        tls_private_key_file=folder / "tls.key",
        cert_secret_name=options.get("cert_secret_name", ""),
    )
    async with app.running(chosen, Settings(), asking.NOBODY) as webhook:
        yield webhook


async def test_until_a_mounted_secret_is_there_the_webhook_waits_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(watched, "LOOK_EVERY", 0.01)
    authority = trustme.CA()
    async with (
        waiting(tmp_path) as webhook,
        asking.caller(authority.cert_pem.bytes().decode()) as (session, context),
    ):
        scene = asking.Scene(webhook, session, context)

        async def misses(name: str) -> bool:
            answer = await scene.get("/readyz", on_metrics_port=True)
            assert answer.status == 503
            return answer.text.startswith("--tls-cert-file ") and f"No such file or directory: '{tmp_path}/{name}'" in (
                answer.text
            )

        await processes.until(lambda: misses("tls.crt"))
        assert (await scene.get("/healthz", on_metrics_port=True)).status == 200
        # Half of it is not enough.
        asking.write_pair(authority.issue_cert("127.0.0.1"), tmp_path / "aside")
        os.link(tmp_path / "aside/tls.crt", tmp_path / "tls.crt")
        await processes.until(lambda: misses("tls.key"))
        os.link(tmp_path / "aside/tls.key", tmp_path / "tls.key")
        await asyncio.wait_for(webhook.until_ready(), asking.PATIENCE)
        assert (await scene.get("/readyz")).status == 200
        assert (await scene.ask(asking.review(corpus.route()))).allowed
    # Each reason once, however often it was looked.
    assert len([line for line in caplog.messages if "do not load" in line]) == 2


async def test_a_swapped_secret_is_shown_to_new_connections_and_one_that_does_not_load_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(watched, "LOOK_EVERY", 0.01)
    authority = trustme.CA()
    kubelet.fill(tmp_path, asking.pair(authority.issue_cert("127.0.0.1")))
    async with (
        waiting(tmp_path) as webhook,
        asking.caller(authority.cert_pem.bytes().decode()) as (session, context),
    ):
        await asyncio.wait_for(webhook.until_ready(), asking.PATIENCE)
        scene = asking.Scene(webhook, session, context)
        before = await shown(webhook.port, context)
        assert (await scene.ask(asking.review(corpus.route()))).allowed
        kubelet.fill(tmp_path, asking.pair(authority.issue_cert("127.0.0.1")))

        async def is_new() -> bool:
            return await shown(webhook.port, context) != before

        await processes.until(is_new)
        # The connection that was open goes on.
        assert (await scene.ask(asking.review(corpus.route()))).allowed
        # A pair that does not load leaves the one in service.
        after = await shown(webhook.port, context)
        kubelet.fill(tmp_path, {**asking.pair(authority.issue_cert("127.0.0.1")), "tls.crt": b"rubbish"})

        async def is_told() -> bool:
            return any("the one in service stays" in line for line in caplog.messages)

        await processes.until(is_told)
        assert await shown(webhook.port, context) == after


async def test_without_files_and_without_a_cluster_the_start_fails_with_the_reason(tmp_path: Path) -> None:
    with pytest.raises(app.CannotStart) as caught:
        async with waiting(tmp_path, cert_secret_name="certs"):
            pass
    said = f"there is no certificate: --tls-cert-file {tmp_path}/tls.crt is not there, and none can be made: "
    assert str(caught.value) == said + asking.NOBODY


async def test_a_port_in_use_ends_the_start(tmp_path: Path) -> None:
    with contextlib.closing(listening.open_socket("--port", "127.0.0.1", 0)) as taken:
        port = listening.port_of(taken)
        for flag, ports in (("--port", {"port": port}), ("--metrics-port", {"metrics_port": port})):
            options: dict[str, Any] = ports
            with pytest.raises(app.CannotStart, match=f"{flag} {port}: cannot listen on"):
                async with asking.scene(tmp_path, **options):
                    pass


async def test_during_the_drain_delay_reviews_are_answered_and_callers_sent_elsewhere(tmp_path: Path) -> None:
    async with asking.scene(tmp_path, settings=Settings(drain_delay=3600.0)) as scene:
        leaving = asyncio.create_task(scene.webhook.drain())

        async def is_not_ready() -> bool:
            return (await scene.get("/readyz", on_metrics_port=True)).status == 503

        await processes.until(is_not_ready)
        late = await scene.ask(asking.review(corpus.route()))
        assert late.allowed
        assert late.headers["connection"] == "close"
        assert (await scene.get("/healthz")).status == 200
        leaving.cancel()
        await asyncio.gather(leaving, return_exceptions=True)


async def test_what_was_accepted_is_answered_before_the_webhook_leaves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = Held(monkeypatch)
    async with asking.scene(tmp_path) as scene:
        accepted = asyncio.create_task(scene.ask(asking.review(large(2 * endpoint.SMALL))))
        await held.until_begun()
        leaving = asyncio.create_task(scene.webhook.drain())

        async def is_closed() -> bool:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", scene.webhook.port)
            except OSError:
                return True
            writer.close()
            return False

        await processes.until(is_closed)
        assert not leaving.done()
        held.go_on.set()
        assert (await accepted).allowed
        await asyncio.wait_for(leaving, asking.PATIENCE)


async def test_a_start_that_is_cancelled_leaves_no_port_open(tmp_path: Path) -> None:
    authority = trustme.CA()
    pair = asking.write_pair(authority.issue_cert("127.0.0.1"), tmp_path)
    options = app.Options(host="127.0.0.1", port=0, metrics_port=0, tls_cert_file=pair[0], tls_private_key_file=pair[1])
    for steps in range(30):
        webhook = app.Webhook(options, Settings(), asking.NOBODY)
        starting = asyncio.create_task(webhook.start())
        for _ in range(steps):
            await asyncio.sleep(0)
        starting.cancel()
        await asyncio.gather(starting, return_exceptions=True)
        # A second stop, where the start was through, is the caller's.
        await webhook.stop()
        for port in {webhook.port, webhook.metrics_port} - {0}:
            with pytest.raises(OSError, match="refused"):
                await asyncio.open_connection("127.0.0.1", port)


# The process


@contextlib.asynccontextmanager
async def process(folder: Path, *arguments: str, **variables: str) -> AsyncIterator[processes.Program]:
    pair = asking.write_pair(trustme.CA().issue_cert("127.0.0.1"), folder / "certs")
    flags = ("--host", "127.0.0.1", "--port", "0", "--metrics-port", "0", "--cluster-warnings=false")
    files = ("--tls-cert-file", str(pair[0]), "--tls-private-key-file", str(pair[1]))
    async with processes.program("webhook", *flags, *files, *arguments, HOME=str(folder), **variables) as program:
        yield program


async def test_sigterm_ends_the_process_with_0_and_nothing_to_complain_of(tmp_path: Path) -> None:
    async with process(tmp_path) as program:
        await program.says("ready: reviews are answered")
        program.send(signal.SIGTERM)
        assert await program.ended() == 0
        assert program.complaints == []


async def test_a_second_signal_ends_it_at_once_with_1(tmp_path: Path) -> None:
    async with process(tmp_path, DRAIN_DELAY="1h") as program:
        await program.says("ready: reviews are answered")
        program.send(signal.SIGTERM)
        await program.says("SIGTERM: draining")
        program.send(signal.SIGINT)
        assert await program.ended() == 1


async def test_a_start_that_fails_is_one_line_and_status_1(tmp_path: Path) -> None:
    async with process(
        tmp_path, "--tls-cert-file", str(tmp_path / "none"), KUBECONFIG="", KUBERNETES_SERVICE_HOST=""
    ) as program:
        assert await program.ended() == 1
        (line,) = program.complaints
        assert "there is no certificate: --tls-cert-file " in line
        assert "no Kubernetes API server is known" in line


async def test_a_setting_that_is_not_allowed_is_one_line(tmp_path: Path) -> None:
    async with process(tmp_path, DRAIN_DELAY="soon") as program:
        assert await program.ended() == 1
        assert program.lines == [
            "Error: DRAIN_DELAY='soon' is not allowed: it must be a duration of 0 or more, such as 0s, 10s or 5m"
        ]


async def test_without_a_cluster_the_log_says_which_warnings_are_missing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with asking.scene(tmp_path):
        assert f"no warnings of targets that do not exist, and of names that are served already: {asking.NOBODY}" in (
            caplog.messages
        )
