"""What a log is known by, from what brokers answer; the real ones are asked in tests/integration."""

from __future__ import annotations

from io import BytesIO
from typing import Any
from uuid import UUID

import pytest
from aiokafka.errors import KafkaError
from aiokafka.protocol.metadata import MetadataRequest_v2, MetadataResponse_v2

from vigil.logid import LogIdRequest, MetadataRequest10, MetadataResponse10, log_id

ONE, OTHER = UUID(int=1), UUID(int=2)


def answer(**topics: UUID | int) -> Any:
    """Make a broker's answer: a topic's id, or the error that it has."""
    told: list[Any] = [
        (0, name, id_.bytes, False, [(0, 0, 1, 0, [1], [1], [], {})], 0, {})
        if isinstance(id_, UUID)
        else (id_, name, bytes(16), False, [], 0, {})
        for name, id_ in topics.items()
    ]
    made = MetadataResponse10(0, [(1, "host", 9092, None, {})], "cluster", 1, told, 0, {})
    return MetadataResponse10.decode(BytesIO(made.encode()))


def test_a_log_is_its_cluster_and_its_topics_in_whatever_order_they_are_told() -> None:
    assert log_id(answer(a=ONE, b=OTHER)) == log_id(answer(b=OTHER, a=ONE)) == f"cluster/{ONE}/{OTHER}"


def test_a_topic_that_was_made_anew_is_another_log() -> None:
    assert log_id(answer(a=ONE)) != log_id(answer(a=OTHER))


def test_a_topic_that_is_not_known_gives_no_log_a_name() -> None:
    with pytest.raises(KafkaError):
        log_id(answer(a=ONE, b=3))


def test_an_older_broker_is_known_by_its_cluster_alone() -> None:
    request = LogIdRequest(["a"])
    assert isinstance(request.prepare({3: (0, 8)}), MetadataRequest_v2)
    assert isinstance(request.prepare({3: (0, 12)}), MetadataRequest10)
    old = MetadataResponse_v2([(1, "host", 9092, None)], "cluster", 1, [(0, "a", False, [])])
    assert log_id(MetadataResponse_v2.decode(BytesIO(old.encode()))) == "cluster"


def test_a_request_can_be_written_down() -> None:
    written = LogIdRequest(["a", "b"]).prepare({3: (0, 12)}).encode()
    read = MetadataRequest10.decode(BytesIO(written))
    assert [name for _, name, _ in read.topics] == ["a", "b"]
    assert not read.allow_auto_topic_creation
