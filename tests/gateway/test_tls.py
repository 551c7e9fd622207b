"""TLS in front of the gateway and behind it, with certificates of an authority that lasts as long as a test."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trustme

from kthena_fast.gateway import app, observing, tls
from kthena_fast.mock_engine import EngineConfig, MockEngine
from kthena_fast.serving import certificate as certificates
from kthena_fast.serving import watched
from kthena_fast.settings import Settings
from kthena_fast.sources.backend import BackendSource
from tests.gateway import processes, running
from tests.kube import kubelet


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def held(issued: trustme.LeafCert) -> dict[str, bytes]:
    """The pair as a Secret holds it."""
    chain = b"".join(blob.bytes() for blob in issued.cert_chain_pems)
    return {"tls.crt": chain, "tls.key": issued.private_key_pem.bytes()}


def write(issued: trustme.LeafCert, folder: Path) -> tuple[Path, Path]:
    """The pair as files of those names."""
    folder.mkdir(exist_ok=True)
    for name, content in held(issued).items():
        (folder / name).write_bytes(content)
    return folder / "tls.crt", folder / "tls.key"


def client_context(authority: trustme.CA, *protocols: str) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    if protocols:
        context.set_alpn_protocols(list(protocols))
    return context


class Handshake:
    """What a client saw of one handshake, and the connection, which stays open."""

    def __init__(self, raw: running.Raw) -> None:
        self.raw = raw
        seen: ssl.SSLObject = raw.writer.get_extra_info("ssl_object")
        self.version = seen.version()
        self.protocol = seen.selected_alpn_protocol()
        self.certificate = seen.getpeercert(binary_form=True)


async def shake_hands(port: int, context: ssl.SSLContext, name: str | None = "localhost") -> Handshake:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname=name)
    return Handshake(running.Raw(reader, writer))


def option(pair: tuple[Path, Path]) -> dict[str, Path]:
    return {"tls_cert": pair[0], "tls_key": pair[1]}


async def test_the_inference_port_speaks_tls_1_2_or_later_and_http_1_1(authority: trustme.CA, tmp_path: Path) -> None:
    pair = write(authority.issue_cert("localhost"), tmp_path)
    async with running.scene(options=option(pair)) as scene:
        seen = await shake_hands(scene.gateway.port, client_context(authority, "h2", "http/1.1"))
        assert (seen.version, seen.protocol) == ("TLSv1.3", "http/1.1")
        seen.raw.say(running.chat(stream=True))
        answer = await seen.raw.answer()
        assert answer.status == 200
        assert answer.body.endswith(b"data: [DONE]\n\n")
        # Health is plain HTTP beside it: probes need no authority.
        assert (await scene.get("/readyz", scene.gateway.metrics_port)).status == 200

        older = client_context(authority)
        older.maximum_version = ssl.TLSVersion.TLSv1_2
        old = await shake_hands(scene.gateway.port, older)
        assert old.version == "TLSv1.2"
        await old.raw.leave()
        await seen.raw.leave()


def test_older_versions_are_refused(authority: trustme.CA, tmp_path: Path) -> None:
    certificate, key = write(authority.issue_cert("localhost"), tmp_path)
    assert certificates.server_context(certificate, key).minimum_version == ssl.TLSVersion.TLSv1_2
    assert tls.engine_context("").minimum_version == ssl.TLSVersion.TLSv1_2


async def test_the_engine_is_told_that_the_client_came_by_https(authority: trustme.CA, tmp_path: Path) -> None:
    pair = write(authority.issue_cert("localhost"), tmp_path)
    async with running.scene(options=option(pair)) as scene:
        seen = await shake_hands(scene.gateway.port, client_context(authority))
        seen.raw.say(running.chat())
        assert (await seen.raw.answer()).status == 200
        headers = {name.lower(): value for name, value in scene.engine.requests[0].headers}
        assert headers[b"x-forwarded-proto"] == b"https"
        await seen.raw.leave()


async def test_a_connection_over_tls_carries_one_stream_after_another(authority: trustme.CA, tmp_path: Path) -> None:
    pair = write(authority.issue_cert("localhost"), tmp_path)
    async with running.scene(running.faulty(token_interval=0.001), options=option(pair)) as scene:
        seen = await shake_hands(scene.gateway.port, client_context(authority))
        for stream in (False, True, True):
            seen.raw.say(running.chat(stream=stream))
            assert (await seen.raw.answer()).status == 200
        await seen.raw.leave()


async def test_plain_http_on_a_tls_port_is_cut_and_harms_nobody(authority: trustme.CA, tmp_path: Path) -> None:
    pair = write(authority.issue_cert("localhost"), tmp_path)
    async with running.scene(options=option(pair)) as scene:
        raw = await scene.connect()
        raw.say(running.chat())
        assert not (await raw.rest()).startswith(b"HTTP/1.1 200")
        seen = await shake_hands(scene.gateway.port, client_context(authority))
        await seen.raw.leave()


async def test_a_client_that_never_shakes_hands_is_cut_after_the_header_timeout(
    authority: trustme.CA, tmp_path: Path
) -> None:
    pair = write(authority.issue_cert("localhost"), tmp_path)
    async with running.scene(options=option(pair), header_timeout=0.1) as scene:
        raw = await scene.connect()
        assert await raw.rest() == b""


async def test_a_swapped_secret_is_in_service_while_open_connections_go_on(
    authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watched, "LOOK_EVERY", 0.01)
    context = client_context(authority)
    kubelet.fill(tmp_path, held(authority.issue_cert("localhost")))
    pair = {"tls_cert": tmp_path / "tls.crt", "tls_key": tmp_path / "tls.key"}
    async with running.scene(options=pair) as scene:
        before = await shake_hands(scene.gateway.port, context)
        kubelet.fill(tmp_path, held(authority.issue_cert("localhost")))

        async def is_new() -> bool:
            seen = await shake_hands(scene.gateway.port, context)
            await seen.raw.leave()
            return seen.certificate != before.certificate

        await processes.until(is_new)
        before.raw.say(running.chat())
        assert (await before.raw.answer()).status == 200
        await before.raw.leave()


async def handshake_with(
    pair: certificates.Certificate, context: ssl.SSLContext, name: str | None = "localhost"
) -> bytes:
    """The certificate that a new client is shown."""
    ours, theirs = socket.socketpair()
    accepting = asyncio.ensure_future(
        asyncio.get_running_loop().connect_accepted_socket(asyncio.Protocol, theirs, ssl=pair.context)
    )
    reader, writer = await asyncio.open_connection(sock=ours, ssl=context, server_hostname=name or "")
    transport, _ = await accepting
    shown: bytes = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    transport.abort()
    writer.transport.abort()
    assert await reader.read() == b""
    return shown


async def test_a_pair_that_does_not_match_leaves_the_old_one_and_is_told_once(
    authority: trustme.CA, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    first, second = authority.issue_cert("localhost"), authority.issue_cert("localhost")
    certificate, key = write(first, tmp_path)
    context = client_context(authority)
    pair = certificates.Certificate(certificate, key)
    shown = await handshake_with(pair, context)
    assert not pair.look()

    # The new certificate is there before its key.
    certificate.write_bytes(b"".join(blob.bytes() for blob in second.cert_chain_pems))
    assert not pair.look()
    assert not pair.look()
    assert await handshake_with(pair, context) == shown
    (warning,) = caplog.messages
    assert str(certificate) in warning
    assert "the one in service stays" in warning

    certificate.unlink()
    assert not pair.look()
    write(second, tmp_path)
    assert pair.look()
    assert await handshake_with(pair, context) != shown


async def test_a_client_that_names_no_host_gets_the_certificate_of_the_day(
    authority: trustme.CA, tmp_path: Path
) -> None:
    pair = certificates.Certificate(*write(authority.issue_cert("localhost"), tmp_path))
    write(authority.issue_cert("localhost"), tmp_path)
    assert pair.look()
    context = client_context(authority)
    context.check_hostname = False
    named = await handshake_with(pair, context)
    assert await handshake_with(pair, context, name=None) == named


def encrypted(key: bytes) -> bytes:
    from cryptography.hazmat.primitives import serialization

    return serialization.load_pem_private_key(key, None).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"secret"),
    )


@pytest.mark.parametrize("what", ["no key", "no certificate", "a folder", "rubbish", "another's key", "encrypted"])
def test_a_pair_that_does_not_load_is_one_line_that_names_both_files(
    what: str, authority: trustme.CA, tmp_path: Path
) -> None:
    issued = authority.issue_cert("localhost")
    certificate, key = write(issued, tmp_path)
    match what:
        case "no key":
            key.unlink()
        case "no certificate":
            certificate.unlink()
        case "a folder":
            key.unlink()
            key.mkdir()
        case "rubbish":
            certificate.write_text("rubbish")
        case "another's key":
            key.write_bytes(authority.issue_cert("localhost").private_key_pem.bytes())
        case _:
            # Asking for the password on the terminal would hang the start.
            key.write_bytes(encrypted(key.read_bytes()))
    with pytest.raises(certificates.BadCertificate) as caught:
        certificates.server_context(certificate, key)
    said = str(caught.value)
    assert said.startswith(f"--tls-cert {certificate} and --tls-key {key} do not load: ")
    assert "\n" not in said


def test_upstream_ca_file_alone_says_who_is_trusted(authority: trustme.CA, tmp_path: Path) -> None:
    trusted = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(trusted))
    context = tls.engine_context(str(trusted))
    assert len(context.get_ca_certs()) == 1
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)


def fill(file: str, contents: bytes) -> None:
    Path(file).write_bytes(contents)


@contextlib.asynccontextmanager
async def in_front_of(engine_issued: trustme.LeafCert, host: str, ca_file: str) -> AsyncIterator[app.Gateway]:
    """A gateway whose engine speaks TLS with that certificate, and is reached at `https://HOST:PORT`."""
    engine = MockEngine(EngineConfig(models=(running.MODEL,)))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    engine_issued.configure_cert(context)
    options = app.Options(host="127.0.0.1", port=0, metrics_port=0, debug_port=0)
    settings = Settings(access_log_enabled=False, upstream_ca_file=ca_file)
    async with engine.running("127.0.0.1", 0, context) as server:

        async def resolve(_host: str, _port: int) -> list[str]:
            return ["127.0.0.1"]

        source = BackendSource([f"https://{host}:{server.port}"], [running.MODEL], resolve=resolve)
        async with app.running(options, settings, source) as gateway:
            await running.within(running.PATIENCE, gateway.state.until_synced())
            yield gateway


async def ask(gateway: app.Gateway) -> running.Answer:
    raw = running.Raw(*await asyncio.open_connection("127.0.0.1", gateway.port))
    raw.say(running.chat())
    answer = await raw.answer()
    await raw.leave()
    return answer


async def ask_over_tls(
    engine_issued: trustme.LeafCert, host: str, ca_file: str, *, times: int = 1
) -> list[running.Answer]:
    """What a client gets from such an engine."""
    async with in_front_of(engine_issued, host, ca_file) as gateway:
        return [await ask(gateway) for _ in range(times)]


@pytest.fixture
def ca_file(authority: trustme.CA, tmp_path: Path) -> str:
    path = tmp_path / "engines-ca.pem"
    authority.cert_pem.write_to_path(str(path))
    return str(path)


@pytest.mark.parametrize("host", ["engine.test", "127.0.0.1"])
async def test_an_engine_of_the_trusted_authority_is_served_by_name_and_by_address(
    host: str, authority: trustme.CA, ca_file: str, caplog: pytest.LogCaptureFixture
) -> None:
    (answer,) = await ask_over_tls(authority.issue_cert(host), host, ca_file)
    assert answer.status == 200
    assert observing.UNVERIFIED not in caplog.text


@pytest.mark.parametrize("wrong", ["authority", "name"])
async def test_an_engine_that_cannot_be_verified_is_502_and_sees_no_request(
    wrong: str, authority: trustme.CA, ca_file: str
) -> None:
    issuer = authority if wrong == "name" else trustme.CA()
    issued = issuer.issue_cert("other.test" if wrong == "name" else "engine.test")
    (answer,) = await ask_over_tls(issued, "engine.test", ca_file)
    assert (answer.status, answer.code) == (502, "connection_failed")


async def test_an_authority_that_comes_into_the_file_is_trusted_without_a_restart(
    authority: trustme.CA, ca_file: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As one does whose engines get certificates of another; the ConfigMap is changed while the gateway runs."""
    monkeypatch.setattr(watched, "LOOK_EVERY", 0.02)
    other = trustme.CA()
    with caplog.at_level(logging.INFO):
        async with in_front_of(other.issue_cert("engine.test"), "engine.test", ca_file) as gateway:
            assert (await ask(gateway)).code == "connection_failed"
            fill(ca_file, other.cert_pem.bytes() + b"-----BEGIN CERTIFICATE-----\nrubbish\n-----END CERTIFICATE-----")

            async def is_told() -> bool:
                return "does not load" in caplog.text

            await processes.until(is_told)
            # Not half of it either.
            assert (await ask(gateway)).code == "connection_failed"
            fill(ca_file, authority.cert_pem.bytes() + other.cert_pem.bytes())

            async def serves() -> bool:
                return (await ask(gateway)).status == 200

            await processes.until(serves)
    assert f"the authorities in {ca_file} were reloaded" in caplog.messages


