"""What changed is in service as soon as it can be, though the system failed when it was looked at."""

from __future__ import annotations

import errno
import logging
import os
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trustme

from kthena_fast.gateway import router_config, tls
from kthena_fast.serving import certificate
from kthena_fast.serving.watched import Watched
from tests.webhook import asking

NONE_LEFT = OSError(errno.EMFILE, os.strerror(errno.EMFILE))


def failing(real: Callable[..., Any], *problems: Exception) -> Callable[..., Any]:
    """What raises these in turn, and does then what it is to do."""
    left = list(problems)

    def called(*arguments: Any, **named: Any) -> Any:
        if left:
            raise left.pop(0)
        return real(*arguments, **named)

    return called


def test_what_could_not_be_loaded_is_looked_at_again_where_that_was_not_its_fault(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("first")
    file = Watched(path)
    assert not file.changed()
    path.write_text("second")
    assert file.changed()
    # Said once, however often it is tried.
    assert [(file.failed(NONE_LEFT), file.changed()) for _ in range(3)] == [(True, True), (False, True), (False, True)]
    assert not file.changed()
    path.write_text("rubbish")
    assert file.changed()
    assert file.failed(ssl.SSLError("no PEM"))
    assert not file.changed()
    path.write_text("third")
    assert file.changed()
    # It is another one of which that is to be said.
    assert file.failed(ssl.SSLError("no PEM"))


def test_a_renewed_certificate_is_shown_though_it_did_not_load_at_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    authority = trustme.CA()
    pair = certificate.Certificate(*asking.write_pair(authority.issue_cert("localhost"), tmp_path))
    asking.write_pair(authority.issue_cert("localhost"), tmp_path)
    monkeypatch.setattr(certificate, "_loaded", failing(certificate._loaded, NONE_LEFT, NONE_LEFT))
    assert [pair.look() for _ in range(4)] == [False, False, True, False]
    assert len(caplog.messages) == 1
    # One that does not load by itself is not tried again.
    (tmp_path / "tls.crt").write_bytes(b"rubbish")
    assert [pair.look() for _ in range(2)] == [False, False]
    assert len(caplog.messages) == 2


@pytest.mark.parametrize("at", [1, 2], ids=["looking", "trusting"])
def test_authorities_are_trusted_though_they_did_not_load_at_first(
    tmp_path: Path, at: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "ca.crt"
    path.write_bytes(trustme.CA().cert_pem.bytes())
    engines = tls.Engines(str(path))
    path.write_bytes(path.read_bytes() + trustme.CA().cert_pem.bytes())
    calls = 0

    class Context:
        def load_verify_locations(self, _: str) -> None:
            nonlocal calls
            calls += 1
            if calls == at:
                raise NONE_LEFT

    loads: Any = Context()

    def engine_context(ca_file: str) -> Any:
        try:
            loads.load_verify_locations(ca_file)
        except OSError as problem:
            raise certificate.BadCertificate("no") from problem

    monkeypatch.setattr(tls, "engine_context", engine_context)
    engines.context = loads
    for _ in range(3):
        engines.look()
    assert calls == at + 2


def test_a_router_configuration_is_obeyed_though_it_could_not_be_read_at_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("{}")
    followed = router_config.Followed(path)
    path.write_text("{} # changed")
    monkeypatch.setattr(Path, "read_text", failing(Path.read_text, NONE_LEFT, NONE_LEFT))
    caplog.set_level(logging.WARNING)
    assert [followed.look() for _ in range(4)] == [False, False, True, False]
    assert len(caplog.messages) == 1
