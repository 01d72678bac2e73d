"""The box's side of a claim, without a platform."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.claims import ALPHABET, new_code, plain
from edge import handshake
from edge.__main__ import main
from edge.claim import Grant, Identity, Platform, renew
from edge.identity import WORRY, Standing, ends_soon
from tests.unit.edge.parts import START
from vigil import mqtt, pki
from vigil.errors import Stop
from vigil.settings import MqttSettings

if TYPE_CHECKING:
    from pathlib import Path

AUTHORITY = pki.new_authority("c1", START.utc)
PLATFORM = Platform("https://platform.example", None)


@dataclass
class FakeLink:
    up: bool
    refused: str | None = None


def granted(identity: Identity, node: str = "n1") -> Grant:
    signed = pki.sign_box(AUTHORITY, pki.request(identity.next_key(), "box"), node, START.utc)
    return Grant(node, signed.pem.decode(), AUTHORITY.pem.decode(), "[::1]:8883")


@pytest.fixture
def identity(tmp_path: Path) -> Identity:
    return Identity(tmp_path / "identity")


@pytest.mark.parametrize("url", ["http://platform.example", "platform.example", "ftp://x", ""])
def test_a_code_is_not_shown_to_everybody_on_the_way(url: str) -> None:
    with pytest.raises(Stop, match="not an https"):
        Platform(url, None)


def test_an_authority_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(Stop, match="nowhere"):
        Platform("https://platform.example", str(tmp_path / "nowhere"))


def test_a_key_is_kept_until_an_answer_has_come(identity: Identity) -> None:
    first = identity.next_key()
    assert pki.key_pem(identity.next_key()) == pki.key_pem(first)
    identity.take(granted(identity), first, PLATFORM)
    assert pki.key_pem(identity.next_key()) != pki.key_pem(first)


def test_what_is_in_place_opens_a_connection(identity: Identity) -> None:
    identity.take(granted(identity), identity.next_key(), PLATFORM)
    lines = (identity.folder / "edge.env").read_text().splitlines()
    setting = dict(line.removeprefix("VIGIL_").lower().split("=", 1) for line in lines)
    assert setting["mqtt_host"] == "::1"
    settings = MqttSettings.model_validate(setting)
    assert mqtt.tls(settings) is not None


def test_a_certificate_for_another_key_or_name_is_not_put_in_place(
    identity: Identity, tmp_path: Path
) -> None:
    other = granted(Identity(tmp_path / "other"))
    with pytest.raises(Stop, match="nothing was put in place"):
        identity.take(other, identity.next_key(), PLATFORM)
    mine = granted(identity)
    with pytest.raises(Stop):
        identity.take(Grant("n2", mine.certificate, mine.ca, mine.broker), identity.next_key(), PLATFORM)
    assert not identity.pem.exists()


def test_a_box_that_was_never_claimed_cannot_renew(identity: Identity) -> None:
    with pytest.raises(Stop, match="edge claim"):
        renew(identity, START.utc)


def test_the_command_ends_with_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["renew", "--into", str(tmp_path)]) == 1
    assert "run `python -m edge claim` first" in capsys.readouterr().err
    assert main(["claim", "--code", "x", "--url", "http://far", "--into", str(tmp_path)]) == 1
    assert "not an https://" in capsys.readouterr().err
    (tmp_path / "taken").write_text("")
    claim = ["claim", "--code", "x", "--url", "http://127.0.0.1:9", "--into", str(tmp_path / "taken/here")]
    assert main(claim) == 1
    assert "cannot be used: Not a directory" in capsys.readouterr().err


def test_a_code_is_twelve_symbols_that_cannot_be_misread() -> None:
    codes = [new_code() for _ in range(200)]
    assert len(set(codes)) == 200
    assert {len(plain(code)) for code in codes} == {12}
    assert set("".join(map(plain, codes))) == set(ALPHABET)


@given(st.text(ALPHABET, min_size=12, max_size=12))
def test_a_code_counts_the_same_however_it_is_typed(code: str) -> None:
    typed = f" {code[:4]}-{code[4:8]} {code[8:]}".lower().replace("0", "o").replace("1", "l")
    assert plain(typed) == plain(code) == code


def test_an_end_that_is_near_is_a_trouble(identity: Identity) -> None:
    claimed = identity.take(granted(identity), identity.next_key(), PLATFORM)
    assert ends_soon(identity.pem, claimed.not_after - WORRY) is None
    assert ends_soon(identity.pem, claimed.not_after - timedelta(days=3)) == "certificate ends in 3 days"
    assert ends_soon(identity.pem, claimed.not_after + timedelta(days=3)) == "certificate ends in 0 days"


def test_a_certificate_that_came_otherwise_or_none_is_no_trouble(tmp_path: Path) -> None:
    assert ends_soon(None, START.utc) is None
    assert ends_soon(tmp_path / "own.pem", START.utc) is None
    (tmp_path / "claim.json").write_text(json.dumps({"not_after": "soon"}))
    assert ends_soon(tmp_path / "own.pem", START.utc) is None


@pytest.mark.parametrize(
    ("said", "helps"),
    [
        ("SSLV3_ALERT_CERTIFICATE_REVOKED", "claim the box anew"),
        ("SSL/TLS alert certificate revoked", "claim the box anew"),
        ("SSLV3_ALERT_CERTIFICATE_EXPIRED", "python -m edge renew"),
        ("TLSV1_ALERT_UNKNOWN_CA", "with this platform"),
        ("TLSV13_ALERT_CERTIFICATE_REQUIRED", "claim the box"),
        ("WRONG_VERSION_NUMBER", "WRONG_VERSION_NUMBER"),
    ],
)
def test_an_alert_is_told_in_plain_words(said: str, helps: str) -> None:
    assert helps in handshake.alert(said)


@pytest.mark.parametrize(
    ("said", "helps"),
    [
        ("certificate is not yet valid", "set the clock"),
        ("certificate has expired", "check the clock"),
        ("self-signed certificate in certificate chain", "check address and authority"),
    ],
)
def test_a_broker_that_is_not_trusted_is_told_in_plain_words(said: str, helps: str) -> None:
    assert helps in handshake.verification(said)


@pytest.mark.asyncio
async def test_a_box_whose_files_are_gone_says_so(tmp_path: Path) -> None:
    settings = MqttSettings(mqtt_ca=tmp_path / "ca.pem")
    standing = Standing(settings, FakeLink(up=False), lambda: START.utc)
    await standing.step()
    assert "VIGIL_MQTT_CA" in str(standing.refused)
    assert standing.trouble == [standing.refused]


@pytest.mark.asyncio
async def test_a_box_that_is_connected_is_not_refused(tmp_path: Path) -> None:
    standing = Standing(MqttSettings(mqtt_ca=tmp_path / "ca.pem"), FakeLink(up=True), lambda: START.utc)
    await standing.step()
    assert standing.trouble == []


@pytest.mark.asyncio
async def test_a_wrong_password_is_told_until_the_broker_takes_the_box() -> None:
    link = FakeLink(up=False, refused="Not authorized")
    standing = Standing(MqttSettings(), link, lambda: START.utc)
    await standing.step()
    assert standing.trouble == ["the broker refuses this box (Not authorized): check name and password"]
    link.up, link.refused = True, None
    await standing.step()
    assert standing.refused is None
