from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any
from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.making import ADDRESS, BOOT, event, fall, mqtt_topic
from vigil import events, topics
from vigil.errors import Rejected
from vigil.events import DATA, MAX_PAYLOAD, Answer, Envelope, Readings, Shed, Sos, Tombstone, event_id
from vigil.topics import Address, Lane

if TYPE_CHECKING:
    from collections.abc import Callable

zones = st.none() | st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,20}", fullmatch=True)
some_data: st.SearchStrategy[Any] = st.one_of(
    st.builds(Sos, by=st.sampled_from(["button", "cord", "hub", "page"]), zone=zones),
    st.builds(Answer, answer=st.sampled_from(["fine", "help"]), episode=st.none() | st.text(), zone=zones),
    st.builds(
        Readings,
        quantity=st.just("temperature_c"),
        interval_s=st.floats(0.001, 1e6),
        values=st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=20),
        zone=zones,
    ),
    st.builds(
        Shed,
        of_boot=st.just(BOOT),
        of_lane=st.sampled_from(Lane),
        first=st.integers(1, 2**62),
        last=st.integers(1, 2**62),
        reason=st.sampled_from(["spool_full", "spool_corrupt"]),
    ),
    st.builds(
        fall,
        placement=st.sampled_from(["waist", "chest", "wrist"]),
        accel_mg=st.lists(st.integers(-32768, 32767), min_size=600, max_size=600),
    ),
)
zones_of_time = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
moments = st.datetimes(
    datetime(1970, 1, 2),  # noqa: DTZ001 - hypothesis wants naive bounds; the values are aware
    datetime(2100, 1, 1),  # noqa: DTZ001
    timezones=zones_of_time,
)


@given(some_data, moments, st.integers(1, 2**62), st.sampled_from(["synced", "holdover", "unsynced"]))
def test_an_event_survives_the_wire(data: Any, time: datetime, seq: int, clock: Any) -> None:
    sent = event(data, seq, time=time, clock=clock, clockerr=0.5)
    received = events.decode(events.encode(sent))
    assert events.decode_data(received) == data
    assert received.time == time
    assert events.encode(received) == events.encode(sent)
    events.check_origin(received, topics.parse(mqtt_topic(sent)))


def test_a_type_names_the_lane_that_its_kind_of_topic_carries() -> None:
    for name in DATA:
        assert name.split(".")[1] in set(Lane)
        assert name.endswith(".v1")


def test_an_id_follows_from_node_boot_lane_and_seq_and_nothing_else() -> None:
    same = event_id("n1", BOOT, Lane.ALARM, 7)
    assert event(seq=7, time=datetime(2020, 1, 1, tzinfo=UTC)).id == same
    others = {
        event_id("n2", BOOT, Lane.ALARM, 7),
        event_id("n1", "2-0000abcd", Lane.ALARM, 7),
        event_id("n1", BOOT, Lane.EVENT, 7),
        event_id("n1", BOOT, Lane.ALARM, 8),
    }
    assert len(others | {same}) == 5


def test_an_id_is_the_same_in_every_version_of_the_software() -> None:
    assert str(event_id("n1", BOOT, Lane.ALARM, 7)) == "6d6b3018-f8d0-5dda-b5a1-039aa249f58a"


@given(st.sampled_from(Lane), st.integers(1, 2**62), st.integers(0, 2**32 - 1), st.integers(0, 127))
def test_an_id_with_any_bit_turned_is_not_the_one_derived(
    lane: Lane, seq: int, random: int, bit: int
) -> None:
    where = ("n1", f"7-{random:08x}", lane, seq)
    assert events._is_event_id(event_id(*where), *where)
    assert not events._is_event_id(UUID(int=event_id(*where).int ^ (1 << bit)), *where)


def changed(**changes: Any) -> bytes:
    fields = msgspec.json.decode(events.encode(event())) | changes
    return msgspec.json.encode({name: value for name, value in fields.items() if value is not ...})


def replaced(old: bytes, new: bytes) -> bytes:
    whole = events.encode(event())
    assert old in whole
    return whole.replace(old, new)


