"""How engines that speak TLS are verified; the inference port's own certificate is `serving/certificate.py`."""

from __future__ import annotations

import logging
import ssl
from pathlib import Path

from kthena_fast.serving.certificate import BadCertificate
from kthena_fast.serving.watched import Watched

log = logging.getLogger(__name__)


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


class Engines:
    """How engines are verified while the process runs; BadCertificate where UPSTREAM_CA_FILE does not load at first.

    Authorities that come into the file are trusted from the next connection on. One that is taken out is trusted until
    the process ends: OpenSSL lets none be taken out of a context, which is in the hands of everybody who connects.
    """

    def __init__(self, ca_file: str) -> None:
        self._ca_file = ca_file
        # Before the file is loaded: what changes in between is seen at the next look.
        self._file = Watched(Path(ca_file)) if ca_file else None
        self.context = engine_context(ca_file)

    def look(self) -> None:
        """Trust what is new in the file."""
        if self._file is None or not self._file.changed():
            return
        try:
            # First into another one: what does not load whole must not be there in half.
            engine_context(self._ca_file)
            self.context.load_verify_locations(self._ca_file)
        except (BadCertificate, OSError) as problem:
            if self._file.failed(problem):
                log.warning("%s; those that were trusted before still are", problem)
            return
        log.info("the authorities in %s were reloaded", self._ca_file)
