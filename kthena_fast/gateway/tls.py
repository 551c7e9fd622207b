"""How engines that speak TLS are verified; the inference port's own certificate is `serving/certificate.py`."""

from __future__ import annotations

import ssl

from kthena_fast.serving.certificate import BadCertificate


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
