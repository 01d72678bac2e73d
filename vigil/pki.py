"""Certificates of boxes and brokers: one small authority of a community's own.

Used by `edge.claim` (key and request), `api.claims` (signs what a good code asks for) and
`deploy.pki` (the authority, servers' certificates, the list of the revoked).  Pure: bytes and a
moment in, bytes out; who may have a certificate is decided by the caller.

A box's common name is its node's id, which the broker takes for its user name; no box may bear
the name of one of the platform's own users, whose rights it would have.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from ipaddress import ip_address
from typing import TYPE_CHECKING, Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from vigil.errors import Rejected

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

AUTHORITY_LASTS: Final = timedelta(days=3650)
SERVER_LASTS: Final = timedelta(days=397)
"""What the browsers' makers allow for a server."""
BOX_LASTS: Final = timedelta(days=90)
RENEW_WITHIN: Final = timedelta(days=30)
"""A box asks for its next certificate this long before the end: a month may pass without a platform."""
LIST_LASTS: Final = timedelta(days=30)
"""A broker whose list of the revoked is older than this refuses everybody."""
SKEW: Final = timedelta(days=1)
"""Certificates are good from the day before: a box's clock may be slow."""
RESERVED: Final = frozenset({"ingest", "fallback", "metrics", "api", "processors", "revoker"})
"""Users of the platform itself at the broker (`deploy/mosquitto/acl.template`)."""
_NODE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_NODE_OF_ENTRY: Final = x509.ObjectIdentifier("2.25.148053573107929614403937871437213572881")
"""Our own: whose certificate an entry of the list is about, for whoever has to end its connection."""
_HASH: Final = hashes.SHA256()


@dataclass(frozen=True, slots=True)
class Authority:
    """Who signs: its certificate, and its private key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def pem(self) -> bytes:
        """The certificate that everybody has to trust."""
        return self.certificate.public_bytes(serialization.Encoding.PEM)


@dataclass(frozen=True, slots=True)
class Issued:
    """A certificate that was signed.

    Attributes:
        serial: In hexadecimal digits.
        pem: The certificate.
        not_after: Its end.
    """

    serial: str
    pem: bytes
    not_after: datetime


@dataclass(frozen=True, slots=True)
class Revoked:
    """A certificate that is no longer good.

    Attributes:
        serial: In hexadecimal digits.
        at: When it was revoked.
        node: Whose it was.
    """

    serial: str
    at: datetime
    node: str


@dataclass(frozen=True, slots=True)
class Listed:
    """A list of the revoked, and when it was made."""

    made_at: datetime
    boxes: frozenset[Revoked]


def new_key() -> ec.EllipticCurvePrivateKey:
    """Make a private key (P-256: every TLS library has it)."""
    return ec.generate_private_key(ec.SECP256R1())


def key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    """Return a key as PKCS #8, without a passphrase: a box has nobody to type it."""
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def read_key(pem: bytes) -> ec.EllipticCurvePrivateKey:
    """Read a key.

    Raises:
        Rejected: `no_key`.
    """
    try:
        key = serialization.load_pem_private_key(pem, None)
    except (ValueError, TypeError) as error:
        raise Rejected("no_key", f"no private key: {error}") from None
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise Rejected("no_key", "the private key is not one on an elliptic curve")
    return key


def new_authority(name: str, now: datetime) -> Authority:
    """Make an authority, such as a community's own."""
    key = new_key()
    subject = _named(f"Vigil {name}")
    own = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    certificate = (
        _certificate(subject, key.public_key(), now, AUTHORITY_LASTS)
        .issuer_name(subject)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .add_extension(own, critical=False)
        .sign(key, _HASH)
    )
    return Authority(certificate, key)


def read_authority(certificate: bytes, key: bytes) -> Authority:
    """Read an authority from the two files that `deploy.pki` has written.

    Raises:
        Rejected: `no_certificate` or `no_key`, or they do not belong together.
    """
    found, own = read_certificate(certificate), read_key(key)
    if found.public_key() != own.public_key():
        raise Rejected("no_key", "the authority's key does not belong to its certificate")
    return Authority(found, own)


def read_certificate(pem: bytes) -> x509.Certificate:
    """Read a certificate.

    Raises:
        Rejected: `no_certificate`.
    """
    try:
        return x509.load_pem_x509_certificate(pem)
    except ValueError as error:
        raise Rejected("no_certificate", f"no certificate: {error}") from None


def request(key: ec.EllipticCurvePrivateKey, node: str) -> bytes:
    """Return a box's request for a certificate (PKCS #10)."""
    asked = x509.CertificateSigningRequestBuilder().subject_name(_named(node)).sign(key, _HASH)
    return asked.public_bytes(serialization.Encoding.PEM)


def sign_box(authority: Authority, asked: bytes, node: str, now: datetime) -> Issued:
    """Sign a box's request.

    Args:
        authority: Who signs.
        asked: The request; only its key is taken from it, never its name.
        node: The node that may have a certificate.
        now: Present time.

    Raises:
        Rejected: `bad_request` (not one, not signed by its own key, a weak key), or
            `reserved` (the name is one of the platform's, or no node's).
    """
    if node in RESERVED or not _NODE.fullmatch(node):
        raise Rejected("reserved", f"{node!r} cannot be the name of a box")
    return _signed(
        authority,
        _certificate(_named(node), _asked_key(asked), now, BOX_LASTS).add_extension(
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False
        ),
    )


