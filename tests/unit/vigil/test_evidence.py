from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vigil import evidence, pki
from vigil.errors import Rejected
from vigil.evidence import Permit

pytestmark = pytest.mark.trust

KEY = evidence.new_key()
AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
ABOUT = evidence.facts("n1", "c1", "c1.1.1", AT)
SEALED = evidence.seal(evidence.public_of(KEY), b"a picture", ABOUT)


def test_what_is_sealed_is_opened_by_the_key_it_was_sealed_to() -> None:
    again = evidence.read_key(evidence.key_pem(KEY))
    assert evidence.unseal(again, SEALED, ABOUT) == b"a picture"
    assert b"a picture" not in SEALED


def test_the_moment_counts_whatever_the_time_zone_it_is_written_in() -> None:
    elsewhere = AT.astimezone(timezone(timedelta(hours=8)))
    assert evidence.unseal(KEY, SEALED, evidence.facts("n1", "c1", "c1.1.1", elsewhere)) == b"a picture"


@pytest.mark.parametrize("about", [evidence.facts("n1", "c2", "c1.1.1", AT), b""])
def test_a_frame_cannot_be_passed_off_as_another_one(about: bytes) -> None:
    with pytest.raises(Rejected, match="changed since"):
        evidence.unseal(KEY, SEALED, about)


@given(st.integers(0, len(SEALED) - 1), st.integers(1, 255))
def test_a_changed_byte_is_noticed(place: int, change: int) -> None:
    changed = bytearray(SEALED)
    changed[place] ^= change
    # X25519 ignores the highest bit of a public key; the derived key does not.
    with pytest.raises(Rejected):
        evidence.unseal(KEY, bytes(changed), ABOUT)


@given(st.binary(max_size=200))
def test_what_was_never_sealed_is_refused(rubbish: bytes) -> None:
    with pytest.raises(Rejected):
        evidence.unseal(KEY, rubbish, ABOUT)


def test_no_other_key_opens_it() -> None:
    with pytest.raises(Rejected):
        evidence.unseal(evidence.new_key(), SEALED, ABOUT)


def test_two_sealings_of_the_same_have_nothing_in_common() -> None:
    again = evidence.seal(evidence.public_of(KEY), b"a picture", ABOUT)
    assert again[:32] != SEALED[:32]
    assert again[32:] != SEALED[32:]


def test_a_key_of_another_kind_is_named() -> None:
    for pem in (pki.key_pem(pki.new_key()), b"rubbish"):
        with pytest.raises(Rejected):
            evidence.read_key(pem)
    with pytest.raises(Rejected, match="no key to seal to"):
        evidence.seal(b"short", b"", b"")


def test_a_permit_names_cameras_and_ends() -> None:
    permit = Permit(version=3, until=AT, seal_to=b"", devices=["c1"])
    assert permit.allows("c1", AT - timedelta(seconds=1))
    assert not permit.allows("c2", AT - timedelta(seconds=1))
    assert not permit.allows("c1", AT)
