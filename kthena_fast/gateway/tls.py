"""The inference port's certificate: TLS 1.2 or later, ALPN `http/1.1`, reloaded when its files change.

The files are looked at by content, every `LOOK_EVERY` seconds, so that Kubernetes' `..data` swap, a copy over the file
and a rename over it are all the same to us. A pair that does not load leaves the one in service.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from pathlib import Path

log = logging.getLogger(__name__)

LOOK_EVERY = 2.0
"""Seconds between looks at the certificate's files."""


class BadCertificate(Exception):
    """A certificate and key that cannot be loaded; the text names the files and the reason."""


def server_context(certificate: Path, key: Path) -> ssl.SSLContext:
    """A context for a listening port; BadCertificate where the pair does not load."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    _load(context, certificate, key)
    return context


def _load(context: ssl.SSLContext, certificate: Path, key: Path) -> None:
    try:
        context.load_cert_chain(certificate, key, password=lambda: "")
    except (OSError, ssl.SSLError) as problem:
        raise BadCertificate(f"the certificate {certificate} and key {key} do not load: {problem}") from problem


class Reloader:
    """Keeps a context's certificate as its files are. A connection that is open keeps the one it began with."""

    def __init__(self, context: ssl.SSLContext, certificate: Path, key: Path) -> None:
        self._context = context
        self._certificate = certificate
        self._key = key
        self._seen = self._contents()

    def _contents(self) -> tuple[bytes, bytes] | None:
        try:
            return self._certificate.read_bytes(), self._key.read_bytes()
        except OSError:
            return None

    def look(self) -> bool:
        """Load the pair if it changed; whether a new one is in service."""
        contents = self._contents()
        if contents is None or contents == self._seen:
            return False
        try:
            # Tried on a context of its own first: a pair that does not match would leave the one in service torn.
            server_context(self._certificate, self._key)
            _load(self._context, self._certificate, self._key)
        except BadCertificate as problem:
            if self._seen != contents:
                log.warning("%s; the one in service stays", problem)
            self._seen = contents
            return False
        self._seen = contents
        log.info("the certificate %s was reloaded", self._certificate)
        return True

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            await asyncio.sleep(LOOK_EVERY)
            self.look()


def engine_context(ca_file: str) -> ssl.SSLContext:
    """For engines that speak TLS: verified against `ca_file`, or not at all where there is none.

    BadCertificate where the file does not load.
    """
    context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    if not ca_file:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return context
    try:
        context.load_verify_locations(ca_file)
    except (OSError, ssl.SSLError) as problem:
        raise BadCertificate(f"UPSTREAM_CA_FILE={ca_file!r} does not load: {problem}") from problem
    return context