def sign_server(
    authority: Authority, key: ec.EllipticCurvePrivateKey, hosts: Sequence[str], now: datetime
) -> Issued:
    """Sign a server's certificate for the names and addresses under which it is reached."""
    names = x509.SubjectAlternativeName([_general(host) for host in hosts])
    return _signed(
        authority,
        _certificate(_named(hosts[0]), key.public_key(), now, SERVER_LASTS)
        .add_extension(names, critical=False)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False),
    )


def revocation_list(authority: Authority, revoked: Iterable[Revoked], now: datetime) -> bytes:
    """Return the list of the revoked, for the broker.

    Args:
        authority: Who signed them.
        revoked: Each.
        now: Present time.
    """
    made = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(authority.certificate.subject)
        .last_update(now - SKEW)
        .next_update(now + LIST_LASTS)
        .add_extension(x509.CRLNumber(int(now.timestamp())), critical=False)
        .add_extension(_issuer(authority), critical=False)
    )
    for box in revoked:
        entry = x509.RevokedCertificateBuilder().serial_number(int(box.serial, 16)).revocation_date(box.at)
        named = x509.UnrecognizedExtension(_NODE_OF_ENTRY, box.node.encode())
        made = made.add_revoked_certificate(entry.add_extension(named, critical=False).build())
    return made.sign(authority.key, _HASH).public_bytes(serialization.Encoding.PEM)


def read_list(authority: bytes, pem: bytes, now: datetime) -> Listed:
    """Read a list of the revoked.

    Args:
        authority: The certificate of whoever must have signed it, as PEM.
        pem: The list.
        now: Present time.

    Raises:
        Rejected: `no_list`, `not_ours` or `expired`.
    """
    signer = read_certificate(authority).public_key()
    try:
        found = x509.load_pem_x509_crl(pem)
    except ValueError as error:
        raise Rejected("no_list", f"no list of the revoked: {error}") from None
    if not isinstance(signer, ec.EllipticCurvePublicKey) or not found.is_signature_valid(signer):
        raise Rejected("not_ours", "this list is not signed by our authority")
    if found.next_update_utc is None or found.next_update_utc < now:
        raise Rejected("expired", "this list has expired")
    return Listed(found.last_update_utc, frozenset(_entry(one) for one in found))


def _entry(found: x509.RevokedCertificate) -> Revoked:
    named = (one.value for one in found.extensions if one.oid == _NODE_OF_ENTRY)
    node = next(
        (v.value.decode(errors="replace") for v in named if isinstance(v, x509.UnrecognizedExtension)), ""
    )
    return Revoked(f"{found.serial_number:x}", found.revocation_date_utc, node)


def proof(key: ec.EllipticCurvePrivateKey, asked: bytes) -> bytes:
    """Sign a request with the present key, which proves that the same box asks again."""
    return key.sign(asked, ec.ECDSA(_HASH))


def node_of(authority: Authority, certificate: bytes, asked: bytes, signature: bytes, now: datetime) -> str:
    """Return whose box asks for its next certificate.

    Args:
        authority: Who must have signed the present one.
        certificate: The present one.
        asked: The request for the next.
        signature: From `proof`, with the present key.
        now: Present time.

    Raises:
        Rejected: `not_ours` or `expired`.
    """
    found = read_certificate(certificate)
    key = found.public_key()
    try:
        found.verify_directly_issued_by(authority.certificate)
        proven = isinstance(key, ec.EllipticCurvePublicKey)
        if isinstance(key, ec.EllipticCurvePublicKey):
            key.verify(signature, asked, ec.ECDSA(_HASH))
    except (InvalidSignature, TypeError, ValueError):
        proven = False
    if not proven:
        raise Rejected("not_ours", "this certificate, or this proof, is not one of ours")
    if found.not_valid_after_utc < now:
        raise Rejected("expired", "this certificate has expired: the box has to be claimed anew")
    return common_name(found)


def common_name(certificate: x509.Certificate) -> str:
    """Return the node that a certificate is for."""
    return str(certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value)


def key_of(asked: bytes) -> bytes:
    """Return what tells a request's key from every other: the digest of its public half.

    Raises:
        Rejected: `bad_request`.
    """
    public = _asked_key(asked).public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return sha256(public).digest()


def serial_of(certificate: x509.Certificate) -> str:
    """Return a certificate's serial in hexadecimal digits."""
    return f"{certificate.serial_number:x}"


def _asked_key(asked: bytes) -> ec.EllipticCurvePublicKey:
    try:
        found = x509.load_pem_x509_csr(asked)
        key = found.public_key()
        good = found.is_signature_valid
    except (ValueError, TypeError) as error:
        raise Rejected("bad_request", f"no request for a certificate: {error}") from None
    if not good or not isinstance(key, ec.EllipticCurvePublicKey) or key.curve.name != "secp256r1":
        raise Rejected("bad_request", "the request must be for a P-256 key, and signed by it")
    return key


def _certificate(
    subject: x509.Name, key: ec.EllipticCurvePublicKey, now: datetime, lasts: timedelta
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - SKEW)
        .not_valid_after(now + lasts)
    )


def _signed(authority: Authority, builder: x509.CertificateBuilder) -> Issued:
    made = (
        builder.issuer_name(authority.certificate.subject)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(_issuer(authority), critical=False)
        .sign(authority.key, _HASH)
    )
    pem = made.public_bytes(serialization.Encoding.PEM)
    return Issued(serial_of(made), pem, made.not_valid_after_utc)


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _general(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _issuer(authority: Authority) -> x509.AuthorityKeyIdentifier:
    return x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.key.public_key())


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
