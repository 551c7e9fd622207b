"""The certificate of a listening port, which may change while the port is open.

TLS 1.2 or later and ALPN `http/1.1`. A pair that does not load leaves the one in service; a connection that is open
keeps the certificate it began with.
"""

from __future__ import annotations

import logging
import os
import ssl
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kthena_fast.serving.watched import Watched

log = logging.getLogger(__name__)

FLAGS = ("--tls-cert", "--tls-key")
"""What BadCertificate calls the two files, where a program does not say otherwise."""


class BadCertificate(Exception):
    """A pair that cannot be loaded; the text names it and the reason."""


class Shown:
    """The certificate that new connections are shown. `context` is for the listener and stays the same."""

    def __init__(self, first: ssl.SSLContext) -> None:
        self._current = self.context = first
        # Each handshake takes a whole context. Loading a new pair into the one in service would, should the pair not
        # match, leave it with half of each.
        self.context.sni_callback = self._on_hello

    def use(self, context: ssl.SSLContext) -> None:
        """Show the certificate of another context from now on."""
        self._current = context

    def _on_hello(self, connection: ssl.SSLObject | ssl.SSLSocket, _name: str | None, _: ssl.SSLContext) -> None:
        connection.context = self._current


class Certificate(Shown):
    """A pair of files; BadCertificate where it does not load at first."""

    def __init__(self, certificate: Path, key: Path, flags: tuple[str, str] = FLAGS) -> None:
        self._certificate = certificate
        self._key = key
        self._flags = flags
        # Before the pair is loaded: what changes in between is seen at the next look.
        self._files = Watched(certificate, key)
        super().__init__(server_context(certificate, key, flags))

    def look(self) -> bool:
        """Load the pair if it changed; whether a new one is in service."""
        if not self._files.changed():
            return False
        try:
            self.use(server_context(self._certificate, self._key, self._flags))
        except BadCertificate as problem:
            if self._files.failed(problem):
                log.warning("%s; the one in service stays", problem)
            return False
        log.info("the certificate %s was reloaded", self._certificate)
        return True


def server_context(certificate: Path, key: Path, flags: tuple[str, str] = FLAGS) -> ssl.SSLContext:
    """A context for a listening port; BadCertificate where the pair does not load."""
    try:
        for path in (certificate, key):
            # The ssl module does not say which of the two is missing.
            path.read_bytes()
        return _loaded(certificate, key)
    except (OSError, ValueError) as problem:
        reason = " ".join(str(problem).split())
        raise BadCertificate(
            f"{flags[0]} {certificate} and {flags[1]} {key} do not load: {reason}; "
            "a PEM certificate chain and its unencrypted PEM key are allowed"
        ) from problem


def context_of(chain: bytes, key: bytes) -> ssl.SSLContext:
    """A context of PEM texts that are in no file; BadCertificate where they do not load."""
    try:
        with _as_file(chain + b"\n" + key) as path:
            return _loaded(path, path)
    except (OSError, ValueError) as problem:
        raise BadCertificate(f"the certificate does not load: {' '.join(str(problem).split())}") from problem


@contextmanager
def _as_file(contents: bytes) -> Iterator[Path]:
    """A path to read them from for a while: the ssl module loads from files only, and the disk may be read-only."""
    if hasattr(os, "memfd_create"):
        with os.fdopen(os.memfd_create("certificate"), "wb") as file:
            file.write(contents)
            file.flush()
            yield Path(f"/proc/self/fd/{file.fileno()}")
    else:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "pair.pem"
            path.touch(mode=0o600)
            path.write_bytes(contents)
            yield path


def _loaded(certificate: Path, key: Path) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    # Without a password an encrypted key would be asked for on the terminal.
    context.load_cert_chain(certificate, key, password="")
    return context