async def test_without_a_ca_file_engines_are_served_unverified_with_one_warning(
    caplog: pytest.LogCaptureFixture,
) -> None:
    answers = await ask_over_tls(trustme.CA().issue_cert("other.test"), "engine.test", "", times=2)
    assert [answer.status for answer in answers] == [200, 200]
    assert caplog.messages.count(observing.UNVERIFIED) == 1


async def test_without_tls_engines_there_is_no_warning(caplog: pytest.LogCaptureFixture) -> None:
    async with running.scene():
        assert observing.UNVERIFIED not in caplog.messages


async def test_a_drain_does_not_wait_for_ever_for_a_client_that_ends_no_tls_session(
    authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app, "TLS_GOODBYE", 0.1)
    pair = write(authority.issue_cert("localhost"), tmp_path)
    async with running.scene(options=option(pair)) as scene:
        context = client_context(authority)
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        session = context.wrap_bio(incoming, outgoing, server_hostname="localhost")
        raw = await scene.connect()
        while True:
            try:
                session.do_handshake()
            except ssl.SSLWantReadError:
                raw.say(outgoing.read())
                incoming.write(await raw.reader.read(65536))
            else:
                raw.say(outgoing.read())
                break
        session.write(running.get("/healthz"))
        raw.say(outgoing.read())
        await raw.reader.read(65536)
        # From here on the client says nothing more, its goodbye included.
        await running.within(running.PATIENCE, scene.gateway.drain())
