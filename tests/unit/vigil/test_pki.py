"""The authority: who gets which certificate, and what nobody gets."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.verification import PolicyBuilder, Store
from hypothesis import given
from hypothesis import strategies as st

from vigil import pki
from vigil.errors import Rejected
from vigil.pki import Revoked
from vigil.topics import Address, Kind, parse

NOW = datetime(2026, 3, 1, tzinfo=UTC)
OURS = pki.new_authority("c1", NOW)
THEIRS = pki.new_authority("c1", NOW)
KEY = pki.new_key()


def box(node: str = "n1", now: datetime = NOW) -> pki.Issued:
    return pki.sign_box(OURS, pki.request(KEY, node), node, now)


def refused(reason: str, *arguments: object) -> None:
    with pytest.raises(Rejected) as caught:
        pki.node_of(OURS, *arguments)  # type: ignore[arg-type]  # each test gives what fits
    assert caught.value.reason == reason


def test_a_box_is_who_the_caller_says_whatever_its_request_says() -> None:
    made = pki.sign_box(OURS, pki.request(KEY, "fallback"), "n1", NOW)
    assert pki.common_name(pki.read_certificate(made.pem)) == "n1"


@pytest.mark.parametrize("name", [*sorted(pki.RESERVED), "+", "#", "", "n/1", "n 1", "x" * 65])
def test_no_box_bears_a_name_of_the_platform_s_or_one_that_means_more_than_itself(name: str) -> None:
    with pytest.raises(Rejected, match="cannot be the name of a box"):
        pki.sign_box(OURS, pki.request(KEY, "n1"), name, NOW)


@given(
    node=st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}", fullmatch=True).filter(
        lambda n: n not in pki.RESERVED
    )
)
def test_every_node_that_has_topics_can_have_a_certificate(node: str) -> None:
    assert parse(Address("c1", "e1", node).topic(Kind.STATE)).address.node == node
    assert pki.common_name(pki.read_certificate(box(node).pem)) == node


def test_a_chain_of_box_and_authority_stands_up_to_a_verifier_of_somebody_else_s() -> None:
    store = Store([OURS.certificate])
    leaf = pki.read_certificate(pki.sign_server(OURS, KEY, ["broker.example", "127.0.0.1"], NOW).pem)
    policy = PolicyBuilder().store(store).time(NOW + timedelta(days=1))
    policy.build_server_verifier(x509.DNSName("broker.example")).verify(leaf, [])
    with pytest.raises(x509.verification.VerificationError):
        policy.build_server_verifier(x509.DNSName("other.example")).verify(leaf, [])


def test_a_certificate_is_good_for_a_slow_clock_and_ends_in_time() -> None:
    found = pki.read_certificate(box().pem)
    assert found.not_valid_before_utc == NOW - pki.SKEW
    assert found.not_valid_after_utc == box().not_after == NOW + pki.BOX_LASTS


@pytest.mark.parametrize("junk", [b"", b"\xff", pki.key_pem(KEY), OURS.pem])
def test_what_is_no_request_is_refused(junk: bytes) -> None:
    with pytest.raises(Rejected) as caught:
        pki.sign_box(OURS, junk, "n1", NOW)
    assert caught.value.reason == "bad_request"


def test_a_request_for_another_kind_of_key_is_refused() -> None:
    weak = rsa.generate_private_key(65537, 2048)
    asked = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(weak, hashes.SHA256())
    with pytest.raises(Rejected, match="P-256"):
        pki.sign_box(OURS, asked.public_bytes(serialization.Encoding.PEM), "n1", NOW)


class TestTheNextCertificate:
    asked = pki.request(pki.new_key(), "n1")

    def test_is_for_whoever_proves_to_have_the_present_key(self) -> None:
        assert pki.node_of(OURS, box().pem, self.asked, pki.proof(KEY, self.asked), NOW) == "n1"

    def test_is_not_for_who_has_only_seen_the_present_certificate(self) -> None:
        refused("not_ours", box().pem, self.asked, pki.proof(pki.new_key(), self.asked), NOW)

    def test_is_not_for_a_request_that_was_put_in_the_other_one_s_place(self) -> None:
        other = pki.request(pki.new_key(), "n1")
        refused("not_ours", box().pem, other, pki.proof(KEY, self.asked), NOW)

    def test_is_not_for_another_authority_s_box(self) -> None:
        other = pki.sign_box(THEIRS, pki.request(KEY, "n1"), "n1", NOW)
        refused("not_ours", other.pem, self.asked, pki.proof(KEY, self.asked), NOW)

    def test_is_not_for_one_that_has_expired(self) -> None:
        late = NOW + pki.BOX_LASTS + timedelta(seconds=1)
        refused("expired", box().pem, self.asked, pki.proof(KEY, self.asked), late)

    def test_is_not_for_what_is_no_certificate(self) -> None:
        refused("no_certificate", b"junk", self.asked, pki.proof(KEY, self.asked), NOW)


def test_the_list_names_the_revoked_and_is_signed() -> None:
    issued = box()
    listed = x509.load_pem_x509_crl(pki.revocation_list(OURS, [Revoked(issued.serial, NOW, "n1")], NOW))
    assert listed.is_signature_valid(OURS.certificate.public_key())  # type: ignore[arg-type]  # it is an EC key
    assert [entry.serial_number for entry in listed] == [int(issued.serial, 16)]
    assert listed.next_update_utc == NOW + pki.LIST_LASTS


def test_a_list_says_whose_certificates_they_were_to_whoever_trusts_its_authority() -> None:
    box_of = Revoked("1f", NOW, "n1")
    pem = pki.revocation_list(OURS, [box_of], NOW)
    listed = pki.read_list(OURS.pem, pem, NOW)
    assert (listed.boxes, listed.made_at) == (frozenset({box_of}), NOW - pki.SKEW)
    for error, authority, text, now in (
        ("not_ours", THEIRS.pem, pem, NOW),
        ("expired", OURS.pem, pem, NOW + pki.LIST_LASTS + timedelta(seconds=1)),
        ("no_list", OURS.pem, b"junk", NOW),
    ):
        with pytest.raises(Rejected) as found:
            pki.read_list(authority, text, now)
        assert found.value.reason == error


def test_an_authority_comes_back_from_its_files_and_only_with_its_own_key() -> None:
    again = pki.read_authority(OURS.pem, pki.key_pem(OURS.key))
    assert again.certificate == OURS.certificate
    with pytest.raises(Rejected, match="does not belong"):
        pki.read_authority(OURS.pem, pki.key_pem(THEIRS.key))
    with pytest.raises(Rejected, match="no private key"):
        pki.read_key(b"junk")
