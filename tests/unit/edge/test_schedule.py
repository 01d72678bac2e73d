from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge import schedule
from edge.schedule import Sending
from vigil.topics import Lane

OTHERS = [lane for lane in Lane if lane is not Lane.ALARM]
rngs = st.integers(0, 10_000).map(Random)


@given(rng=rngs, sent=st.integers(1, 100))
def test_an_alarm_is_due_again_after_ten_seconds_and_never_later_than_a_minute(
    rng: Random, sent: int
) -> None:
    wait = schedule.wait_s(Lane.ALARM, sent, rng)
    assert 10 <= wait <= 60
    assert sent > 1 or wait <= 12.5


@given(rng=rngs, sent=st.integers(1, 100), lane=st.sampled_from(OTHERS))
def test_the_rest_is_due_after_a_minute_and_never_later_than_ten(rng: Random, sent: int, lane: Lane) -> None:
    wait = schedule.wait_s(lane, sent, rng)
    assert 60 <= wait <= 600
    assert sent > 1 or wait <= 75


@given(rng=rngs, sent=st.integers(1, 10), lane=st.sampled_from(Lane))
def test_each_wait_is_longer_than_the_one_before_or_as_long_as_it_gets(
    rng: Random, sent: int, lane: Lane
) -> None:
    longest = 48 if lane is Lane.ALARM else 480
    now, then = schedule.wait_s(lane, sent, rng), schedule.wait_s(lane, sent + 1, rng)
    assert then > now or then >= longest


def test_a_thousand_boxes_do_not_come_back_in_the_same_second() -> None:
    waits = [schedule.wait_s(Lane.EVENT, 1, Random(box)) for box in range(1000)]
    per_second = [sum(int(wait) == second for wait in waits) for second in range(60, 75)]
    assert max(per_second) < 100


@pytest.mark.parametrize("lane", OTHERS)
def test_what_is_no_alarm_is_held_while_the_platform_does_not_store(lane: Lane) -> None:
    row = Sending(lane, 1, due=100.0)
    assert not schedule.is_due(row, 1000.0, storing=False)
    assert schedule.is_due(row, 1000.0, storing=True)


def test_an_alarm_is_sent_again_whatever_the_platform_says_of_itself() -> None:
    assert schedule.is_due(Sending(Lane.ALARM, 1, due=100.0), 100.0, storing=False)


def sent_in_turn(lane: Lane, heard: list[int]) -> Sending:
    """A row that was sent once for each entry, when so many receipts had come."""
    row = None
    for n, receipts in enumerate(heard):
        row = schedule.sent_once_more(row, lane, 100.0 * n, receipts, Random(1))
    assert row is not None
    return row


def test_a_row_sent_twenty_times_while_others_were_stored_stands_aside() -> None:
    row = sent_in_turn(Lane.EVENT, list(range(20)))
    assert row.sent == 20
    assert schedule.stands_aside(row, 20, at_head=True)


def test_a_row_sent_nineteen_times_in_vain_does_not() -> None:
    assert not schedule.stands_aside(sent_in_turn(Lane.EVENT, list(range(19))), 19, at_head=True)


def test_a_row_is_sent_for_ever_while_the_platform_is_silent() -> None:
    row = sent_in_turn(Lane.ALARM, [7] * 500)
    assert not schedule.stands_aside(row, 7, at_head=True)


def test_a_row_behind_one_that_is_missing_may_be_stored_already_and_stays() -> None:
    assert not schedule.stands_aside(sent_in_turn(Lane.EVENT, list(range(50))), 50, at_head=False)


def test_a_row_that_was_held_back_gets_its_first_wait_anew() -> None:
    row = schedule.put_off(Sending(Lane.EVENT, 3, due=100.0), 5000.0, Random(1))
    assert 5060 <= row.due <= 5075
