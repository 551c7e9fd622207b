from __future__ import annotations

import ssl
from datetime import UTC, datetime, timedelta

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import verification
from hypothesis import given, settings
from hypothesis import strategies as st

from kthena_fast.serving import certificate
from kthena_fast.webhook import authority
from kthena_fast.webhook.authority import Held

NOW = datetime(2026, 3, 1, tzinfo=UTC)
NAMES = ("webhook.kthena.svc", "webhook.kthena.svc.cluster.local")
DAY = timedelta(days=1)


def later(held: Held | None, now: datetime, *, bundle_is_out: bool = True) -> Held:
    return authority.renewed(held, NAMES, now, bundle_is_out=bundle_is_out)


def leaf(held: Held) -> x509.Certificate:
    return x509.load_pem_x509_certificate(held.chain)


def authorities(held: Held) -> list[x509.Certificate]:
    return x509.load_pem_x509_certificates(held.bundle)


def verifies(held: Held, trusted: bytes, now: datetime) -> bool:
    """Whether a client that trusts these authorities accepts the certificate for the service."""
    roots = verification.Store(x509.load_pem_x509_certificates(trusted))
    verifier = verification.PolicyBuilder().store(roots).time(now)
    try:
        verifier.build_server_verifier(x509.DNSName(NAMES[0])).verify(leaf(held), [])
    except verification.VerificationError:
        return False
    return True


@pytest.fixture(scope="module")
def first() -> Held:
    return later(None, NOW)


def test_what_is_made_first_is_accepted_for_every_name(first: Held) -> None:
    assert verifies(first, first.bundle, NOW)
    names = leaf(first).extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert tuple(names.get_values_for_type(x509.DNSName)) == NAMES
    assert authority.ends(first.chain) == NOW + authority.CERTIFICATE_LIFE


def test_the_ssl_module_loads_and_trusts_it() -> None:
    # At the real time, since the ssl module asks its own clock.
    made = authority.renewed(None, NAMES, datetime.now(UTC))
    server = certificate.context_of(made.chain, made.key)
    client = ssl.create_default_context(cadata=made.bundle.decode())
    ours, theirs = ssl.MemoryBIO(), ssl.MemoryBIO()
    caller = client.wrap_bio(theirs, ours, server_hostname=NAMES[0])
    called = server.wrap_bio(ours, theirs, server_side=True)
    for side in (caller, called, caller, called):
        try:
            side.do_handshake()
        except ssl.SSLWantReadError:
            continue
    assert caller.version() == "TLSv1.3"


def test_nothing_is_done_while_there_is_time(first: Held) -> None:
    for days in (0, 1, 100, 243):
        assert later(first, NOW + days * DAY) is first


def test_the_certificate_is_renewed_by_the_same_authority_when_a_third_of_its_time_is_left(first: Held) -> None:
    now = NOW + 244 * DAY
    second = later(first, now)
    assert second.chain != first.chain
    assert (second.bundle, second.authority_key) == (first.bundle, first.authority_key)
    assert verifies(second, first.bundle, now)


def test_a_certificate_that_cannot_serve_is_replaced_at_once(first: Held) -> None:
    other = later(None, NOW)
    for broken in (
        Held(b"", b"", first.bundle, first.authority_key),
        Held(b"rubbish", first.key, first.bundle, first.authority_key),
        Held(first.chain, other.key, first.bundle, first.authority_key),
        Held(other.chain, other.key, first.bundle, first.authority_key),
    ):
        mended = later(broken, NOW, bundle_is_out=False)
        assert verifies(mended, first.bundle, NOW)
    renamed = authority.renewed(first, ("other.kthena.svc",), NOW)
    assert renamed.bundle == first.bundle
    assert renamed.chain != first.chain
    too_late = later(first, NOW + 366 * DAY, bundle_is_out=False)
    assert verifies(too_late, first.bundle, NOW + 366 * DAY)


