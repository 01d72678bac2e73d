from __future__ import annotations

from itertools import pairwise

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vigil import receipts
from vigil.receipts import MOST, StoredReceipt
from vigil.topics import Lane


def receipt(node: str, stored: int = 1) -> StoredReceipt:
    return StoredReceipt(
        community="c1", estate="e1", node=node, boot="1-0000000a", lane=Lane.EVENT, stored=stored
    )


some = st.builds(receipt, st.integers(0, 30).map(lambda n: f"n{n}"), st.integers(0, 9))


@given(st.lists(some, max_size=60), st.integers(1, 6))
def test_every_receipt_is_in_one_record_and_a_nodes_all_in_the_same_partition_in_their_order(
    given_: list[StoredReceipt], partitions: int
) -> None:
    packed = list(receipts.packed(given_, partitions))
    assert len(packed) <= partitions
    found = [(partition, one) for partition, record in packed for one in receipts.decode(record)]
    assert len(found) == len(given_)
    for node in {one.node for one in given_}:
        mine = [(partition, one) for partition, one in found if one.node == node]
        assert all(a == b for (a, _), (b, _) in pairwise(mine))
        assert [one for _, one in mine] == [one for one in given_ if one.node == node]


def test_more_than_kafka_takes_at_once_are_several_records() -> None:
    many = [receipt("n1", stored) for stored in range(2 * MOST + 1)]
    packed = [record for _, record in receipts.packed(many, 6)]
    assert [len(receipts.decode(record)) for record in packed] == [MOST, MOST, 1]
    assert max(map(len, packed)) < 256 * 1024


def test_a_record_of_the_release_before_is_read() -> None:
    assert receipts.decode(receipts.encode(receipt("n1"))) == [receipt("n1")]


def test_nothing_makes_no_record() -> None:
    assert list(receipts.packed([], 0)) == []


@pytest.mark.parametrize("value", [b"", b"7", b"{}", b"[{}]", b"[["])
def test_what_holds_no_receipts_is_an_error(value: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        receipts.decode(value)
