"""TLS on both sides: the inference port's certificate, which follows its files, and how engines are verified.

TLS 1.2 or later and ALPN `http/1.1` everywhere. A pair of files that does not load leaves the one in service.
"""

from __future__ import annotations

import logging
import ssl
from pathlib import Path

from kthena_fast.gateway.watched import Watched

log = logging.getLogger(__name__)


class BadCertificate(Exception):
    """A file that cannot be loaded; the text names the files and the reason."""


class Certificate:
    """A listening port's certificate and key; BadCertificate where the pair does not load.

    A connection that is open keeps the certificate it began with.
    """

    def __init__(self, certificate: Path, key: Path) -> None:
        self._certificate = certificate
        self._key = key
        # Before the pair is loaded: what changes in between is seen at the next look.
        self._files = Watched(certificate, key)
        self._current = self.context = server_context(certificate, key)
        # Each handshake takes a whole context. Loading a new pair into the one in service would, should the pair not
        # match, leave it with half of each.
        self.context.sni_callback = self._on_hello
        """For the listener."""

    def _on_hello(self, connection: ssl.SSLObject | ssl.SSLSocket, _name: str | None, _: ssl.SSLContext) -> None:
        connection.context = self._current

    def look(self) -> bool:
        """Load the pair if it changed; whether a new one is in service."""
        if not self._files.changed():
            return False
        try:
            self._current = server_context(self._certificate, self._key)
        except BadCertificate as problem:
            log.warning("%s; the one in service stays", problem)
            return False
        log.info("the certificate %s was reloaded", self._certificate)
        return True


def server_context(certificate: Path, key: Path) -> ssl.SSLContext:
    """A context for a listening port; BadCertificate where the pair does not load."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    try:
        for path in (certificate, key):
            # The ssl module does not say which of the two is missing.
            path.read_bytes()
        # Without a password an encrypted key would be asked for on the terminal.
        context.load_cert_chain(certificate, key, password="")
    except (OSError, ValueError) as problem:
        reason = " ".join(str(problem).split())
        raise BadCertificate(
            f"--tls-cert {certificate} and --tls-key {key} do not load: {reason}; "
            "a PEM certificate chain and its unencrypted PEM key are allowed"
        ) from problem
    return context


def engine_context(ca_file: str) -> ssl.SSLContext:
    """For engines that speak TLS: verified against `ca_file`, or not at all where there is none.

    BadCertificate where the file does not load.
    """
    # Not the default context: that trusts the public authorities too, and UPSTREAM_CA_FILE says who is to be trusted.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    if not ca_file:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return context
    try:
        context.load_verify_locations(ca_file)
    except OSError as problem:
        raise BadCertificate(
            f"UPSTREAM_CA_FILE={ca_file!r} does not load: {problem}; a file of PEM certificates is allowed"
        ) from problem
    return context