DEEP = b"[" * 20_000 + b"]" * 20_000

MALFORMED: dict[str, Callable[[], bytes]] = {
    "nothing": lambda: b"",
    "no JSON": lambda: b"{",
    "a list": lambda: b"[]",
    "two documents": lambda: events.encode(event()) * 2,
    "a byte order mark": lambda: b"\xef\xbb\xbf" + events.encode(event()),
    "invalid UTF-8": lambda: replaced(b'"button"', b'"\xff"'),
    "invalid UTF-8 where nobody looks": lambda: replaced(b'"by"', b'"note":"\xc3(","by"'),
    "half a surrogate pair": lambda: replaced(b'"by"', b'"note":"\\ud800","by"'),
    "nothing but brackets": lambda: DEEP,
    "deep nesting in the data": lambda: replaced(b'"by"', b'"note":' + DEEP + b',"by"'),
    "deep nesting beside the data": lambda: replaced(b'"seq"', b'"note":' + DEEP + b',"seq"'),
    "no id": lambda: changed(id=...),
    "an id that is none": lambda: changed(id="7"),
    "no time": lambda: changed(time=...),
    "a time without zone": lambda: changed(time="2026-03-01T08:00:00"),
    "a time of day alone": lambda: changed(time="08:00:00Z"),
    "a number for a time": lambda: changed(time=1772352000),
    "NaN": lambda: replaced(b'"seq":1', b'"seq":1,"age":NaN'),
    "infinity": lambda: replaced(b'"seq":1', b'"seq":1,"age":1e999'),
    "a negative age": lambda: changed(age=-1),
    "seq 0": lambda: changed(seq=0),
    "a fraction as seq": lambda: changed(seq=1.5),
    "a seq in quotes": lambda: changed(seq="1"),
    "a seq beyond 62 bits": lambda: changed(seq=2**62 + 1),
    "a seq of 5,000 digits": lambda: replaced(b'"seq":1', b'"seq":' + b"9" * 5000),
    "a lane that is none": lambda: changed(lane="fast"),
    "another version of CloudEvents": lambda: changed(specversion="0.3"),
    "another content type": lambda: changed(datacontenttype="text/plain"),
    "a boot that is none": lambda: changed(boot="1"),
    "a boot with a line feed": lambda: changed(boot=BOOT + "\n"),
    "a device with a line feed": lambda: changed(subject="pendant\n"),
    "a device that is a wildcard": lambda: changed(subject="#"),
    "an unknown kind of synthetic": lambda: changed(synthetic="joke"),
    "no data": lambda: changed(data=...),
}


@pytest.mark.parametrize("what", MALFORMED)
def test_what_is_no_event_is_rejected_as_malformed(what: str) -> None:
    with pytest.raises(Rejected) as rejected:
        events.decode(MALFORMED[what]())
    assert rejected.value.reason == "malformed"


@pytest.mark.parametrize("type_", ["vigil.alarm.sos.v2", "vigil.alarm.shout.v1", "", "com.example.other"])
def test_a_type_or_version_that_nobody_knows_is_rejected_as_such(type_: str) -> None:
    with pytest.raises(Rejected) as rejected:
        events.decode(changed(type=type_))
    assert rejected.value.reason == "unknown_type"
    assert repr(type_) in rejected.value.detail


def test_an_event_may_fill_the_limit_and_not_a_byte_more() -> None:
    padding = b" " * (MAX_PAYLOAD - len(events.encode(event())))
    assert events.decode(events.encode(event()) + padding).seq == 1
    with pytest.raises(Rejected) as rejected:
        events.decode(events.encode(event()) + padding + b" ")
    assert rejected.value.reason == "oversize"


def test_of_a_name_given_twice_the_last_counts_as_it_does_in_the_database() -> None:
    assert events.decode(replaced(b'"seq":1', b'"seq":9,"seq":1')).seq == 1
    twice = events.decode(replaced(b'"by":"button"', b'"by":"cord","by":"button"'))
    assert events.decode_data(twice) == Sos(by="button")