def test_a_certificate_that_begins_later_is_replaced_at_once(first: Held) -> None:
    """It was made while the clock was ahead."""
    ahead = later(first, NOW + 244 * DAY)
    now = NOW + 100 * DAY
    assert not verifies(ahead, first.bundle, now)
    mended = later(ahead, now, bundle_is_out=False)
    assert mended.bundle == first.bundle
    assert verifies(mended, first.bundle, now)


def test_a_new_authority_is_trusted_before_it_signs(first: Held) -> None:
    due = NOW + authority.AUTHORITY_LIFE * 2 / 3 + DAY
    held = later(first, due - 2 * DAY)
    held = later(held, due)
    old, new = first.bundle, held.bundle
    assert new.endswith(old)
    assert len(authorities(held)) == 2
    # The certificate is still that of the old one, which everybody trusts.
    assert verifies(held, old, due)
    settled = due + authority.SETTLE
    assert later(held, settled - timedelta(seconds=1)) is held
    assert later(held, settled, bundle_is_out=False) is held
    switched = later(held, settled)
    assert not verifies(switched, old, settled)
    assert verifies(switched, authorities(switched)[0].public_bytes(Encoding.PEM), settled)
    # The old one stays in the bundle, for replicas that still show its certificate, until it ends.
    assert switched.bundle == new
    ended = NOW + authority.AUTHORITY_LIFE + DAY
    assert len(authorities(later(switched, ended))) == 1


def test_what_was_lost_is_made_anew_and_the_authority_in_service_stays_trusted(first: Held) -> None:
    made = authority.renewed(None, NAMES, NOW, trusted=first.bundle)
    assert made.bundle.endswith(first.bundle)
    assert verifies(first, made.bundle, NOW)
    assert verifies(made, made.bundle, NOW)


def test_what_upstreams_router_made_is_used_until_it_is_to_be_renewed() -> None:
    """It keeps no key of its authority."""
    theirs = later(None, NOW)
    theirs = Held(theirs.chain, theirs.key, theirs.bundle, b"")
    assert later(theirs, NOW + DAY) is theirs
    due = NOW + 244 * DAY
    held = later(theirs, due)
    assert held.chain == theirs.chain
    assert held.bundle.endswith(theirs.bundle)
    switched = later(held, due + authority.SETTLE)
    assert verifies(switched, held.bundle, due + authority.SETTLE)
    assert switched.chain != theirs.chain


@pytest.mark.parametrize("key", [b"rubbish", b"another's"])
def test_an_authority_whose_key_does_not_fit_is_replaced_in_time(first: Held, key: bytes) -> None:
    key = later(None, NOW).authority_key if key == b"another's" else key
    held = Held(first.chain, first.key, first.bundle, key)
    assert later(held, NOW) is held
    assert len(authorities(later(held, NOW + 244 * DAY))) == 2


def test_a_foreign_authority_of_another_kind_of_key_is_no_obstacle() -> None:
    foreign = trustme.CA(key_type=trustme.KeyType.RSA)
    issued = foreign.issue_cert(*NAMES)
    held = Held(
        issued.cert_chain_pems[0].bytes(),
        issued.private_key_pem.bytes(),
        foreign.cert_pem.bytes(),
        foreign.private_key_pem.bytes(),
    )
    now = datetime.now(UTC)
    assert later(held, now) is held


@settings(max_examples=15, deadline=None)
@given(
    steps=st.lists(
        st.tuples(st.sampled_from([0.01, 1.0, 30.0, 130.0, 250.0, 900.0, 2500.0]), st.booleans()), max_size=12
    )
)
def test_whoever_trusts_the_bundle_always_trusts_what_is_shown(steps: list[tuple[float, bool]]) -> None:
    now, held = NOW, later(None, NOW)
    for days, is_out in steps:
        now += days * DAY
        before, held = held, later(held, now, bundle_is_out=is_out)
        assert verifies(held, held.bundle, now)
        # What is in service on another replica too, for as long as it is good.
        if verifies(before, before.bundle, now):
            assert verifies(before, held.bundle, now)
            # And a configuration that has not heard of a change trusts what is shown, unless it was said to have.
            assert is_out or verifies(held, before.bundle, now)
