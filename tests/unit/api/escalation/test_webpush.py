"""Web Push as the RFCs write it, and where it may go."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st
from joserfc import jwt
from joserfc.jwk import ECKey

from api.escalation.webpush import (
    PADDED,
    Sender,
    decoded,
    encoded,
    encrypt,
    headers,
    may_send,
    point,
    sealed,
)
from tests.browser import Browser
from vigil.errors import Rejected

NOW = datetime(2026, 3, 1, 20, 0, tzinfo=UTC)
KEY = ec.generate_private_key(ec.SECP256R1())


def key_of(text: str) -> ec.EllipticCurvePrivateKey:
    return ec.derive_private_key(int.from_bytes(decoded(text)), ec.SECP256R1())


def test_the_example_of_rfc_8291_comes_out_byte_for_byte() -> None:
    theirs = key_of("q1dXpw3UpT5VOmu_cf_v6ih07Aems3njxI-JWgLcM94")
    ours = key_of("yfWPiYE-n46HLnH0KqZOF1fJJU3MYrct3AELtAQ-oRw")
    salt, auth = decoded("DGv6ra1nlYgDCS1FRnbzlw"), decoded("BTBZMqHH6r4Tts7J_aSIgg")
    message = b"When I grow up, I want to be a watermelon"
    expected = (
        "DGv6ra1nlYgDCS1FRnbzlwAAEABBBP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6Tlz"
        "AC8wEqKK6PBru3jl7A_yl95bQpu6cVPTpK4Mqgkf1CXztLVBSt2Ks3oZwbuwXPXLWyouBWLVWGNWQexSgSxsj_Qulcy4a-fN"
    )
    assert encoded(encrypt(message, point(theirs.public_key()), auth, ours, salt)) == expected


@given(st.binary(max_size=PADDED), st.binary(min_size=16, max_size=16))
def test_the_browser_reads_what_was_sent_and_every_message_has_one_length(
    message: bytes, salt: bytes
) -> None:
    browser = Browser("https://fcm.googleapis.com/fcm/send/x")
    body = sealed(message, browser.p256dh, browser.auth, salt)
    assert browser.read(body) == message.ljust(PADDED)
    assert len(body) == len(sealed(b"", browser.p256dh, browser.auth, salt))


def test_another_browser_reads_nothing() -> None:
    one, other = Browser("https://a"), Browser("https://a")
    with pytest.raises(Exception):  # noqa: B017, PT011 - whichever error the cipher has
        other.read(sealed(b"{}", one.p256dh, one.auth, bytes(16)))


def test_a_key_that_is_no_point_is_refused() -> None:
    with pytest.raises(Rejected):
        sealed(b"{}", b"\x04" + bytes(64), bytes(16), bytes(16))


def test_the_proof_names_the_push_service_and_ends() -> None:
    sent = headers(
        Sender(KEY, "mailto:ops@example.org"),
        "https://fcm.googleapis.com/fcm/send/x",
        NOW,
        topic="t",
        lasts=timedelta(hours=1),
    )
    proof = sent["Authorization"].removeprefix("vapid t=").partition(",")[0]
    claims = jwt.decode(proof, ECKey.import_key(KEY), algorithms=["ES256"]).claims
    assert claims["aud"] == "https://fcm.googleapis.com"
    assert claims["sub"] == "mailto:ops@example.org"
    assert NOW.timestamp() < claims["exp"] <= (NOW + timedelta(hours=24)).timestamp()
    assert (sent["TTL"], sent["Urgency"], sent["Topic"]) == ("3600", "high", "t")


@pytest.mark.parametrize(
    "endpoint",
    [
        "https://fcm.googleapis.com/fcm/send/abc",
        "https://updates.push.services.mozilla.com/wpush/v2/abc",
        "https://wns2-par02p.notify.windows.com/w/?token=abc",
        "https://web.push.apple.com/abc",
        "http://push.community.example:8080/abc",
    ],
)
def test_push_services_of_browsers_and_our_own_are_sent_to(endpoint: str) -> None:
    assert may_send(endpoint, ["http://push.community.example:8080"])


@pytest.mark.parametrize(
    "endpoint",
    [
        *("http://fcm.googleapis.com/x", "https://fcm.googleapis.com:8443/x", "https://127.0.0.1/x"),
        *("https://fcm.googleapis.com@10.0.0.1/x", "https://x.fcm.googleapis.com.evil.example/x"),
        *("https://evilfcm.googleapis.com.example/x", "https://evilpush.apple.com/x", "file:///etc/passwd"),
        *("http://push.community.example:8080@10.0.0.1/abc", "https://[::1/x", "https://a:b/x", ""),
        *("http://push.community.example:8081/x", "https://metadata.internal/latest"),
    ],
)
def test_nothing_else_is(endpoint: str) -> None:
    assert not may_send(endpoint, ["http://push.community.example:8080"])


@pytest.mark.parametrize("text", ["!", "a", "ä", "ab=c"])
def test_what_is_no_base64_is_refused(text: str) -> None:
    with pytest.raises(Rejected):
        decoded(text)
