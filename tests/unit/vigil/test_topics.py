from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vigil import topics
from vigil.errors import Rejected
from vigil.topics import Address, Kind, Topic

ids = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}", fullmatch=True)
of_device = {Kind.BIRTH, Kind.ALARM, Kind.EVENT, Kind.TELEMETRY, Kind.HEALTH, Kind.CMD}


@given(st.builds(Address, ids, ids, ids), st.sampled_from(Kind), ids)
def test_a_topic_that_was_built_is_parsed_back(address: Address, kind: Kind, device: str) -> None:
    named = device if kind in of_device else None
    assert topics.parse(address.topic(kind, named)) == Topic(address, kind, named)


@pytest.mark.parametrize(
    "topic",
    [
        "",
        "vigil",
        "other/v1/c/e/n/alarm/d",
        "vigil/v2/c/e/n/alarm/d",
        "vigil/v1/c/e/n",
        "vigil/v1/c/e/n/alarm/d/more",
        "vigil/v1/c/e/n/shout/d",
        "vigil/v1/c/e/n/alarm",
        "vigil/v1/c/e/n/alarm/",
        "vigil/v1/c/e/n/state/d",
        "vigil/v1//e/n/state",
        "vigil/v1/c/../n/state",
        "vigil/v1/c/e/n\n/state",
        "vigil/v1/c/e/家/state",
        "vigil/v1/c/e/" + "n" * 65 + "/state",
        "vigil/v1/c/e/n/alarm/d\n",
    ],
)
def test_what_is_not_a_topic_of_ours_is_rejected(topic: str) -> None:
    with pytest.raises(Rejected) as rejected:
        topics.parse(topic)
    assert rejected.value.reason == "wrong_topic"


@given(st.text())
def test_no_text_makes_parsing_fail_otherwise(topic: str) -> None:
    with suppress(Rejected):
        topics.parse(topic)


def test_ids_cannot_be_wildcards() -> None:
    for wildcard in ("+", "#"):
        with pytest.raises(Rejected):
            topics.parse(f"vigil/v1/c/e/{wildcard}/state")


def test_every_kind_a_node_publishes_has_a_kafka_topic_and_no_other_kind_has() -> None:
    platforms = {Kind.RECEIPT, Kind.CONFIG, Kind.CMD}
    assert topics.KAFKA_OF_KIND.keys() == set(Kind) - platforms
    assert set(topics.KAFKA_OF_KIND.values()) <= set(topics.KAFKA_TOPICS)


@pytest.mark.parametrize("kind", Kind)
def test_a_subscription_to_every_node_has_the_levels_of_its_kind(kind: Kind) -> None:
    device = "d" if kind in of_device else None
    assert topics.every_node(kind).count("/") == Address("c", "e", "n").topic(kind, device).count("/")
