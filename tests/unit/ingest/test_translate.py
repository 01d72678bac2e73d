from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.translate import Record, translate
from tests.making import (
    ADDRESS,
    BOOT,
    PENDANT,
    Wearer,
    device,
    encoded,
    event,
    fall,
    mqtt_topic,
    registry,
)
from vigil import events, topics
from vigil.events import Birth, NodeState, Readings, Reply, SensorChanged
from vigil.topics import KAFKA_TOPICS, Address, Kind

TOPIC = mqtt_topic(event())
VALID = [
    event(),
    event(fall()),
    event(SensorChanged(sensor="door", state=True)),
    event(Readings(quantity="temperature_c", interval_s=60, values=[21.5])),
]
STATES: dict[Kind, Any] = {
    Kind.STATE: NodeState(online=True, session="s"),
    Kind.BIRTH: Birth(session="s", model="m", firmware="1", capabilities=[]),
    Kind.REPLY: Reply(to="x", accepted=True),
}


@pytest.mark.parametrize("envelope", VALID, ids=lambda envelope: envelope.type)
@pytest.mark.parametrize("known", [registry(), None], ids=["registry at hand", "registry away"])
def test_a_valid_event_goes_on_as_the_bytes_it_came_in(envelope: Any, known: Any) -> None:
    payload = events.encode(envelope) + b" \n"
    record = translate(mqtt_topic(envelope), payload, known)
    assert record == Record(f"vigil.{envelope.lane}.v1", b"n1", payload)


@pytest.mark.parametrize("kind", STATES)
def test_states_births_and_replies_go_on_with_the_topic_that_says_whose_they_are(kind: Kind) -> None:
    topic = ADDRESS.topic(kind, PENDANT if kind is Kind.BIRTH else None)
    payload = msgspec.json.encode(STATES[kind])
    assert translate(topic, payload, registry()) == Record(
        topics.STATE, b"n1", payload, (("topic", topic.encode()),)
    )


@pytest.mark.parametrize("kind", STATES)
@pytest.mark.parametrize("payload", [b"", b"{}", b"[]", b'{"online":"yes"}', b"[" * 20_000, b"\xff"])
def test_a_state_of_another_shape_is_a_dead_letter(kind: Kind, payload: bytes) -> None:
    topic = ADDRESS.topic(kind, PENDANT if kind is Kind.BIRTH else None)
    record = translate(topic, payload, registry())
    assert (record.topic, record.reason, record.value) == (topics.DEAD, "malformed", payload)


def test_an_unregistered_node_has_no_state() -> None:
    payload = msgspec.json.encode(STATES[Kind.STATE])
    record = translate("vigil/v1/c1/e1/stranger/state", payload, registry())
    assert (record.topic, record.reason) == (topics.DEAD, "unregistered")


BAD: dict[str, tuple[str, bytes, str]] = {
    "malformed": (TOPIC, b"{", "malformed"),
    "nested by the thousand": (TOPIC, b'{"data":' + b"[" * 20_000 + b"]" * 20_000 + b"}", "malformed"),
    "oversize": (TOPIC, b"x" * (events.MAX_PAYLOAD + 1), "oversize"),
    "of an unknown type": (TOPIC, encoded(event(), type="vigil.alarm.shout.v1"), "unknown_type"),
    "of a later version": (TOPIC, encoded(event(), type="vigil.alarm.sos.v2"), "unknown_type"),
    "of another shape": (TOPIC, encoded(event(), data={"by": "shout"}), "malformed"),
    "with another's id": (TOPIC, encoded(event(), seq=2), "malformed"),
    "on another node's topic": ("vigil/v1/c1/e1/n2/alarm/pendant", events.encode(event()), "wrong_topic"),
    "on another lane": ("vigil/v1/c1/e1/n1/telemetry/pendant", events.encode(event()), "wrong_topic"),
    "on no topic of ours": ("zigbee2mqtt/door", b"{}", "wrong_topic"),
    "on the platform's topic": ("vigil/v1/c1/e1/n1/receipt", events.encode(event()), "wrong_topic"),
    "of an unknown device": (
        mqtt_topic(event(device="other")),
        events.encode(event(device="other")),
        "unregistered",
    ),
    "of an unknown node": (
        "vigil/v1/c1/e1/n2/alarm/pendant",
        events.encode(event(address=Address("c1", "e1", "n2"))),
        "unregistered",
    ),
    "of a node that stands elsewhere": (
        "vigil/v1/c1/e2/n1/alarm/pendant",
        events.encode(event(address=Address("c1", "e2", "n1"))),
        "wrong_topic",
    ),
}


