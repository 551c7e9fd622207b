"""What the gateway's tests of its port (tests/gateway/test_tls.py) leave: pairs that are in no file."""

from __future__ import annotations

import os
import ssl

import pytest
import trustme

from kthena_fast.serving import certificate


def pair() -> tuple[bytes, bytes]:
    issued = trustme.CA().issue_cert("localhost")
    return b"".join(blob.bytes() for blob in issued.cert_chain_pems), issued.private_key_pem.bytes()


@pytest.mark.parametrize("has_memory_files", [True, False])
def test_a_pair_is_loaded_without_leaving_a_file(has_memory_files: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not has_memory_files:
        monkeypatch.delattr(os, "memfd_create", raising=False)
    chain, key = pair()
    context = certificate.context_of(chain, key)
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2


@pytest.mark.parametrize("spoilt", ["chain", "key", "another's key"])
def test_a_pair_that_does_not_load_is_one_line(spoilt: str) -> None:
    chain, key = pair()
    match spoilt:
        case "chain":
            chain = b"rubbish"
        case "key":
            key = b"rubbish"
        case _:
            key = pair()[1]
    with pytest.raises(certificate.BadCertificate) as caught:
        certificate.context_of(chain, key)
    assert str(caught.value).startswith("the certificate does not load: ")
    assert "\n" not in str(caught.value)


def test_what_is_shown_next_takes_the_place_of_the_first() -> None:
    shown = certificate.Shown(certificate.context_of(*pair()))
    client = ssl.create_default_context()
    client.check_hostname, client.verify_mode = False, ssl.CERT_NONE

    def seen() -> bytes | None:
        ours, theirs = ssl.MemoryBIO(), ssl.MemoryBIO()
        caller = client.wrap_bio(theirs, ours)
        called = shown.context.wrap_bio(ours, theirs, server_side=True)
        for side in (caller, called, caller, called):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
        return caller.getpeercert(binary_form=True)

    first = seen()
    assert first
    shown.use(certificate.context_of(*pair()))
    assert seen() not in {first, None}
