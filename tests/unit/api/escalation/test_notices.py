"""What a notice says, and the link in it."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.escalation.links import Invitation, read, sign
from api.escalation.messages import About, compose
from vigil.errors import Rejected

NOW = datetime(2026, 3, 1, 20, 0, tzinfo=UTC)
KEY = b"k" * 32
FALL = About("fall", "critical", "一区", "3号楼", None)


def invitation(account: str = "li.na") -> Invitation:
    return Invitation(uuid4(), account, NOW + timedelta(hours=1))


def test_a_notice_says_kind_place_and_link_in_both_languages() -> None:
    zh = compose(FALL, "https://v/take/x", repeat=False)
    en = compose(FALL, "https://v/take/x", repeat=False, language="en")
    assert zh.title == "紧急告警：跌倒"
    assert en.title == "Critical: Fall"
    for message in (zh, en):
        assert "一区 · 3号楼" in message.body
        assert "https://v/take/x" in message.body


def test_repeats_and_drills_are_labelled_first() -> None:
    drill = About("fall", "critical", "一区", None, "drill")
    assert compose(drill, "", repeat=True).title.startswith("【重复通知】【演练】")
    assert compose(drill, "", repeat=True, language="en").title.startswith("[Repeat] [Drill] ")


def test_an_unknown_place_is_said_in_words() -> None:
    assert "地点不明" in compose(About("fall", "critical", None, None, None), "", repeat=False).body


@pytest.mark.trust
def test_a_notice_has_no_field_for_a_name_a_flat_or_a_number() -> None:
    assert set(About.__dataclass_fields__) == {"kind", "priority", "estate", "building", "synthetic"}


@given(st.text(min_size=1, max_size=64).filter(lambda text: text.isprintable()))
def test_a_link_says_who_may_take_what(account: str) -> None:
    made = invitation(account)
    assert read(sign(made, KEY), KEY, NOW) == made


def test_a_link_is_over_at_its_time() -> None:
    made = invitation()
    with pytest.raises(Rejected, match="over"):
        read(sign(made, KEY), KEY, made.until)


def test_a_link_signed_by_somebody_else_is_refused() -> None:
    with pytest.raises(Rejected, match="changed"):
        read(sign(invitation(), b"other"), KEY, NOW)


@given(st.integers(0, 52), st.integers(1, 255))
def test_no_byte_of_a_link_can_be_changed(position: int, change: int) -> None:
    raw = bytearray(base64.urlsafe_b64decode(sign(invitation(), KEY) + "=="))
    raw[position % len(raw)] ^= change
    with pytest.raises(Rejected):
        read(base64.urlsafe_b64encode(bytes(raw)).decode().rstrip("="), KEY, NOW)


@given(st.text(max_size=100))
def test_whatever_else_stands_in_a_link_is_refused(text: str) -> None:
    with pytest.raises(Rejected):
        read(text, KEY, NOW)