@pytest.mark.parametrize("what", BAD)
def test_what_is_bad_becomes_a_dead_letter_with_reason_origin_and_untouched_bytes(what: str) -> None:
    topic, payload, reason = BAD[what]
    record = translate(topic, payload, registry())
    headers = dict(record.headers)
    assert (record.topic, record.reason, record.value) == (topics.DEAD, reason, payload)
    assert headers["reason"] == reason.encode()
    assert headers["origin"] == topic.encode()
    assert headers["detail"]


def test_of_a_message_too_long_to_keep_the_dead_letter_says_how_long_it_was() -> None:
    record = translate(TOPIC, b"x" * 1000, registry(), dropped=500)
    assert (record.topic, record.reason, len(record.value)) == (topics.DEAD, "oversize", 1000)
    assert dict(record.headers)["detail"] == b"1500 bytes, of which 1000 are kept"


@pytest.mark.parametrize("retired", ["device", "node"])
def test_what_was_retired_is_unregistered(retired: str) -> None:
    known = registry(device(Wearer(), retired=retired == "device"), retired=retired == "node")
    assert translate(TOPIC, events.encode(event()), known).reason == "unregistered"


def test_a_device_of_another_node_is_unregistered_at_this_one() -> None:
    assert translate(TOPIC, events.encode(event()), registry(device(node="n2"))).reason == "unregistered"


def test_a_dead_letter_accounts_for_its_own_sequence_number() -> None:
    payload = encoded(event(seq=5), data={"by": "shout"})
    headers = dict(translate(TOPIC, payload, registry()).headers)
    assert (headers["node"], headers["boot"]) == (b"n1", BOOT.encode())
    assert (headers["lane"], headers["seq"]) == (b"alarm", b"5")


def test_nobody_accounts_for_another_nodes_sequence_number() -> None:
    record = translate("vigil/v1/c1/e1/n2/alarm/pendant", events.encode(event(seq=5)), registry())
    assert "seq" not in dict(record.headers)


@given(source=st.text(max_size=40), node=st.sampled_from(["n1", "n2"]))
def test_a_dead_letter_is_accounted_to_the_topics_node_or_to_nobody(source: str, node: str) -> None:
    payload = encoded(event(), source=f"{source}/n1")
    headers = dict(translate(f"vigil/v1/c1/e1/{node}/alarm/pendant", payload, None).headers)
    assert headers.get("node", node.encode()) == node.encode()


def test_without_a_registry_strangers_pass_for_processors_to_judge() -> None:
    stranger = event(device="other")
    assert translate(mqtt_topic(stranger), events.encode(stranger), None).reason is None


levels = st.sampled_from(["vigil", "v1", "c1", "e1", "n1", *Kind, PENDANT, "", "+", "\x00"])
any_topic = st.text(max_size=60) | st.lists(levels, max_size=9).map("/".join) | st.sampled_from([TOPIC])
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
fields = st.sampled_from(sorted(msgspec.json.decode(events.encode(event()))))
twisted = st.dictionaries(fields, json_values, max_size=3).map(lambda changes: encoded(event(), **changes))


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A valid event with a byte changed, a piece cut out, or a piece put in."""
    whole = events.encode(draw(st.sampled_from(VALID)))
    first = draw(st.integers(0, len(whole)))
    last = draw(st.integers(first, min(first + 8, len(whole))))
    return whole[:first] + draw(st.binary(max_size=4)) + whole[last:]


@given(any_topic, st.binary(max_size=200) | twisted | damaged(), st.sampled_from([None, registry()]))
def test_whatever_comes_is_a_record_and_its_bytes_are_untouched(
    topic: str, payload: bytes, known: Any
) -> None:
    record = translate(topic, payload, known)
    assert record.value == payload
    assert (record.topic == topics.DEAD) == (record.reason is not None)
    assert record.topic in KAFKA_TOPICS
    for name, value in record.headers:
        assert isinstance(name, str)
        assert value.decode() is not None


@given(st.sampled_from(VALID), st.integers(1, 2**62), st.sampled_from([None, registry()]))
def test_every_valid_event_passes_byte_for_byte(envelope: Any, seq: int, known: Any) -> None:
    made = event(events.decode_data(envelope), seq)
    payload = events.encode(made)
    assert translate(mqtt_topic(made), payload, known).value == payload
    assert translate(mqtt_topic(made), payload, known).reason is None
