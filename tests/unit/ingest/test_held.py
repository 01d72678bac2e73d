from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from ingest.held import Held
from vigil.receipts import StoredReceipt
from vigil.topics import Lane


def receipt(stored: int, lane: Lane = Lane.EVENT, node: str = "n1") -> StoredReceipt:
    return StoredReceipt(community="c1", estate="e1", node=node, boot="1-0000000a", lane=lane, stored=stored)


def test_an_alarms_receipt_goes_at_once_and_first() -> None:
    held = Held(2.0)
    held.put([receipt(1), receipt(4, Lane.ALARM), receipt(2, Lane.ALARM)], 10.0)
    assert held.wait_s(10.0) == 0.0
    assert held.take(9, 12.0) == [receipt(4, Lane.ALARM), receipt(1)]


def test_of_another_lane_the_highest_goes_when_the_first_has_waited_long_enough() -> None:
    held = Held(2.0)
    for second, stored in enumerate([3, 9, 7]):
        held.put([receipt(stored)], 10.0 + 0.5 * second)
    assert (held.take(9, 11.9), held.wait_s(11.5)) == ([], 0.5)
    assert held.take(9, 12.0) == [receipt(9)]
    assert (held.take(9, 99.0), held.wait_s(99.0), len(held)) == ([], None, 0)
    held.put([receipt(10)], 12.5)
    assert held.wait_s(13.0) == 1.5


def test_what_there_is_no_room_for_is_dropped_but_never_a_newer_one_of_what_waits_nor_an_alarms() -> None:
    held = Held(2.0, most=2)
    assert held.put([receipt(1, node="a"), receipt(1, node="b"), receipt(1, node="c")], 0.0) == 1
    assert held.put([receipt(5, node="b"), receipt(1, Lane.ALARM)], 0.0) == 0
    assert held.take(9, math.inf) == [receipt(1, Lane.ALARM), receipt(1, node="a"), receipt(5, node="b")]


steps = st.lists(
    st.tuples(
        st.lists(
            st.builds(receipt, st.integers(0, 30), st.sampled_from(Lane), st.sampled_from("abc")), max_size=6
        ),
        st.floats(0, 3),
        st.integers(0, 4),
    ),
    max_size=8,
)


@given(steps)
def test_whatever_comes_each_node_and_lane_hears_its_highest_in_the_end_and_nothing_twice(
    steps: list[tuple[list[StoredReceipt], float, int]],
) -> None:
    held, now = Held(2.0), 0.0
    highest: dict[tuple[str, Lane], int] = {}
    told: list[StoredReceipt] = []
    for some, later, most in steps:
        now += later
        held.put(some, now)
        for one in some:
            highest[one.node, one.lane] = max(one.stored, highest.get((one.node, one.lane), 0))
        taken = held.take(most, now)
        assert len(taken) <= most
        told += taken
    told += held.take(len(held), math.inf)
    assert len(held) == 0
    heard: dict[tuple[str, Lane], int] = {}
    for one in told:
        heard[one.node, one.lane] = max(one.stored, heard.get((one.node, one.lane), 0))
    assert heard == highest
