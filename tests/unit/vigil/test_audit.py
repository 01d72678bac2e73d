"""The audit log's chain: whatever is done to it is found."""

from __future__ import annotations

import base64
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from vigil.audit.chain import (
    EMPTY,
    Checkpoint,
    Finding,
    Head,
    Link,
    Verifier,
    canonical,
    chained,
    sign,
    trusted,
)

pytestmark = pytest.mark.trust

NOW = datetime(2026, 3, 1, 4, 0, tzinfo=UTC)
KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
ENTRIES = st.lists(st.text(max_size=20), min_size=2, max_size=12, unique=True)


def chain(entries: list[str]) -> list[Link]:
    return list(chained(EMPTY, entries))


def findings(links: list[Link], *checkpoints: Checkpoint) -> list[Finding]:
    verifier = Verifier(checkpoints)
    return [finding for link in links for finding in verifier.follow(link)] + verifier.end()


def signed(link: Link, at: datetime = NOW) -> Checkpoint:
    return sign(Head(link.seq, link.hash), at, KEY)


@given(ENTRIES, st.data())
def test_nothing_is_found_where_nothing_was_touched(entries: list[str], data: st.DataObject) -> None:
    links = chain(entries)
    chosen = data.draw(st.lists(st.sampled_from(links)))
    assert findings(links, *(signed(link) for link in chosen)) == []


@given(ENTRIES, st.data())
def test_an_edited_entry_is_found_where_it_stands(entries: list[str], data: st.DataObject) -> None:
    links = chain(entries)
    at = data.draw(st.integers(0, len(links) - 1))
    links[at] = replace(links[at], entry=links[at].entry + "x")
    assert [(found.kind, found.seq) for found in findings(links)] == [("changed", at + 1)]


@given(ENTRIES, st.data())
def test_a_deleted_entry_is_found(entries: list[str], data: st.DataObject) -> None:
    links = chain(entries)
    at = data.draw(st.integers(0, len(links) - 2))
    del links[at]
    assert [(found.kind, found.seq) for found in findings(links)] == [("gap", at + 1)]


@given(ENTRIES, st.data())
def test_a_deleted_entry_is_found_also_where_the_rest_moved_up(
    entries: list[str], data: st.DataObject
) -> None:
    links = chain(entries)
    at = data.draw(st.integers(0, len(links) - 2))
    del links[at]
    renumbered = [replace(link, seq=seq) for seq, link in enumerate(links, 1)]
    assert findings(renumbered)[0].kind == "changed"


@given(ENTRIES, st.data())
def test_two_entries_that_changed_places_are_found(entries: list[str], data: st.DataObject) -> None:
    links = chain(entries)
    one, other = data.draw(
        st.lists(st.integers(0, len(links) - 1), min_size=2, max_size=2, unique=True).map(sorted)
    )
    links[one], links[other] = (
        replace(links[one], entry=links[other].entry),
        replace(links[other], entry=links[one].entry),
    )
    found = findings(links)
    assert {(each.kind, each.seq) for each in found} == {("changed", one + 1), ("changed", other + 1)}


@given(ENTRIES, st.data())
def test_an_end_that_was_cut_off_is_found_by_what_was_signed_before(
    entries: list[str], data: st.DataObject
) -> None:
    links = chain(entries)
    kept = data.draw(st.integers(0, len(links) - 1))
    assert [each.kind for each in findings(links[:kept], signed(links[-1]))] == ["cut"]
    assert findings(links[:kept]) == []  # the chain alone cannot tell


@given(ENTRIES, st.data())
def test_a_history_that_was_computed_anew_contradicts_what_was_signed(
    entries: list[str], data: st.DataObject
) -> None:
    before = chain(entries)
    at = data.draw(st.integers(0, len(entries) - 1))
    forged = chain([*entries[:at], entries[at] + "x", *entries[at + 1 :]])
    assert findings(forged) == []  # it holds in itself
    assert [each.kind for each in findings(forged, signed(before[-1]))] == ["rewritten"]


def test_a_checkpoint_of_somebody_else_is_named_and_proves_nothing() -> None:
    link = chain(["a"])[0]
    forged = sign(Head(1, bytes(32)), NOW, Ed25519PrivateKey.from_private_bytes(bytes(32)))
    good, found = trusted([forged, signed(link)], KEY.public_key())
    assert good == [signed(link)]
    assert [(each.kind, each.seq) for each in found] == [("forged", 1)]


@pytest.mark.parametrize(
    "change",
    [{"seq": 2}, {"hash": base64.b64encode(bytes(32)).decode()}, {"at": NOW + timedelta(seconds=1)}],
)
def test_what_a_checkpoint_says_cannot_be_changed(change: dict[str, object]) -> None:
    changed = msgspec.structs.replace(signed(chain(["a"])[0]), **change)
    assert trusted([changed], KEY.public_key())[0] == []


def test_a_checkpoint_survives_its_way_through_json() -> None:
    checkpoint = signed(chain(["a"])[0], NOW + timedelta(microseconds=1))
    again = msgspec.json.decode(msgspec.json.encode(checkpoint), type=Checkpoint)
    assert trusted([again], KEY.public_key()) == ([checkpoint], [])


def test_an_entry_has_one_text() -> None:
    assert canonical({"b": 1, "a": {"d": None, "c": "å"}}) == canonical({"a": {"c": "å", "d": None}, "b": 1})
    with pytest.raises(TypeError, match="float"):
        canonical({"a": [{"b": 0.1}]})