BAD_DATA: dict[str, list[Any]] = {
    "vigil.alarm.sos.v1": [{}, {"by": "shout"}, {"by": None}, [], "button", {"by": "cord", "zone": "a b"}],
    "vigil.alarm.fall_suspected.v1": [
        {"accel_mg": [0] * 599, "peak_g": 2, "placement": "waist", "episode": "e"},
        {"accel_mg": [0] * 601, "peak_g": 2, "placement": "waist", "episode": "e"},
        {"accel_mg": [0] * 599 + [32768], "peak_g": 2, "placement": "waist", "episode": "e"},
        {"accel_mg": [0.5] * 600, "peak_g": 2, "placement": "waist", "episode": "e"},
        {"accel_mg": [0] * 600, "peak_g": 2, "placement": "ankle", "episode": "e"},
        {"accel_mg": [0] * 600, "peak_g": 2, "placement": "waist", "episode": "e", "rate_hz": 100},
    ],
    "vigil.telemetry.readings.v1": [
        {"quantity": "t", "interval_s": 0, "values": [1]},
        {"quantity": "t", "interval_s": 1, "values": []},
        {"quantity": "T;", "interval_s": 1, "values": [1]},
        {"quantity": "t", "interval_s": 1, "values": [None]},
        {"quantity": "t", "interval_s": 1, "values": [0] * 2001},
    ],
    "vigil.event.shed.v1": [
        {"of_boot": "x", "of_lane": "alarm", "first": 1, "last": 2, "reason": "spool_full"},
        {"of_boot": BOOT, "of_lane": "alarm", "first": 0, "last": 2, "reason": "spool_full"},
        {"of_boot": BOOT, "of_lane": "fast", "first": 1, "last": 2, "reason": "spool_full"},
    ],
}


@pytest.mark.parametrize(("type_", "data"), [(t, d) for t, several in BAD_DATA.items() for d in several])
def test_data_of_another_shape_than_the_type_promises_are_rejected(type_: str, data: object) -> None:
    with pytest.raises(Rejected) as rejected:
        events.decode_data(events.decode(changed(type=type_, data=data)))
    assert rejected.value.reason == "malformed"


def test_a_number_beyond_the_range_of_a_double_is_rejected() -> None:
    data = b'{"quantity":"t","interval_s":1,"values":[1e999]}'
    envelope = event(Readings(quantity="t", interval_s=1, values=[7]))
    with pytest.raises(Rejected) as rejected:
        events.decode_data(msgspec.structs.replace(envelope, data=msgspec.Raw(data)))
    assert rejected.value.reason == "malformed"


def test_fields_that_a_later_edge_adds_do_no_harm() -> None:
    assert events.decode(changed(later="yes")).seq == 1


def both(payload: bytes) -> tuple[Any, Any]:
    """Return an event as `read` has it at once, and as the other two have it one after the other."""
    whole: Any = events.read(payload)
    try:
        envelope = events.decode(payload)
        data = events.decode_data(envelope)
    except Rejected:
        return whole, None
    fields = msgspec.structs.asdict(envelope) | {"data": data}
    return whole and msgspec.structs.asdict(whole) | {"type": whole.type}, fields


@given(some_data, moments, st.integers(1, 2**62), st.sampled_from(["synced", "holdover", "unsynced"]))
def test_an_event_read_at_once_is_the_same_as_one_decoded_in_two_steps(
    data: Any, time: datetime, seq: int, clock: Any
) -> None:
    sent = event(data, seq, time=time, clock=clock, clockerr=0.5)
    at_once, in_steps = both(events.encode(sent))
    assert at_once == in_steps
    whole = events.read(events.encode(sent))
    assert whole is not None
    events.check_origin(whole, topics.parse(mqtt_topic(sent)))


NOT_VALID = [make() for make in MALFORMED.values()]
NOT_VALID += [changed(type=type_, data=data) for type_, several in BAD_DATA.items() for data in several]
NOT_VALID += [changed(type="vigil.alarm.sos.v2"), events.encode(event()) + b" " * MAX_PAYLOAD]


