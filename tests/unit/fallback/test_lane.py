from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from fallback import canary, lane
from tests.unit.fallback.conftest import T0
from vigil import events
from vigil.events import Receipt
from vigil.topics import Address, Kind, Lane, parse

if TYPE_CHECKING:
    from fallback.store import Store

NODE = Address("c1", "e1", "canary-e1")
DEVICE = "canary-e1-pendant"


def opened(store: Store, random: str = "0000abcd") -> str:
    with store.transaction() as connection:
        return lane.open_boot(connection, NODE.node, random)


def put(store: Store, boot: str, now: datetime = T0) -> events.Envelope:
    with store.transaction() as connection:
        return lane.put(connection, NODE, DEVICE, boot, canary.fall("x"), now)


def send_all(store: Store, now: datetime) -> list[bytes]:
    sent = []
    for row in lane.due(store, NODE.node, now):
        sent.append(lane.payload(row, now))
        with store.transaction() as connection:
            lane.sent(connection, row, now, lambda low, _high: low)
    return sent


def test_boots_count_up(store: Store) -> None:
    assert [opened(store), opened(store, "12345678")] == ["1-0000abcd", "2-12345678"]


def test_sequence_numbers_are_gap_free_from_one(store: Store) -> None:
    boot = opened(store)
    assert [put(store, boot).seq for _ in range(3)] == [1, 2, 3]


def test_sequence_numbers_go_on_although_stored_rows_are_forgotten(store: Store) -> None:
    boot = opened(store)
    put(store, boot)
    with store.transaction() as connection:
        lane.receive(connection, NODE.node, Receipt(boot=boot, lane=Lane.ALARM, stored=1), T0)
        connection.execute("DELETE FROM spool")
    assert put(store, boot).seq == 2


def test_ingest_would_accept_a_canary(store: Store) -> None:
    put(store, opened(store))
    (payload,) = send_all(store, T0 + timedelta(seconds=1))
    envelope = events.decode(payload)
    events.check_origin(envelope, parse(NODE.topic(Kind.ALARM, DEVICE)))
    assert (envelope.synthetic, envelope.age, envelope.replayed) == ("canary", 1.0, False)
    assert isinstance(events.decode_data(envelope), events.FallSuspected)


def test_a_row_is_sent_again_until_it_is_stored_and_says_so(store: Store) -> None:
    boot = opened(store)
    put(store, boot)
    (first,) = send_all(store, T0)
    assert send_all(store, T0 + lane.AGAIN / 2) == []
    (second,) = send_all(store, T0 + lane.AGAIN)
    one, two = events.decode(first), events.decode(second)
    assert (two.id, two.time, two.replayed) == (one.id, one.time, True)
    with store.transaction() as connection:
        receipt = Receipt(boot=boot, lane=Lane.ALARM, stored=1)
        assert lane.receive(connection, NODE.node, receipt, T0) == [str(one.id)]
    assert send_all(store, T0 + timedelta(days=1)) == []


def test_a_receipt_frees_what_is_below_it_in_its_own_boot(store: Store) -> None:
    old = opened(store)
    put(store, old)
    boot = opened(store, "12345678")
    two = [put(store, boot), put(store, boot)]
    put(store, boot)
    with store.transaction() as connection:
        freed = lane.receive(connection, NODE.node, Receipt(boot=boot, lane=Lane.ALARM, stored=2), T0)
    assert freed == [str(each.id) for each in two]


def test_the_birth_lists_what_each_boot_has_given_out(store: Store) -> None:
    put(store, opened(store))
    assert [(end.boot, end.seq) for end in lane.ends(store, NODE.node)] == [("1-0000abcd", 1)]
