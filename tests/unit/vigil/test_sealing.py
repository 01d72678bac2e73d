"""Personal fields, sealed: what opens them, what does not, and what is left when a key is gone."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vigil.errors import Rejected
from vigil.sealing import Vault, from_base64, new_master, read_master
from vigil.store.sealed import IN_CLEAR, MARK, OPERATIONAL, seal_row

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.trust
VAULT = Vault((b"1" * 32,))
text = st.text()


@given(name=text, resident=st.text(min_size=1, max_size=64))
def test_what_is_sealed_opens_again_and_does_not_show_what_it_says(name: str, resident: str) -> None:
    sealer = VAULT.new(resident)
    sealed = sealer.text("name", name)
    assert sealed is not None
    assert sealed.startswith(MARK)
    assert len(name) < 4 or name not in sealed
    assert VAULT.open(resident, "name", sealer.wrapped, sealed) == name


@given(
    profile=st.dictionaries(
        st.text(max_size=8).filter(lambda name: name != "sealed"), st.integers() | text, max_size=5
    )
)
def test_of_a_profile_only_what_detectors_decide_by_stays_in_clear(profile: dict[str, object]) -> None:
    sealer = VAULT.new("r1")
    whole = profile | {"mobility": "wheelchair"}
    sealed = sealer.json("profile", whole, OPERATIONAL)
    assert sealed is not None
    assert set(sealed) <= {*OPERATIONAL, "sealed"}
    assert VAULT.open("r1", "profile", sealer.wrapped, json.dumps(sealed)) == whole


def test_nothing_stays_nothing() -> None:
    sealer = VAULT.new("r1")
    assert sealer.text("phone", None) is None
    assert sealer.json("register_change", None) is None


def test_the_same_name_looks_different_each_time() -> None:
    sealer = VAULT.new("r1")
    assert sealer.text("name", "王秀英") != sealer.text("name", "王秀英")


@pytest.mark.parametrize(("field", "resident"), [("phone", "r1"), ("name", "r2")])
def test_a_box_that_was_moved_to_another_field_or_resident_does_not_open(field: str, resident: str) -> None:
    sealer = VAULT.new("r1")
    sealed = sealer.text("name", "王秀英")
    assert sealed is not None
    with pytest.raises(Rejected):
        VAULT.open(resident, field, sealer.wrapped, sealed)


def test_a_box_that_was_changed_does_not_open() -> None:
    sealer = VAULT.new("r1")
    sealed = sealer.text("name", "王秀英")
    assert sealed is not None
    content = bytearray(base64.b64decode(sealed[1:]))
    content[-1] ^= 1
    with pytest.raises(Rejected, match="was not sealed for this place"):
        VAULT.open("r1", "name", sealer.wrapped, MARK + base64.b64encode(content).decode())


def test_without_the_residents_key_nothing_is_left() -> None:
    sealed = VAULT.new("r1").text("name", "王秀英")
    assert sealed is not None
    assert VAULT.open("r1", "name", None, sealed) == ""
    assert VAULT.open("r1", "profile", None, json.dumps({"sealed": sealed, "visits": []})) == {"visits": []}


def test_another_master_key_opens_nothing() -> None:
    sealer = VAULT.new("r1")
    sealed = sealer.text("name", "王秀英")
    assert sealed is not None
    with pytest.raises(Rejected, match="a master key that this process lacks"):
        Vault((b"2" * 32,)).open("r1", "name", sealer.wrapped, sealed)


def test_a_new_master_key_in_front_wraps_again_and_the_old_one_can_go() -> None:
    sealer = VAULT.new("r1")
    sealed = sealer.text("name", "王秀英")
    assert sealer.wrapped is not None
    assert sealed is not None
    both = Vault((b"2" * 32, b"1" * 32))
    assert both.open("r1", "name", sealer.wrapped, sealed) == "王秀英"
    again = both.rewrap("r1", sealer.wrapped)
    assert again is not None
    assert both.rewrap("r1", again) is None
    assert Vault((b"2" * 32,)).open("r1", "name", again, sealed) == "王秀英"


def test_what_stands_in_clear_is_read_as_it_is() -> None:
    assert VAULT.open("r1", "name", None, "王秀英") == "王秀英"
    assert IN_CLEAR.open("r1", "profile", None, '{"note": "knock"}') == {"note": "knock"}


def test_a_process_without_a_key_writes_in_clear_and_says_what_it_lacks_of_what_is_sealed() -> None:
    row = {"id": "r1", "name": "王秀英", "phone": None, "profile": {"note": "knock"}}
    assert seal_row(IN_CLEAR.new("r1"), row) == row
    sealer = VAULT.new("r1")
    sealed = seal_row(sealer, row)
    for field, value in (("name", sealed["name"]), ("profile", json.dumps(sealed["profile"]))):
        with pytest.raises(Rejected, match="VIGIL_MASTER_KEY_FILE"):
            IN_CLEAR.open("r1", field, sealer.wrapped, value)
        assert not IN_CLEAR.open("r1", field, None, value)


def test_the_file_of_master_keys_holds_one_a_line(tmp_path: Path) -> None:
    file = tmp_path / "master.key"
    lines = [new_master(), new_master()]
    file.write_text("\n".join(lines) + "\n", encoding="ascii")
    assert read_master(file) == tuple(from_base64(line.encode()) for line in lines)


@pytest.mark.parametrize("content", ["", "not base64!", base64.b64encode(b"short").decode()])
def test_a_file_that_holds_no_key_is_refused(tmp_path: Path, content: str) -> None:
    file = tmp_path / "master.key"
    file.write_text(content, encoding="ascii")
    with pytest.raises(Rejected, match="32 bytes in base64"):
        read_master(file)


def test_a_kms_may_hold_the_key_that_opens_the_file(tmp_path: Path) -> None:
    file = tmp_path / "master.key"
    file.write_bytes(b"ciphertext")
    asked: list[bytes] = []

    def kms(line: bytes) -> bytes:
        asked.append(line)
        return b"3" * 32

    assert read_master(file, kms) == (b"3" * 32,)
    assert asked == [b"ciphertext"]
