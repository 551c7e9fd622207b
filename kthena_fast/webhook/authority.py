"""Certificates of the webhook's own making: an authority, and a certificate of the service that it signs.

1. `renewed` is given what is held and the time, and gives what is to be held. It does no I/O and asks no clock.
2. Whoever trusts the bundle trusts every certificate in service, at any moment: a new authority is put in front of the
   bundle first, and signs only when the bundle was out for `SETTLE` and every configuration is known to have it. The
   old one stays in the bundle until it ends.
3. Certificates are renewed when a third of their time is left. One that cannot serve is replaced at once.
4. What upstream's router made has no key of its authority: it is used until it is to be renewed.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPrivateKeyTypes
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

AUTHORITY_LIFE = timedelta(days=3650)
CERTIFICATE_LIFE = timedelta(days=365)

BACKDATED = timedelta(hours=1)
"""How much earlier than now a certificate begins, for clocks that are behind ours."""

SETTLE = timedelta(minutes=10)
"""From a new authority's making to its first signature, in which replicas and API servers hear of it."""


@dataclass(frozen=True, slots=True)
class Held:
    """PEM texts, as the Secret holds them."""

    chain: bytes
    key: bytes
    bundle: bytes
    """Every authority that is to be trusted, the one that signs first."""
    authority_key: bytes
    """Of the first in the bundle; empty: nobody has it."""


def renewed(
    held: Held | None,
    names: tuple[str, ...],
    now: datetime,
    *,
    bundle_is_out: bool = False,
    trusted: bytes = b"",
) -> Held:
    """What is to be held; `held` itself where nothing is to be done.

    `bundle_is_out`: whether every configuration is known to have the bundle of `held`. `trusted`: authorities in
    service that `held` does not know of, since it was lost.
    """
    bundle = [one for one in _certificates(held.bundle if held else trusted) if now < one.not_valid_after_utc]
    signer = _signer(held, bundle)
    serves = held is not None and _serves(held, bundle, names, now)
    if signer is None or _is_due(bundle[0], now):
        if serves and signer is None and not _is_due(_first(held), now):
            return held  # type: ignore[return-value]  # it serves, so it is there
        authority, signer = _new_authority(now)
        bundle.insert(0, authority)
        if serves:
            assert held is not None
            return Held(held.chain, held.key, _pem(bundle), _key_pem(signer))
    elif serves:
        assert held is not None
        certificate = _first(held)
        is_current = _is_signed(certificate, bundle[0]) and not _is_due(certificate, now)
        has_settled = now >= bundle[0].not_valid_before_utc + BACKDATED + SETTLE
        if is_current or not (has_settled and bundle_is_out):
            return held
    chain, key = _new_certificate(names, bundle[0], signer, now)
    return Held(chain, key, _pem(bundle), _key_pem(signer))


def ends(chain: bytes) -> datetime:
    """When the first certificate of a PEM text ends; ValueError where there is none."""
    return x509.load_pem_x509_certificate(chain).not_valid_after_utc


def _serves(held: Held, bundle: list[x509.Certificate], names: tuple[str, ...], now: datetime) -> bool:
    """Whether an API server that trusts the bundle accepts what is held, for all the names."""
    try:
        certificate = _first(held)
        key = serialization.load_pem_private_key(held.key, None)
        has = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (ValueError, TypeError, x509.ExtensionNotFound):
        return False
    return (
        key.public_key() == certificate.public_key()
        and certificate.not_valid_before_utc <= now < certificate.not_valid_after_utc
        and set(names) <= set(has.get_values_for_type(x509.DNSName))
        and any(_is_signed(certificate, one) for one in bundle)
    )


def _signer(held: Held | None, bundle: list[x509.Certificate]) -> CertificateIssuerPrivateKeyTypes | None:
    """The key of the authority that is first in the bundle."""
    if held is None or not bundle:
        return None
    try:
        key = serialization.load_pem_private_key(held.authority_key, None)
    except (ValueError, TypeError):
        return None
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != bundle[0].public_key():
        return None
    return key


def _first(held: Held | None) -> x509.Certificate:
    assert held is not None
    return x509.load_pem_x509_certificate(held.chain)


def _certificates(pem: bytes) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(pem)
    except ValueError:
        return []


def _is_signed(certificate: x509.Certificate, by: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(by)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def _is_due(certificate: x509.Certificate, now: datetime) -> bool:
    life = certificate.not_valid_after_utc - certificate.not_valid_before_utc
    return now >= certificate.not_valid_after_utc - life / 3


def _new_authority(now: datetime) -> tuple[x509.Certificate, CertificateIssuerPrivateKeyTypes]:
    key = ec.generate_private_key(ec.SECP256R1())
    serial = x509.random_serial_number()
    # A name of its own: an API server that trusts two tells them apart by it.
    subject = _name(f"webhook authority {serial:x}"[:64])
    certificate = (
        _builder(subject, subject, key.public_key(), serial, now, now + AUTHORITY_LIFE)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .sign(key, hashes.SHA256())
    )
    return certificate, key


def _new_certificate(
    names: tuple[str, ...], authority: x509.Certificate, signer: CertificateIssuerPrivateKeyTypes, now: datetime
) -> tuple[bytes, bytes]:
    key = ec.generate_private_key(ec.SECP256R1())
    until = min(now + CERTIFICATE_LIFE, authority.not_valid_after_utc)
    issuer_key = authority.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    certificate = (
        # 64 characters are the most of a common name, which nobody looks at beside the alternative names.
        _builder(_name(names[0][:64]), authority.subject, key.public_key(), x509.random_serial_number(), now, until)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name) for name in names]), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(issuer_key),
            critical=False,
        )
        .sign(signer, hashes.SHA256())
    )
    return certificate.public_bytes(serialization.Encoding.PEM), _key_pem(key)


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePublicKey,
    serial: int,
    now: datetime,
    until: datetime,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(serial)
        .not_valid_before(now - BACKDATED)
        .not_valid_after(until)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _name(common: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "kthena-fast"),
            x509.NameAttribute(NameOID.COMMON_NAME, common),
        ]
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _pem(certificates: Iterable[x509.Certificate]) -> bytes:
    return b"".join(one.public_bytes(serialization.Encoding.PEM) for one in certificates)


def _key_pem(key: CertificateIssuerPrivateKeyTypes) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
