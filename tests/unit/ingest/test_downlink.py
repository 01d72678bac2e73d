from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from ingest.downlink import newest
from tests.making import raw_record
from vigil import receipts
from vigil.receipts import StoredReceipt
from vigil.topics import RECEIPT, Lane


def receipt(node: str, boot: str, lane: Lane, stored: int) -> StoredReceipt:
    return StoredReceipt(community="c1", estate="e1", node=node, boot=boot, lane=lane, stored=stored)


def published(*given_: StoredReceipt) -> list[Any]:
    return [raw_record(receipts.encode(one), topic=RECEIPT) for one in given_]


some = st.builds(
    receipt,
    st.sampled_from(["n1", "n2"]),
    st.sampled_from(["1-0000000a", "2-0000000b"]),
    st.sampled_from(Lane),
    st.integers(0, 50),
)


@given(st.lists(some, max_size=40))
def test_of_each_node_boot_and_lane_the_highest_receipt_is_passed_down_once(
    given_: list[StoredReceipt],
) -> None:
    halfway = len(given_) // 2
    one_by_one, together = published(*given_[:halfway]), receipts.encode(given_[halfway:])
    passed = newest([*one_by_one, raw_record(together, topic=RECEIPT)])
    highest: dict[tuple[str, str, str], int] = {}
    for one in given_:
        key = (one.node, one.boot, one.lane)
        highest[key] = max(highest.get(key, 0), one.stored)
    assert {(one.node, one.boot, one.lane): one.stored for one in passed} == highest
    assert len(passed) == len(highest)


def test_an_unreadable_receipt_does_not_hold_up_the_others() -> None:
    good = receipt("n1", "1-0000000a", Lane.ALARM, 3)
    bad = [raw_record(value, topic=RECEIPT) for value in (b"{", b"\xff", b"", None, b"[" * 20_000)]
    assert newest([*bad, *published(good)]) == [good]