@pytest.mark.parametrize("payload", NOT_VALID, ids=range(len(NOT_VALID)))
def test_what_the_two_steps_reject_is_not_read_at_once(payload: bytes) -> None:
    assert both(payload) == (None, None)


@given(st.data(), some_data)
def test_nothing_is_read_at_once_that_the_two_steps_would_reject_or_see_differently(
    draw: st.DataObject, data: Any
) -> None:
    payload = bytearray(events.encode(event(data)))
    for _ in range(draw.draw(st.integers(1, 3))):
        at = draw.draw(st.integers(0, len(payload) - 1))
        payload[at : at + draw.draw(st.integers(0, 2))] = draw.draw(st.binary(max_size=2))
    at_once, in_steps = both(bytes(payload))
    assert at_once in (None, in_steps)


@pytest.mark.parametrize("twice", [b"vigil.alarm.answer.v1", b"vigil.alarm.sos.v1"])
def test_of_a_type_given_twice_the_last_counts_for_both(twice: bytes) -> None:
    at_once, in_steps = both(replaced(b'"seq":1', b'"seq":1,"type":"' + twice + b'"'))
    assert at_once == in_steps


WRONG_ORIGIN: dict[str, tuple[str, Callable[[], Envelope]]] = {
    "another node's": ("vigil/v1/c1/e1/n2/alarm/pendant", event),
    "another estate's": ("vigil/v1/c1/e2/n1/alarm/pendant", event),
    "another community's": ("vigil/v1/c2/e1/n1/alarm/pendant", event),
    "another device's": ("vigil/v1/c1/e1/n1/alarm/other", event),
    "another lane's": ("vigil/v1/c1/e1/n1/event/pendant", event),
    "the platform's": ("vigil/v1/c1/e1/n1/cmd/pendant", event),
    "of a type of another lane": (
        "vigil/v1/c1/e1/n1/alarm/pendant",
        lambda: msgspec.structs.replace(event(), type="vigil.event.shed.v1"),
    ),
}


@pytest.mark.parametrize("whose", WRONG_ORIGIN)
def test_an_event_that_came_by_a_topic_not_its_own_is_rejected(whose: str) -> None:
    topic, make = WRONG_ORIGIN[whose]
    with pytest.raises(Rejected) as rejected:
        events.check_origin(make(), topics.parse(topic))
    assert rejected.value.reason == "wrong_topic"


@pytest.mark.parametrize(
    "change", [{"seq": 2}, {"boot": "2-0000abcd"}, {"id": event_id("n2", BOOT, Lane.ALARM, 1)}]
)
def test_an_id_that_does_not_follow_from_the_sequence_number_is_rejected(change: dict[str, Any]) -> None:
    forged = msgspec.structs.replace(event(), **change)
    with pytest.raises(Rejected) as rejected:
        events.check_origin(forged, topics.parse(mqtt_topic(event())))
    assert rejected.value.reason == "malformed"


@pytest.mark.parametrize(
    "source", ["", "//vigil/", "//vigil/c/e", "//vigil/c/e/n/d", "x//vigil/c/e/n", "/c/e/n"]
)
def test_a_source_that_names_no_node_is_rejected(source: str) -> None:
    with pytest.raises(Rejected) as rejected:
        events.address_of(source)
    assert rejected.value.reason == "wrong_topic"


def test_a_source_names_its_node() -> None:
    assert events.address_of(event().source) == ADDRESS
    assert events.address_of(Address("c", "e", "n").source) == Address("c", "e", "n")


@given(st.binary(max_size=300))
def test_no_bytes_make_decoding_fail_otherwise(payload: bytes) -> None:
    with suppress(Rejected):
        events.decode_data(events.decode(payload))


def test_a_tombstone_and_a_shed_range_name_a_boot_that_can_be() -> None:
    for shape in (Tombstone, Shed):
        with pytest.raises(msgspec.ValidationError):
            msgspec.convert({"of_boot": "a\0b", "of_lane": "alarm"}, shape)
