from __future__ import annotations

from random import Random

import pytest

from edge.outbox import OUTSTANDING, Outbox
from edge.spool import Key
from vigil.topics import Lane


@pytest.fixture
def outbox() -> Outbox:
    return Outbox(Random(1))


def event(seq: int, ordinal: int = 1) -> Key:
    return Key(Lane.EVENT, ordinal, seq)


def test_a_row_is_due_again_a_while_after_it_was_sent(outbox: Outbox) -> None:
    outbox.sent(event(1), 0.0)
    assert outbox.due(Lane.EVENT, 59.0, storing=True) == []
    assert outbox.due(Lane.EVENT, 76.0, storing=True) == [event(1)]


def test_a_receipt_ends_it_for_its_boot_and_lane_only(outbox: Outbox) -> None:
    for key in (event(1), event(2), event(1, ordinal=2), Key(Lane.ALARM, 1, 1)):
        outbox.sent(key, 0.0)
    outbox.receipt(1, Lane.EVENT, 1)
    assert outbox.due(Lane.EVENT, 100.0, storing=True) == [event(2), event(1, ordinal=2)]
    assert outbox.due(Lane.ALARM, 100.0, storing=True) == [Key(Lane.ALARM, 1, 1)]


def test_fresh_rows_are_looked_for_behind_the_last_one_sent(outbox: Outbox) -> None:
    assert outbox.cursor(Lane.EVENT) is None
    outbox.sent(event(3), 0.0)
    outbox.sent(event(1), 0.0)
    assert outbox.cursor(Lane.EVENT) == event(3)


def test_so_many_rows_wait_for_their_first_receipt_and_no_more(outbox: Outbox) -> None:
    for seq in range(1, OUTSTANDING + 1):
        outbox.sent(event(seq), 0.0)
    assert outbox.room(Lane.EVENT) == 0
    assert outbox.room(Lane.TELEMETRY) == OUTSTANDING
    outbox.receipt(1, Lane.EVENT, 100)
    assert outbox.room(Lane.EVENT) == 100


def test_rows_that_were_sent_twice_hold_nobody_up(outbox: Outbox) -> None:
    for _ in range(2):
        for seq in range(1, OUTSTANDING + 1):
            outbox.sent(event(seq), 0.0)
    assert outbox.room(Lane.EVENT) == OUTSTANDING


def test_alarms_are_never_held_up(outbox: Outbox) -> None:
    for seq in range(1, OUTSTANDING + 10):
        outbox.sent(Key(Lane.ALARM, 1, seq), 0.0)
    assert outbox.room(Lane.ALARM) > 0


def test_when_the_platform_stores_again_it_gets_time_to_account_for_what_it_has(outbox: Outbox) -> None:
    outbox.sent(event(1), 0.0)
    outbox.sent(Key(Lane.ALARM, 1, 1), 0.0)
    outbox.storing_again(5000.0)
    assert outbox.due(Lane.EVENT, 5050.0, storing=True) == []
    assert outbox.due(Lane.ALARM, 5050.0, storing=True) == [Key(Lane.ALARM, 1, 1)]
    assert outbox.due(Lane.EVENT, 5076.0, storing=True) == [event(1)]


def test_only_the_first_row_that_is_missing_can_be_given_up(outbox: Outbox) -> None:
    for n in range(25):
        outbox.sent(event(1), 100.0 * n)
        outbox.sent(event(2), 100.0 * n)
        outbox.receipt(1, Lane.HEALTH, n)
    assert outbox.given_up(event(1))
    assert not outbox.given_up(event(2))
    outbox.forget(event(1))
    assert outbox.given_up(event(2))


def test_an_order_to_send_again_makes_rows_due_from_a_number_on(outbox: Outbox) -> None:
    for seq in (1, 2, 3):
        outbox.sent(event(seq), 0.0)
    outbox.resend([Lane.EVENT], 1, 2, 1.0, spread_s=10.0)
    assert outbox.due(Lane.EVENT, 11.0, storing=True) == [event(2), event(3)]


def test_an_order_to_send_everything_spreads_it_but_for_alarms(outbox: Outbox) -> None:
    for seq in range(1, 200):
        outbox.sent(event(seq), 0.0)
        outbox.sent(Key(Lane.ALARM, 1, seq), 0.0)
    outbox.resend(list(Lane), None, 1, 1.0, spread_s=10.0)
    assert len(outbox.due(Lane.ALARM, 1.0, storing=True)) == 199
    assert 60 < len(outbox.due(Lane.EVENT, 6.0, storing=True)) < 140


def test_looking_takes_note_before_the_spool_is_asked(outbox: Outbox) -> None:
    assert outbox.look(Lane.EVENT)
    assert not outbox.look(Lane.EVENT)
    outbox.expect(Lane.EVENT)
    assert outbox.look(Lane.EVENT)
    assert outbox.look(Lane.ALARM)
