from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import permutations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processors.arrivals import AHEAD, BEHIND, dead_of, sort
from tests.making import (
    BOOT,
    NOW,
    Wearer,
    device,
    encoded,
    event,
    fall,
    raw_record,
    record,
    registry,
)
from vigil.errors import Rejected
from vigil.events import Sos
from vigil.topics import Address


def arrived(envelope: Any, known: Any = None, at: datetime = NOW) -> Any:
    (arrival,) = sort([record(envelope, at=at)], known or registry(), at).arrivals
    return arrival


def test_a_batch_is_ordered_as_the_node_made_it_boot_by_boot() -> None:
    made = [
        event(seq=2, boot="10-0000000a"),
        event(seq=1, boot="10-0000000a"),
        event(seq=7, boot="9-0000000b"),
    ]
    arrivals = sort([record(envelope) for envelope in made], registry(), NOW).arrivals
    assert [(a.envelope.boot, a.envelope.seq) for a in arrivals] == [
        ("9-0000000b", 7),
        ("10-0000000a", 1),
        ("10-0000000a", 2),
    ]


def test_every_sequence_number_of_a_batch_is_accounted_for_whatever_became_of_it() -> None:
    unwilling = registry(device(Wearer(purposes=())))
    batch = sort(
        [
            record(event(seq=1)),
            record(event(fall(), seq=2)),
            record(event(seq=3, device="stranger")),
            raw_record(encoded(event(seq=4), data={})),
            raw_record(b"{"),
        ],
        unwilling,
        NOW,
    )
    assert [a.envelope.seq for a in batch.arrivals] == [1]
    assert [w.seq for w in batch.withheld] == [2]
    assert [d.reason for d in batch.dead] == ["unregistered", "malformed", "malformed"]
    assert dict(batch.accounted) == {("n1", BOOT, "alarm"): [(1, 1), (2, 2), (3, 3), (4, 4)]}


def test_what_is_withheld_keeps_nothing_of_the_content_and_only_the_day() -> None:
    batch = sort([record(event(fall(), seq=2))], registry(device(Wearer(purposes=()))), NOW)
    (withheld,) = batch.withheld
    assert (withheld.purpose, withheld.day) == ("fall_detection", NOW.date())
    assert not hasattr(withheld, "data")


@pytest.mark.parametrize("registered", ["canary", "drill", "demo"])
def test_synthetic_is_believed_of_a_node_registered_for_it(registered: Any) -> None:
    assert arrived(event(synthetic=registered), registry(synthetic=registered)).synthetic == registered


@pytest.mark.parametrize(("claimed", "registered"), [*permutations(["canary", "drill", "demo", None], 2)])
def test_what_claims_a_flag_that_its_node_is_not_registered_for_is_taken_for_real(
    claimed: Any, registered: Any
) -> None:
    assert arrived(event(synthetic=claimed), registry(synthetic=registered)).synthetic is None


BROKEN = [
    datetime(1970, 1, 1, tzinfo=UTC),
    NOW - BEHIND - timedelta(seconds=1),
    NOW + AHEAD + timedelta(seconds=1),
]


@pytest.mark.parametrize("time", BROKEN)
def test_a_time_that_cannot_be_is_noticed_and_the_event_kept(time: datetime) -> None:
    arrival = arrived(event(time=time))
    assert not arrival.plausible
    assert arrival.row().time == time
    assert arrival.happened == NOW


@pytest.mark.parametrize("time", BROKEN)
def test_where_the_time_cannot_be_the_age_says_when_it_happened(time: datetime) -> None:
    assert arrived(event(time=time, age=90.0)).happened == NOW - timedelta(seconds=90)


@pytest.mark.parametrize("clock", ["holdover", "unsynced"])
def test_the_age_counts_more_than_a_clock_that_is_not_synced(clock: Any) -> None:
    event_ = event(time=NOW - timedelta(minutes=40), clock=clock, age=90.0)
    assert arrived(event_).happened == NOW - timedelta(seconds=90)


def test_a_synced_clock_counts_more_than_the_age() -> None:
    event_ = event(time=NOW - timedelta(minutes=40), clock="synced", age=90.0)
    assert arrived(event_).happened == NOW - timedelta(minutes=40)


@given(
    st.datetimes(timezones=st.just(UTC)),
    st.none() | st.floats(0, allow_infinity=False),
    st.sampled_from(["synced", "holdover", "unsynced"]),
)
def test_whatever_a_node_claims_it_happened_lately_and_not_in_the_future(
    time: datetime, age: float | None, clock: Any
) -> None:
    happened = arrived(event(time=time, age=age, clock=clock)).happened
    assert NOW - BEHIND <= happened <= NOW


@pytest.mark.parametrize(
    "value",
    [
        None,
        b"",
        b"{",
        b"\xff",
        b"[" * 20_000,
        encoded(event(), source="//vigil/n1"),
        encoded(event(), source=""),
    ],
)
def test_a_record_that_ingest_would_never_have_let_through_is_a_dead_letter(value: bytes | None) -> None:
    (dead,) = sort([raw_record(value)], registry(), NOW).dead
    assert dead.payload == (value or b"")
    assert dead.seq is None


@given(
    st.none() | st.binary(max_size=100) | st.builds(encoded, st.just(event()), source=st.text(max_size=30))
)
def test_any_record_can_be_put_aside(value: bytes | None) -> None:
    dead = dead_of(raw_record(value), Rejected("poison", "would not go in"))
    assert (dead.reason, dead.payload) == ("poison", value or b"")


def test_a_record_put_aside_accounts_for_its_number() -> None:
    dead = dead_of(record(event(seq=5)), Rejected("poison", "would not go in"))
    assert (dead.key, dead.seq, dead.id) == (("n1", BOOT, "alarm"), 5, event(seq=5).id)


def test_the_same_bytes_without_a_number_are_the_same_dead_letter() -> None:
    one, again, other = (dead_of(raw_record(v), Rejected("x", "")) for v in (b"{", b"{", b"}"))
    assert one.id == again.id != other.id


def test_a_node_that_stands_elsewhere_is_refused_here_too() -> None:
    elsewhere = event(Sos(by="cord"), address=Address("c1", "e2", "n1"))
    (dead,) = sort([record(elsewhere)], registry(), NOW).dead
    assert dead.reason == "wrong_topic"
