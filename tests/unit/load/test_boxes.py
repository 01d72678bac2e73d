"""The load's boxes: what they send is taken by ingest, and the account misses nothing."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from tests.load.boxes import COMMUNITY, ESTATE, KINDS, Account, Boxes, address_of, rows, summary
from vigil.events import Receipt, decode, decode_data
from vigil.topics import Lane, parse

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
BOOT = "1-0000abcd"


def test_every_device_that_sends_is_registered_at_the_box_that_sends_for_it() -> None:
    registered = {row["id"]: row["node"] for row in rows(120)["device"]}
    boxes = Boxes(120, BOOT, seed=1)
    sent = {}
    for _ in range(120):
        message, _, _ = boxes.next(NOW)
        topic = parse(message.topic)
        sent[topic.device] = topic.address.node
    assert sent == registered


def test_all_boxes_may_send_drills_alone_and_everything_sent_is_marked_as_one() -> None:
    assert {row["synthetic"] for row in rows(1000)["node"]} == {"drill"}
    boxes = Boxes(1000, BOOT, seed=1)
    assert {decode(boxes.next(NOW)[0].payload).synthetic for _ in range(300)} == {"drill"}


def test_of_a_hundred_messages_one_is_an_alarm_and_every_payload_is_valid() -> None:
    boxes = Boxes(500, BOOT, seed=1)
    lanes: Counter[Lane] = Counter()
    for _ in range(1000):
        message, lane, seq = boxes.next(NOW)
        envelope = decode(message.payload)
        decode_data(envelope)
        assert (envelope.lane, envelope.seq, parse(message.topic).kind) == (lane, seq, KINDS[lane])
        lanes[lane] += 1
    assert lanes[Lane.ALARM] == 10
    assert lanes[Lane.EVENT] == 90


@given(devices=st.integers(1, 400), count=st.integers(1, 600))
def test_each_box_counts_each_lane_without_a_gap(devices: int, count: int) -> None:
    boxes, seen = Boxes(devices, BOOT, seed=1), dict[tuple[str, Lane], int]()
    for _ in range(count):
        message, lane, seq = boxes.next(NOW)
        assert seq == seen.get((message.node, lane), 0) + 1
        seen[message.node, lane] = seq


def test_a_receipt_takes_off_everything_up_to_its_number_and_nothing_of_another_lane() -> None:
    account = Account()
    for seq in (1, 2, 3):
        account.sent("n", Lane.TELEMETRY, seq, at=10.0 + seq)
    account.sent("n", Lane.ALARM, 1, at=10.0)
    account.stored("n", Receipt(boot=BOOT, lane=Lane.TELEMETRY, stored=2), at=13.0)
    assert account.outstanding() == 2
    assert account.waits[Lane.TELEMETRY] == [2.0, 1.0]
    assert account.waits[Lane.ALARM] == []


def test_a_repeated_receipt_counts_once() -> None:
    account = Account()
    account.sent("n", Lane.EVENT, 1, at=0.0)
    for at in (1.0, 2.0):
        account.stored("n", Receipt(boot=BOOT, lane=Lane.EVENT, stored=1), at=at)
    assert account.waits[Lane.EVENT] == [1.0]


def test_percentiles_of_nothing_are_none() -> None:
    found = summary({lane: [] for lane in KINDS} | {Lane.EVENT: [0.1, 0.2]})
    assert found["alarm_receipts_p99_ms"] is None
    assert found["receipts_p99_ms"] == 200.0


def test_a_box_stands_in_the_loads_own_community() -> None:
    address = address_of(50)
    assert (address.community, address.estate, address.node) == (COMMUNITY, ESTATE, "load-n1")
